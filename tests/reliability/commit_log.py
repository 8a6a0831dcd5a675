"""A store that is written to while everything that was asked for is noted: the state is a prefix of the log (D1, D2).

Before a write its intention is said, after it its acknowledgement. What a kill leaves must be what the log gives up to
the last acknowledged write, or up to the one that was under way.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from domain.search import Filters
from service.indexed_text import indexed_text
from service.storage.lock import DataDirectoryLock
from tests.reliability.children import Say
from tests.reliability.stored_corpus import Corpus, NamedTokens, indexes_equal_sql
from tests.service.storage_examples import DIM, make_chunks, make_document, put, unit_vector

SOURCES = 12


def text_of(write: int) -> str:
    return "\n".join(f"write {write} line {line} is {write:05d} {line}" for line in range(3 + write % 4))


def work(corpus: Corpus, first: int, writes: int, say: Say) -> None:
    """Replace and delete documents, search and save snapshots in between, from write number `first` on."""
    rng = random.Random(first)
    with DataDirectoryLock(corpus.folder), corpus.manager() as (store, manager):
        store.ensure_collection("default")
        store.check_encoder("default", "e5", DIM, NamedTokens.codec_id)
        for write in range(first, first + writes):
            source = f"{rng.randrange(SOURCES)}.txt"
            document = make_document(source, text_of(write))
            there = store.content_state("default", source) is not None
            if there and rng.random() < 0.3:
                say(f"delete? {write} {source}")
                for name, keys in store.delete([document.id]).items():
                    manager.retire(name, store.generation(name), keys)
                say(f"delete! {write} {source}")
            else:
                say(f"put? {write} {source}")
                generation, retired = put(store, document)
                chunks = make_chunks(document)
                vectors = np.stack([unit_vector(chunk.text) for chunk in chunks])
                texts = [indexed_text(chunk, document.title) for chunk in chunks]
                manager.apply("default", generation, [chunk.key for chunk in chunks], vectors, texts, retired)
                say(f"put! {write} {source}")
            manager.reader("default").lexical.search(f"write {write}", 3)
            if write % 3 == 0:
                manager.save("default")


@dataclass(slots=True)
class Log:
    """What must be there: source -> number of the write whose text it has. `pending` is the write under way."""

    live: dict[str, int] = field(default_factory=dict)
    pending: tuple[str, int, str] | None = None
    acknowledged: int = 0
    deleted: int = 0
    next_write: int = 0

    def follow(self, lines: tuple[str, ...]) -> None:
        for line in lines:
            word, write, source = line.split()
            self.next_write = max(self.next_write, int(write) + 1)
            if word.endswith("?"):
                self.pending = (word[:-1], int(write), source)
                continue
            self._apply(word[:-1], int(write), source)
            self.pending = None
            self.acknowledged += 1
            self.deleted += word == "delete!"

    def settle(self, found: dict[str, int]) -> None:
        """Take the write that was under way as done where it was: the two states that are right, and no third."""
        if self.pending is not None and found != self.live:
            self._apply(*self.pending)
        self.pending = None

    def _apply(self, word: str, write: int, source: str) -> None:
        if word == "put":
            self.live[source] = write
        else:
            self.live.pop(source, None)


def check(corpus: Corpus, log: Log) -> None:
    """The next start needs no hand, has what was acknowledged in full, and its indexes agree."""
    with DataDirectoryLock(corpus.folder, wait_seconds=0):
        found: dict[str, int] = {}
        keys: set[int] = set()
        with corpus.manager() as (store, _):
            for info in store.list_documents(limit=1000):
                document = store.get_document(info.id)
                found[info.source] = int(document.text.split()[1])
                assert document.text == text_of(found[info.source]), "every byte of it"
                chunks = make_chunks(document)
                stored = store.get_chunks("default", [chunk.key for chunk in chunks])
                assert [item.chunk for item in stored.values()] == list(chunks)
                assert info.chunks == len(chunks)
                keys |= {chunk.key for chunk in chunks}
            assert store.keys_matching(Filters()) == keys, "no orphans, none missing"
            assert not keys & set(store.retired_since("default", 0))
        log.settle(found)
        assert found == log.live
        if keys:
            assert indexes_equal_sql(corpus)


def fresh(folder: Path) -> Corpus:
    corpus = Corpus(folder)
    with corpus.opened():
        return corpus
