"""Ingest runs: what is stored, what costs nothing, what fails alone, and what ends a run."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import signal
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.documents import Chunk, Document, LoadedDocument, Passage, chunk_id, document_id
from domain.errors import FetchError, IndexModelMismatch, LoadError, NotFound, StorageError
from domain.jobs import DocumentInfo, DocumentStatus, IngestProgress
from domain.search import Encoding, TokenVectors
from ingestion.chunking import StructureChunker
from ingestion.embedding import EncodedDocument, EncodingBacklog
from ingestion.loader_pool import LoaderPool
from ingestion.pipeline import IngestionPipeline
from ingestion.preparation import Preparation
from ingestion.sources import SourceItem
from ingestion.spool import BlobSpool

INDEXED, UNCHANGED, FAILED = DocumentStatus.INDEXED, DocumentStatus.UNCHANGED, DocumentStatus.FAILED
DIM = 8


# --- doubles ----------------------------------------------------------------------------------------------------------


class BytesItem(SourceItem):
    def __init__(self, source: str, content: str | Exception, loaded: LoadedDocument | None = None) -> None:
        super().__init__(source, source)
        self.loaded = loaded
        self._content = content

    def read(self) -> bytes:
        if isinstance(self._content, Exception):
            raise self._content
        return self._content.encode()


@dataclass
class Parser:
    """Reads UTF-8; a text that starts with "raise" fails in the way it says."""

    loaded: list[str] = field(default_factory=list)

    def load(self, data: bytes, name: str, media_type: str | None) -> LoadedDocument:
        self.loaded.append(name)
        text = data.decode()
        if text.startswith("raise LoadError"):
            raise LoadError(f"{name} is damaged; get a complete copy.", code="corrupt_document")
        if text.startswith("raise"):
            raise ZeroDivisionError("a bug in a parser")
        return LoadedDocument(name.upper(), text, media_type or "text/plain", metadata={"name": name})


def unit_vector(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


class HashingEncoder:
    """One token vector a word; a text with "poison" raises. `spoil` changes the vectors of texts with "spoil"."""

    model_id = "hashing"
    dim = DIM

    def __init__(self, spoil: Callable[[np.ndarray], np.ndarray] = lambda vector: vector) -> None:
        self.batches: list[list[str]] = []
        self.most_alive = 0
        self._spoil = spoil
        self._handed_out: list[weakref.ref[np.ndarray]] = []

    def encode_documents(self, passages: Sequence[Passage]) -> list[Encoding]:
        self.batches.append([passage.text for passage in passages])
        if any("poison" in passage.text for passage in passages):
            raise RuntimeError("the model choked")
        self._handed_out = [ref for ref in self._handed_out if ref() is not None]
        self.most_alive = max(self.most_alive, len(self._handed_out) + len(passages))
        return [self._encoding(passage) for passage in passages]

    def _encoding(self, passage: Passage) -> Encoding:
        vector = unit_vector(f"{passage.lead}|{passage.text}")
        words = list(re.finditer(r"\w+", passage.text))
        vectors = np.array([unit_vector(word[0]) for word in words], dtype=np.float32).reshape(-1, DIM)
        self._handed_out.append(weakref.ref(vectors))
        tokens = TokenVectors(
            vectors, np.arange(len(words), dtype=np.int32), np.array([w.span() for w in words], np.int32).reshape(-1, 2)
        )
        return Encoding(self._spoil(vector) if "spoil" in passage.text else vector, tokens)

    def encode_query(self, text: str) -> Encoding:
        return self._encoding(Passage(text))

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray:
        self.batches.append(list(texts))
        return np.array([unit_vector(text) for text in texts], dtype=np.float32).reshape(-1, DIM)

    def embed_query(self, text: str) -> np.ndarray:
        return unit_vector(text)


class PlainEmbedder:
    """Sentence vectors only."""

    model_id, dim = "plain", DIM

    def __init__(self) -> None:
        self._inner = HashingEncoder()
        self.embed_documents, self.embed_query = self._inner.embed_documents, self._inner.embed_query
        self.batches = self._inner.batches


class FloatCodec:
    codec_id = "float"

    def encode(self, tokens: TokenVectors) -> bytes:
        return tokens.vectors.tobytes()

    def decode(self, blob: bytes) -> TokenVectors:
        vectors = np.frombuffer(blob, np.float32).reshape(-1, DIM)
        return TokenVectors(vectors, np.zeros(len(vectors), np.int32), np.zeros((len(vectors), 2), np.int32))


@dataclass
class Stored:
    document: Document
    chunks: tuple[Chunk, ...]
    vectors: np.ndarray
    blobs: list[bytes | None]


class MemoryStore:
    """The verbs of a DocumentStore that an ingest run uses, for one collection."""

    def __init__(self) -> None:
        self.live: dict[str, Stored] = {}
        self.failures: dict[str, str] = {}
        self.generation = 0
        self.on_replace: Callable[[Document], None] = lambda document: None

    def ensure_collection(self, name: str) -> None:
        pass

    def check_encoder(self, collection: str, model_id: str, dim: int, codec_id: str) -> None:
        if model_id == "other":
            raise IndexModelMismatch("The collection holds vectors of another model; run 'reindex'.")

    def content_state(self, collection: str, source: str) -> tuple[str, str] | None:
        stored = self.live.get(source)
        return (stored.document.content_hash, stored.document.recipe) if stored else None

    def replace(self, collection, document, chunks, vectors, token_blobs) -> tuple[int, tuple[int, ...]]:
        self.on_replace(document)
        old = self.live.get(document.source)
        retired = {chunk.key for chunk in old.chunks} - {chunk.key for chunk in chunks} if old else set()
        self.live[document.source] = Stored(document, tuple(chunks), vectors.copy(), list(token_blobs))
        self.failures.pop(document.source, None)
        self.generation += 1
        return self.generation, tuple(sorted(retired))

    def record_failure(self, collection, own_id, source, error) -> None:
        assert own_id == document_id("local", collection, source)
        self.failures[source] = error.code

    def get_info(self, own_id: str) -> DocumentInfo:
        for stored in self.live.values():
            if stored.document.id == own_id:
                doc, count = stored.document, len(stored.chunks)
                return DocumentInfo(own_id, doc.source, doc.title, "c", doc.media_type, INDEXED, count, 0, "")
        raise NotFound(own_id)


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


class Bench:
    """A pipeline with its doubles; keyword arguments replace or tune parts."""

    def __init__(self, target=20, **options) -> None:
        self.parser, self.store, self.commits, self.progress = Parser(), MemoryStore(), [], []
        self.encoder = options.pop("encoder", None) or HashingEncoder()
        options.setdefault("codec", FloatCodec())
        options.setdefault("on_commit", self.commits.append)
        self.options, self.target = options, target

    def run(self, *contents: tuple[str, str | Exception] | SourceItem):
        items = [item if isinstance(item, SourceItem) else BytesItem(*item) for item in contents]
        return self.run_items(items)

    def run_items(self, items):
        chunker = StructureChunker(count_words, self.target, self.target + 5)
        pipeline = IngestionPipeline(self.parser.load, chunker, self.encoder, self.store, **self.options)
        return pipeline.run(items, "c", self.progress.append)


def statuses(report) -> list[tuple[str, DocumentStatus]]:
    return [(outcome.source, outcome.status) for outcome in report.documents]


def long_text(sentences: int, word: str = "word") -> str:
    return " ".join(f"Sentence {number} has a {word} in it." for number in range(sentences))


# --- what is stored ---------------------------------------------------------------------------------------------------


def test_a_document_is_stored_complete_with_its_chunks_vectors_and_token_vectors():
    bench = Bench()
    report = bench.run(("a.txt", long_text(10)))
    stored = bench.store.live["a.txt"]
    assert stored.document.id == document_id("local", "c", "a.txt")
    assert stored.document.content_hash == hashlib.sha256(long_text(10).encode()).hexdigest()
    assert stored.document.recipe == "structure3-20-25"
    assert (stored.document.title, stored.document.metadata) == ("A.TXT", {"name": "a.txt"})
    assert report.documents[0].chunks == len(stored.chunks) == 4
    for ordinal, (chunk, vector, blob) in enumerate(zip(stored.chunks, stored.vectors, stored.blobs, strict=True)):
        assert chunk.id == chunk_id(stored.document.id, stored.document.content_hash, "structure3-20-25", ordinal)
        np.testing.assert_array_equal(vector, unit_vector(f"A.TXT|{chunk.text}"))
        assert len(FloatCodec().decode(blob)) == len(re.findall(r"\w+", chunk.text))


def test_outcomes_come_in_the_order_of_the_inputs_whatever_becomes_of_them():
    bench = Bench()
    bench.run(("same", "It stays. "))
    report = bench.run(("z", long_text(40)), ("bad", "raise LoadError"), ("same", "It stays. "), ("a", "Short."))
    assert statuses(report) == [("z", INDEXED), ("bad", FAILED), ("same", UNCHANGED), ("a", INDEXED)]
    assert report.documents[2].chunks == 1


def test_a_commit_is_announced_with_everything_the_indexes_need():
    bench = Bench()
    bench.run(("a", "Old text."))
    bench.run(("a", "New text."))
    first, second = bench.commits
    assert (first.collection, first.generation, first.retired) == ("c", 1, ())
    assert second.retired == first.keys and second.keys != first.keys
    assert [chunk.text for chunk in second.chunks] == ["New text."] and second.document.title == "A"
    np.testing.assert_array_equal(second.vectors, [unit_vector("A|New text.")])


def test_an_input_that_is_loaded_already_needs_no_parser():
    class CorpusLine(BytesItem):
        def content_hash(self) -> str:
            return "its own hash"

    bench = Bench()
    bench.run(CorpusLine("id-7", ZeroDivisionError(), LoadedDocument("T", "Text of a line.", "text/plain")))
    assert bench.parser.loaded == [] and bench.store.live["id-7"].document.content_hash == "its own hash"


def test_an_embedder_without_tokens_reads_the_lead_and_the_text():
    bench = Bench(encoder=PlainEmbedder(), codec=None)
    bench.run(("a", "Some text."))
    assert bench.encoder.batches == [["A\nSome text."]] and bench.store.live["a"].blobs == [None]


# --- what costs nothing -----------------------------------------------------------------------------------------------


def test_an_unchanged_file_costs_neither_parser_nor_encoder_nor_write():
    bench = Bench()
    bench.run(("a", "Text."), ("b", "More."))
    bench.parser.loaded.clear()
    bench.encoder.batches.clear()
    report = bench.run(("a", "Text."), ("b", "More."))
    assert statuses(report) == [("a", UNCHANGED), ("b", UNCHANGED)]
    assert (bench.parser.loaded, bench.encoder.batches, bench.store.generation, len(bench.commits)) == ([], [], 2, 2)
    assert report.documents[0].id == document_id("local", "c", "a")


def test_another_recipe_cuts_the_same_bytes_again():
    bench = Bench()
    bench.run(("a", long_text(10)))
    bench.target = 40
    assert statuses(bench.run(("a", long_text(10)))) == [("a", INDEXED)]
    assert bench.store.live["a"].document.recipe == "structure3-40-45"


def test_equal_inputs_of_one_run_are_done_once():
    bench = Bench()
    report = bench.run(("a", "Text."), ("a", "Text."), ("bad", "raise LoadError"), ("bad", "raise LoadError"))
    assert [status for _, status in statuses(report)] == [INDEXED, UNCHANGED, FAILED, FAILED]
    assert bench.parser.loaded.count("a") == 1 and report.documents[1].chunks == 1


def test_of_several_versions_in_one_run_the_last_one_stays():
    bench = Bench()
    bench.run(("a", "First."))
    report = bench.run(("a", "Second."), ("a", "First."))
    assert [status for _, status in statuses(report)] == [INDEXED, INDEXED]
    assert bench.store.live["a"].document.text == "First."


# --- what fails alone -------------------------------------------------------------------------------------------------


def test_one_bad_input_fails_with_its_code_and_the_others_are_indexed(caplog):
    bench = Bench()
    with caplog.at_level(logging.ERROR):
        report = bench.run(
            ("good1", "Text."),
            ("damaged", "raise LoadError"),
            ("gone", FetchError("The host did not answer; try again later.", code="url_unreachable")),
            ("bug", "raise ZeroDivisionError"),
            ("blank", " \n "),
            ("good2", "Text."),
        )
    codes = {outcome.source: outcome.error.code for outcome in report.failed}
    assert codes == bench.store.failures == {
        "damaged": "corrupt_document", "gone": "url_unreachable", "bug": "internal_error", "blank": "no_text"
    }  # fmt: skip
    assert set(bench.store.live) == {"good1", "good2"}
    assert "'bug'" in caplog.text and "Traceback" in caplog.text and "damaged" not in caplog.text
    assert all(outcome.error.message for outcome in report.failed)


def test_a_failed_update_leaves_the_old_version_in_place():
    bench = Bench()
    bench.run(("a", "Old text."))
    assert statuses(bench.run(("a", "raise LoadError"))) == [("a", FAILED)]
    assert bench.store.live["a"].document.text == "Old text." and bench.store.failures == {"a": "corrupt_document"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda vector: vector * np.float32("nan"),
        lambda vector: vector * np.float32("inf"),
        np.zeros_like,
        lambda vector: vector * np.float32(1.002),
        lambda vector: vector[:-1],
    ],
    ids=["nan", "inf", "zero", "too long", "too narrow"],
)
def test_a_bad_vector_fails_its_document_only(spoil):
    bench = Bench(encoder=HashingEncoder(spoil))
    report = bench.run(("a", "Fine text."), ("b", long_text(9) + " A spoiled one. " + long_text(9)), ("c", "Fine too."))
    assert statuses(report) == [("a", INDEXED), ("b", FAILED), ("c", INDEXED)]
    assert report.documents[1].error.code == "bad_vectors" and "'hashing'" in report.documents[1].error.message


def test_a_vector_within_the_tolerance_is_accepted():
    bench = Bench(encoder=HashingEncoder(lambda vector: vector * np.float32(1.0009)))
    assert statuses(bench.run(("a", "A spoiled text."))) == [("a", INDEXED)]


def test_an_encoder_error_fails_the_document_at_fault_and_not_its_neighbours_in_the_batch():
    bench = Bench()
    report = bench.run(("a", "Fine text."), ("b", "A poisoned text."), ("c", "Fine too."))
    assert statuses(report) == [("a", INDEXED), ("b", FAILED), ("c", INDEXED)]
    assert report.documents[1].error.code == "internal_error"


def test_the_rest_of_a_failed_document_is_not_encoded():
    bench = Bench(batch_size=2, window=4)
    bench.run(("b", "A poisoned text. " + long_text(300)))
    assert sum(map(len, bench.encoder.batches)) <= 4


def test_a_document_that_the_store_refuses_fails_alone():
    bench = Bench()

    def refuse(document: Document) -> None:
        if document.source == "b":
            raise ValueError("no such thing")

    bench.store.on_replace = refuse
    report = bench.run(("a", "Text."), ("b", "Text."), ("c", "Text."))
    assert statuses(report) == [("a", INDEXED), ("b", FAILED), ("c", INDEXED)]


def test_an_index_that_cannot_follow_does_not_undo_what_is_stored(caplog):
    def fail(commit) -> None:
        raise RuntimeError("index is broken")

    bench = Bench(on_commit=fail)
    assert statuses(bench.run(("a", "Text."), ("b", "Text."))) == [("a", INDEXED), ("b", INDEXED)]
    assert "catch up" in caplog.text


def test_a_file_name_that_is_no_text_is_reported_readably():
    bench = Bench()
    report = bench.run((os.fsdecode(b"caf\xe9.txt"), "Text."))
    assert report.documents[0].source == "caf\\udce9.txt"
    assert report.documents[0].error.code == "unreadable_file"


# --- what ends a run --------------------------------------------------------------------------------------------------


def test_another_encoder_is_refused_before_anything_is_read():
    encoder = HashingEncoder()
    encoder.model_id = "other"
    bench = Bench(encoder=encoder)

    def items() -> Iterator[SourceItem]:
        pytest.fail("an input was looked at")
        yield

    with pytest.raises(IndexModelMismatch):
        bench.run_items(items())


@pytest.mark.parametrize("error", [StorageError("The disk is full."), NotFound("There is no collection 'c'.")])
def test_a_database_that_refuses_ends_the_run(error):
    bench = Bench()

    def refuse(document: Document) -> None:
        if document.source == "b":
            raise error

    bench.store.on_replace = refuse
    with pytest.raises(type(error)):
        bench.run(("a", "Text."), ("b", "Text."), ("c", "Text."))
    assert set(bench.store.live) == {"a"}


def test_an_error_of_the_inputs_themselves_is_raised_after_those_before_it_are_stored():
    bench = Bench()

    def items() -> Iterator[SourceItem]:
        yield BytesItem("a", "Text.")
        yield BytesItem("b", "Text.")
        raise OSError("the folder went away")

    with pytest.raises(OSError, match="went away"):
        bench.run_items(items())
    assert set(bench.store.live) == {"a", "b"}


def test_ctrl_c_during_a_commit_takes_effect_after_it():
    bench = Bench(window=1)

    def interrupt(document: Document) -> None:
        if document.source == "b":
            os.kill(os.getpid(), signal.SIGINT)

    bench.store.on_replace = interrupt
    with pytest.raises(KeyboardInterrupt):
        bench.run(*((name, "Text.") for name in "abcdefgh"))
    assert set(bench.store.live) == {"a", "b"} and [commit.document.source for commit in bench.commits] == ["a", "b"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    bench.store.on_replace = lambda document: None
    report = bench.run(*((name, "Text.") for name in "abcdefgh"))
    assert [status for _, status in statuses(report)] == [UNCHANGED] * 2 + [INDEXED] * 6


# --- batches ----------------------------------------------------------------------------------------------------------


def test_small_documents_share_full_batches():
    encoder = HashingEncoder()
    backlog = EncodingBacklog(encoder, FloatCodec(), batch_size=8, window=20)
    chunker = StructureChunker(count_words, 20, 25)
    documents = [Document(f"doc-{n}", "s", "T", f"Text number {n}.", "text/plain", "hash") for n in range(30)]
    encoded = [EncodedDocument(document, chunker.split(document), DIM) for document in documents]
    for document in encoded:
        backlog.add(document)
    assert backlog.full and list(backlog.encode_window()) == [8, 8, 4]
    assert [document.complete for document in encoded] == [True] * 20 + [False] * 10
    assert not backlog.full and list(backlog.encode_window()) == [8, 2]
    assert len(backlog) == 0 and all(document.complete for document in encoded)
    for document in encoded:
        document.close()


def test_a_window_is_encoded_by_length():
    bench = Bench(batch_size=4, window=512, target=50)
    bench.run(("a", "\n\n".join(long_text(length) for length in (9, 3, 9, 3, 9, 3, 9, 3, 9, 3))))
    sizes = [len(text.split()) for batch in bench.encoder.batches for text in batch]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) > 1


def test_a_long_document_never_holds_more_token_vectors_than_one_batch():
    bench = Bench(batch_size=4, window=16)
    bench.run(("a", long_text(500)))
    assert len(bench.store.live["a"].chunks) > 100
    assert bench.encoder.most_alive == 4


CONTENTS = {f"{number}.txt": long_text(number * 3 + 1, f"word{number % 3}") for number in range(12)}


def outcome_of(order: Sequence[str], **options) -> dict[str, Stored]:
    bench = Bench(**options)
    bench.run(*((name, CONTENTS[name]) for name in order))
    return bench.store.live


@given(st.permutations(sorted(CONTENTS)), st.integers(1, 9), st.integers(1, 40), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_order_and_batches_change_nothing(order, batch_size, window, workers):
    expected = outcome_of(sorted(CONTENTS))
    found = outcome_of(order, batch_size=batch_size, window=window, workers=workers)
    assert set(found) == set(expected)
    for source, stored in found.items():
        assert (stored.document, stored.chunks) == (expected[source].document, expected[source].chunks)
        assert stored.blobs == expected[source].blobs
        np.testing.assert_allclose(stored.vectors, expected[source].vectors, atol=1e-5)


def test_progress_counts_up_to_everything():
    bench = Bench()
    bench.run(("a", long_text(30)), ("bad", "raise LoadError"), ("c", "Text."))
    chunks = len(bench.store.live["a"].chunks) + 1
    assert bench.progress[-1] == IngestProgress(3, 3, chunks, "c")
    counts = [(line.documents_done, line.chunks_done) for line in bench.progress]
    assert counts == sorted(counts) and {line.documents_total for line in bench.progress} == {3}


def test_an_empty_run_reports_nothing():
    assert Bench().run().documents == ()


# --- parts ------------------------------------------------------------------------------------------------------------


def test_reading_ahead_stops_at_the_limit_of_bytes():
    chunker = StructureChunker(count_words, 20, 25)
    items = [BytesItem(str(number), "x" * 100) for number in range(50)]
    with Preparation(
        items, Parser().load, chunker, lambda *_: False, str, workers=3, max_inputs=40, max_bytes=250
    ) as ahead:
        for _ in range(20):  # nobody takes anything
            ahead.advance()
            for task in ahead._tasks:
                task.wait(None)
        # Three inputs of 100 bytes reach the limit; two more may have been begun before the third was known.
        assert 3 <= ahead.found <= 5
        sources = [ahead.poll(None).source for _ in items]
        assert sources == [item.source for item in items] and ahead.poll(None) is None and ahead.exhausted


def test_a_spool_gives_back_every_blob_in_its_place_from_memory_and_from_disk():
    blobs = {index: bytes([index]) * (index * 7 % 50) for index in range(100)}
    for in_memory in (10, 10**6):
        spool = BlobSpool(101, in_memory)
        for index in sorted(blobs, key=lambda index: index * 37 % 101):
            spool.put(index, blobs[index])
        assert list(spool) == [*blobs.values(), None]
        assert spool[98:] == [blobs[98], blobs[99], None]
        spool.close()


def test_a_loader_pool_runs_each_call_on_a_parser_of_its_own():
    class OneAtATime:
        def __init__(self) -> None:
            self.busy, self.calls, self.closed = threading.Lock(), 0, False

        def load(self, data: bytes, name: str, media_type: str | None = None) -> LoadedDocument:
            assert self.busy.acquire(blocking=False), "two calls at once"
            self.calls += 1
            self.busy.release()
            return LoadedDocument(name, "Text.", "text/plain")

        def close(self) -> None:
            self.closed = True

    made: list[OneAtATime] = []
    with LoaderPool(lambda: made.append(OneAtATime()) or made[-1], size=3) as pool:
        threads = [threading.Thread(target=pool.load, args=(b"", str(number))) for number in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(parser.calls for parser in made) == 30 and all(parser.closed for parser in made)
