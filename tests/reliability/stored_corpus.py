"""A small data directory made of the storage layer alone: documents, indexes and jobs, without an encoder."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from domain.errors import DomainError
from domain.search import TokenVectors
from retrieval.vector.exact import ExactVectorIndex
from service.indexed_text import indexed_text
from service.indexes import IndexManager
from service.storage.database import Database, open_database
from service.storage.documents import SqlDocumentStore
from service.storage.jobs import SqlJobQueue
from service.storage.snapshots import SqlSnapshotManifest
from tests.service.storage_examples import DIM, ListLexicalIndex, enqueued, make_chunks, make_document, put, unit_vector

DOCUMENTS = 6
LINES = 4


class NamedTokens:
    """A codec that reads what `storage_examples.put` stores."""

    codec_id = "named"

    def encode(self, tokens: TokenVectors) -> bytes:
        raise NotImplementedError

    def decode(self, blob: bytes) -> TokenVectors:
        if not blob.startswith(b"tokens of chunk-") and not blob.startswith(b"tokens of "):
            raise DomainError("These are no tokens.")
        return TokenVectors(np.zeros((0, DIM), np.float32), np.zeros(0, np.int64), np.zeros((0, 2), np.int64))


class Corpus:
    """A data directory with one collection; `url` opens it."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder = folder
        self.file = folder / "fovea.db"
        self.url = url or f"sqlite:///{self.file}"

    @contextmanager
    def opened(self) -> Iterator[Database]:
        with closing(open_database(self.url)) as database:
            yield database

    @contextmanager
    def manager(self) -> Iterator[tuple[SqlDocumentStore, IndexManager]]:
        with self.opened() as database:
            store = SqlDocumentStore(database)
            manifest = SqlSnapshotManifest(database)
            yield store, IndexManager(store, manifest, self.folder / "indexes", ExactVectorIndex, ListLexicalIndex)

    @contextmanager
    def raw(self) -> Iterator[sqlite3.Connection]:
        """The file as a program sees it that knows nothing of foreign keys."""
        with closing(sqlite3.connect(self.file)) as connection:
            yield connection
            connection.commit()

    def rows(self, statement: str, *values: Any) -> list[Any]:
        with self.raw() as connection:
            return connection.execute(statement, values).fetchall()

    def dump(self) -> dict[str, list[Any]]:
        """Every row of every table, and every file beside them with its bytes."""
        with self.raw() as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            tables = {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names}
        files = sorted(path for path in (self.folder / "indexes").rglob("*") if path.is_file())
        return {**tables, "files": [(path.name, path.read_bytes()) for path in files]}

    def copied(self, folder: Path) -> Corpus:
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("*.reserve"))
        return Corpus(folder)


def text_of(number: int) -> str:
    return "\n".join(f"第{number}份第{line}行 line {number} {line}" for line in range(LINES))


def make_corpus(folder: Path, url: str | None = None) -> Corpus:
    """Six documents of four chunks, indexed in two snapshots of each kind, a failed one, and a job with its bytes."""
    corpus = Corpus(folder, url)
    with corpus.manager() as (store, manager):
        store.ensure_collection("default")
        store.check_encoder("default", "e5", DIM, NamedTokens.codec_id)
        for number in range(DOCUMENTS):
            add(store, manager, number)
            if number == DOCUMENTS - 2:
                manager.save("default")
        manager.close()
    with corpus.opened() as database:
        enqueued(SqlJobQueue(database), "ingest", {"number": 1}, b"bytes of a job")
    return corpus


def add(store: SqlDocumentStore, manager: IndexManager, number: int, text: str | None = None) -> None:
    """Commit a document and let the indexes follow."""
    document = make_document(f"{number}.txt", text or text_of(number), metadata={"number": number})
    generation, retired = put(store, document)
    chunks = make_chunks(document)
    vectors = np.stack([unit_vector(chunk.text) for chunk in chunks])
    texts = [indexed_text(chunk, document.title) for chunk in chunks]
    manager.apply("default", generation, [chunk.key for chunk in chunks], vectors, texts, retired)


def indexes_equal_sql(corpus: Corpus) -> bool:
    """Whether the next start has every live chunk in both indexes with its own vector, and nothing else."""
    with corpus.manager() as (store, manager):
        reader = manager.reader("default")
        live = {key: row for keys, rows in store.iter_vectors("default") for key, row in zip(keys, rows, strict=True)}
        texts = {key: text for keys, part in store.iter_texts("default") for key, text in zip(keys, part, strict=True)}
        assert isinstance(reader.lexical, ListLexicalIndex)
        hits = {
            key: [hit.key for hit in reader.vector.search(row, 1) if abs(hit.score - 1) < 1e-5]
            for key, row in live.items()
        }
        return (
            len(reader.vector) == len(live)
            and reader.lexical.texts == texts
            and all(found == [key] for key, found in hits.items())
        )
