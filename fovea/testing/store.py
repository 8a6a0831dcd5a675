"""A DocumentStore in dicts, with the promises of the SQL one, for tests of the parts around it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import RLock

import numpy as np

from domain.documents import Chunk, Document, DocumentRef
from domain.errors import DomainError, IndexModelMismatch, LoadError, NotFound, UsageError
from domain.jobs import CollectionInfo, DocumentInfo, DocumentStatus, ErrorInfo
from domain.search import Filters, FloatArray, StoredChunk

_NO_DATE = "1970-01-01T00:00:00+00:00"  # a double has no clock: equal runs give equal listings


@dataclass(frozen=True, slots=True)
class _Row:
    """A live chunk, with the generation that brought it."""

    stored: StoredChunk
    vector: FloatArray
    generation: int


@dataclass(slots=True)
class _Collection:
    generation: int = 0
    encoder: tuple[str, int, str] | None = None
    documents: dict[str, Document] = field(default_factory=dict)
    infos: dict[str, DocumentInfo] = field(default_factory=dict)  # also of documents that were never read
    rows: dict[int, _Row] = field(default_factory=dict)
    retired: dict[int, int] = field(default_factory=dict)  # key -> generation


class InMemoryStore:
    """Implements DocumentStore. Writes take turns under one lock; a read returns copies, never what a write changes."""

    def __init__(self) -> None:
        self._collections: dict[str, _Collection] = {}
        self._lock = RLock()

    def ensure_collection(self, name: str) -> None:
        with self._lock:
            self._collections.setdefault(name, _Collection())

    def create_collection(self, name: str) -> CollectionInfo:
        with self._lock:
            if name in self._collections:
                raise UsageError(f"Collection '{name}' exists already; choose another name.", code="collection_exists")
            self._collections[name] = _Collection()
        return CollectionInfo(name, 0, 0, None, None)

    def list_collections(self) -> list[CollectionInfo]:
        with self._lock:
            return [_collection_info(name, held) for name, held in sorted(self._collections.items())]

    def delete_collection(self, name: str) -> None:
        with self._lock:
            self._named(name)
            del self._collections[name]

    def check_encoder(self, collection: str, model_id: str, dim: int, codec_id: str) -> None:
        with self._lock:
            held, configured = self._named(collection), (model_id, dim, codec_id)
            if held.encoder is not None and held.encoder != configured:
                raise IndexModelMismatch(
                    f"Collection '{collection}' holds vectors of {held.encoder}, the configured encoder gives "
                    f"{configured}: run 'reindex' or restore the previous encoder."
                )
            held.encoder = configured

    def content_state(self, collection: str, source: str) -> tuple[str, str] | None:
        with self._lock:
            documents = self._live(collection).documents.values()
            states = [(one.content_hash, one.recipe) for one in documents if one.source == source]
        return states[0] if states else None

    def replace(
        self,
        collection: str,
        document: Document,
        chunks: Sequence[Chunk],
        vectors: FloatArray,
        token_blobs: Sequence[bytes | None],
    ) -> tuple[int, tuple[int, ...]]:
        if not chunks:
            raise LoadError(f"'{document.source}' has no text that could be found again.", code="no_text")
        if not len(chunks) == len(vectors) == len(token_blobs):
            counts = f"{len(chunks)} chunks, {len(vectors)} vectors, {len(token_blobs)} token blobs"
            raise DomainError(f"'{document.source}' came with {counts}; they must be as many.")
        with self._lock:
            held = self._named(collection)
            held.generation += 1
            rows = _rows(document, chunks, vectors, token_blobs, held.generation)
            retired = _retire(held, document.id, keep=rows.keys())
            held.documents[document.id] = replace(document, blocks=())  # blocks served the chunker
            held.infos[document.id] = _document_info(collection, document, len(chunks))
            held.rows.update(rows)
            held.retired = {key: at for key, at in held.retired.items() if key not in rows}
            return held.generation, retired

    def record_failure(self, collection: str, document_id: str, source: str, error: ErrorInfo) -> None:
        with self._lock:
            infos = self._named(collection).infos
            unread = DocumentInfo(document_id, source, source, collection, "", DocumentStatus.FAILED, 0, 0, _NO_DATE)
            infos[document_id] = replace(infos.get(document_id, unread), error=error)

    def delete(self, document_ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
        with self._lock:
            owners = {name: self._owner(name) for name in dict.fromkeys(document_ids)}
            retired: dict[str, tuple[int, ...]] = {}
            for name in sorted(set(owners.values())):
                held = self._collections[name]
                held.generation += 1
                mine = [document_id for document_id, owner in owners.items() if owner == name]
                retired[name] = tuple(sorted(key for document_id in mine for key in _retire(held, document_id)))
                for document_id in mine:
                    held.documents.pop(document_id, None)
                    del held.infos[document_id]
            return retired

    def list_documents(
        self, collection: str | None = None, limit: int = 100, after: str | None = None
    ) -> list[DocumentInfo]:
        with self._lock:
            names = self._collections if collection is None else [collection]
            infos = [info for name in names for info in self._live(name).infos.values()]
        behind = [info for info in infos if after is None or info.id > after]
        return sorted(behind, key=lambda info: info.id)[:limit]

    def get_document(self, document_id: str) -> Document:
        with self._lock:
            documents = self._collections[self._owner(document_id)].documents
            if document_id not in documents:
                raise NotFound(f"Document '{document_id}' has never been read.")
            return documents[document_id]

    def get_info(self, document_id: str) -> DocumentInfo:
        with self._lock:
            return self._collections[self._owner(document_id)].infos[document_id]

    def get_chunks(self, collection: str, keys: Sequence[int], with_tokens: bool = True) -> dict[int, StoredChunk]:
        with self._lock:
            rows = self._live(collection).rows
            found = {key: rows[key].stored for key in keys if key in rows}
        return found if with_tokens else {key: replace(one, token_blob=None) for key, one in found.items()}

    def keys_matching(self, filters: Filters) -> frozenset[int]:
        with self._lock:
            rows = self._live(filters.collection).rows.items()
            return frozenset(key for key, row in rows if _passes(row.stored.document, filters))

    def generation(self, collection: str) -> int:
        with self._lock:
            return self._live(collection).generation

    def iter_vectors(
        self, collection: str, batch: int = 4096, since: int = 0
    ) -> Iterator[tuple[list[int], FloatArray]]:
        for rows in self._batches(collection, batch, since):
            yield [row.stored.chunk.key for row in rows], np.stack([row.vector for row in rows])

    def iter_texts(self, collection: str, batch: int = 4096, since: int = 0) -> Iterator[tuple[list[int], list[str]]]:
        for rows in self._batches(collection, batch, since):
            yield [row.stored.chunk.key for row in rows], [_text(row.stored) for row in rows]

    def retired_since(self, collection: str, generation: int) -> list[int]:
        with self._lock:
            return [key for key, at in self._live(collection).retired.items() if at > generation]

    def _named(self, collection: str) -> _Collection:
        if collection not in self._collections:
            raise NotFound(f"There is no collection '{collection}'.")
        return self._collections[collection]

    def _live(self, collection: str) -> _Collection:
        """The collection, or an empty one for a name that does not exist yet: reading it is no error."""
        return self._collections.get(collection, _Collection())

    def _owner(self, document_id: str) -> str:
        for name, held in self._collections.items():
            if document_id in held.infos:
                return name
        raise NotFound(f"There is no document '{document_id}'.")

    def _batches(self, collection: str, batch: int, since: int) -> Iterator[list[_Row]]:
        with self._lock:
            rows = [row for row in self._live(collection).rows.values() if row.generation > since]
        rows.sort(key=lambda row: row.generation)
        return (rows[start : start + batch] for start in range(0, len(rows), batch))


def _rows(
    document: Document,
    chunks: Sequence[Chunk],
    vectors: FloatArray,
    token_blobs: Sequence[bytes | None],
    generation: int,
) -> dict[int, _Row]:
    reference = DocumentRef(document.id, document.source, document.title, document.media_type, document.metadata)
    return {
        chunk.key: _Row(StoredChunk(chunk, reference, blob), np.array(vector, dtype=np.float32), generation)
        for chunk, vector, blob in zip(chunks, vectors, token_blobs, strict=True)
    }


def _retire(held: _Collection, document_id: str, keep: Collection[int] = ()) -> tuple[int, ...]:
    """Drop the document's chunks; the keys of those that do not come back."""
    before = [key for key, row in held.rows.items() if row.stored.document.id == document_id]
    for key in before:
        del held.rows[key]
    retired = tuple(sorted(set(before).difference(keep)))
    held.retired.update(dict.fromkeys(retired, held.generation))
    return retired


def _passes(document: DocumentRef, filters: Filters) -> bool:
    named = not filters.document_ids or document.id in filters.document_ids
    return named and all(
        key in document.metadata and document.metadata[key] == value for key, value in filters.metadata.items()
    )


def _text(stored: StoredChunk) -> str:
    passage = stored.chunk.passage(stored.document.title)
    return f"{passage.lead}\n{passage.text}" if passage.lead else passage.text


def _collection_info(name: str, held: _Collection) -> CollectionInfo:
    model_id, dim = held.encoder[:2] if held.encoder else (None, None)
    return CollectionInfo(name, len(held.documents), len(held.rows), model_id, dim)


def _document_info(collection: str, document: Document, chunks: int) -> DocumentInfo:
    place = (document.id, document.source, document.title, collection, document.media_type)
    return DocumentInfo(*place, DocumentStatus.INDEXED, chunks, len(document.text), _NO_DATE, None, document.metadata)
