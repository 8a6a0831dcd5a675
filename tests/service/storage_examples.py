"""Documents, chunks and vectors for the storage tests, and indexes simple enough to be their own proof."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from domain.documents import Chunk, Document, Page, Sentence, Span, chunk_id, chunk_key, document_id
from domain.job_protocols import JobQueue
from domain.jobs import Job, NewJob
from domain.search import DEFAULT_COLLECTION, DEFAULT_TENANT, FloatArray, Hit, QueryTerm
from service.storage.documents import SqlDocumentStore

DIM = 8


def unit_vector(seed: object, dim: int = DIM) -> FloatArray:
    """A vector that depends on `seed` only, shape (dim,), unit length."""
    digits = int.from_bytes(str(seed).encode()[-8:], "big")
    vector = np.random.default_rng(digits).standard_normal(dim)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def make_document(
    source: str,
    text: str,
    *,
    collection: str = DEFAULT_COLLECTION,
    tenant: str = DEFAULT_TENANT,
    recipe: str = "lines-1",
    metadata: dict[str, object] | None = None,
    pages: tuple[Page, ...] = (),
) -> Document:
    return Document(
        id=document_id(tenant, collection, source),
        source=source,
        title=f"Title of {source}",
        text=text,
        media_type="text/plain",
        content_hash=f"sha of {text}",
        recipe=recipe,
        pages=pages,
        metadata=metadata or {},
    )


def make_chunks(document: Document) -> tuple[Chunk, ...]:
    """One chunk a line, one sentence a chunk."""
    chunks: list[Chunk] = []
    start = 0
    for ordinal, line in enumerate(document.text.split("\n")):
        span = Span(start, start + len(line))
        name = chunk_id(document.id, document.content_hash, document.recipe, ordinal)
        chunks.append(
            Chunk(
                id=name,
                key=chunk_key(name),
                document_id=document.id,
                ordinal=ordinal,
                span=span,
                text=line,
                sentences=(Sentence(0, span),),
                heading_path=("Part", "第一节"),
                token_count=len(line),
                pages=document.pages,
            )
        )
        start = span.end + 1
    return tuple(chunks)


def put(
    store: SqlDocumentStore, document: Document, collection: str = DEFAULT_COLLECTION
) -> tuple[int, tuple[int, ...]]:
    """Chunk, encode and store a document."""
    chunks = make_chunks(document)
    vectors = np.stack([unit_vector(chunk.text) for chunk in chunks])
    blobs = [f"tokens of {chunk.id}".encode() for chunk in chunks]
    return store.replace(collection, document, chunks, vectors, blobs)


class ListVectorIndex:
    """Vectors in a dict, searched one by one, saved as JSON."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.rows: dict[int, list[float]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, keys: Sequence[int], vectors: FloatArray) -> None:
        # A new dict each time: a search that runs meanwhile keeps the old one.
        self.rows = self.rows | {key: row.tolist() for key, row in zip(keys, vectors, strict=True)}

    def remove(self, keys: Collection[int]) -> None:
        self.rows = {key: row for key, row in self.rows.items() if key not in keys}

    def search(self, vector: FloatArray, k: int, allowed: Collection[int] | None = None) -> list[Hit]:
        hits = [
            Hit(key, float(np.dot(row, vector))) for key, row in self.rows.items() if allowed is None or key in allowed
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.key))[:k]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"dim": self.dim, "rows": self.rows}))

    def load(self, path: Path) -> None:
        # Forgiving on purpose, as FAISS is: a flipped digit loads without a word.
        content = json.loads(path.read_bytes().decode(errors="replace"))
        self.dim = content["dim"]
        self.rows = {int(key): row for key, row in content["rows"].items()}


class ListLexicalIndex:
    """Texts in a dict, searched by counting shared words, saved as JSON."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.texts)

    def add(self, keys: Sequence[int], texts: Sequence[str]) -> None:
        self.texts = self.texts | dict(zip(keys, texts, strict=True))

    def remove(self, keys: Collection[int]) -> None:
        self.texts = {key: text for key, text in self.texts.items() if key not in keys}

    def search(self, text: str, k: int, allowed: Collection[int] | None = None) -> list[Hit]:
        words = set(text.split())
        counts = {key: len(words & set(body.split())) for key, body in self.texts.items()}
        hits = [
            Hit(key, float(count)) for key, count in counts.items() if count and (allowed is None or key in allowed)
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.key))[:k]

    def terms(self, text: str) -> tuple[QueryTerm, ...]:
        return ()

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.texts))

    def load(self, path: Path) -> None:
        self.texts = {int(key): text for key, text in json.loads(path.read_bytes().decode(errors="replace")).items()}


def enqueued(queue: JobQueue, kind: str, payload: dict[str, Any], blob: bytes | None = None) -> Job:
    """A job that waits in `queue`."""
    job = NewJob(kind, payload, blob)
    queue.submit([job])
    return queue.get(job.id)
