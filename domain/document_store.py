"""The seam between everything that reads or writes documents and the database that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from domain.documents import Chunk, Document
from domain.jobs import CollectionInfo, DocumentInfo, ErrorInfo
from domain.search import Filters, FloatArray, StoredChunk


class DocumentStore(Protocol):
    """The only truth: documents, chunks and vectors, in SQL. Bound to one tenant; foreign ids do not exist for it.

    Every write bumps the generation of its collection inside the same transaction and returns the new generation.
    """

    def ensure_collection(self, name: str) -> None: ...

    def create_collection(self, name: str) -> CollectionInfo:
        """Raises UsageError with code "collection_exists"."""
        ...

    def list_collections(self) -> list[CollectionInfo]: ...

    def delete_collection(self, name: str) -> None:
        """Raises NotFound."""
        ...

    def check_encoder(self, collection: str, model_id: str, dim: int, codec_id: str) -> None:
        """Record the encoder on first use; raise IndexModelMismatch when the collection holds vectors of another."""
        ...

    def content_state(self, collection: str, source: str) -> tuple[str, str] | None:
        """(content_hash, recipe) of the live version of a source; None where there is none."""
        ...

    def replace(
        self,
        collection: str,
        document: Document,
        chunks: Sequence[Chunk],
        vectors: FloatArray,
        token_blobs: Sequence[bytes | None],
    ) -> tuple[int, tuple[int, ...]]:
        """Store a complete version and retire the old one in one transaction; (generation, retired keys)."""
        ...

    def record_failure(self, collection: str, document_id: str, source: str, error: ErrorInfo) -> None:
        """Note that the newest version of a source failed; a live older version stays as it is.

        Raises QuotaExceeded where the source is new and its tenant may not have another document.
        """
        ...

    def delete(self, document_ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Delete documents; retired chunk keys by collection. Raises NotFound before anything is deleted."""
        ...

    def list_documents(
        self, collection: str | None = None, limit: int = 100, after: str | None = None
    ) -> list[DocumentInfo]:
        """Documents by ascending id, starting behind `after`."""
        ...

    def get_document(self, document_id: str) -> Document:
        """Raises NotFound."""
        ...

    def get_info(self, document_id: str) -> DocumentInfo:
        """Raises NotFound."""
        ...

    def get_chunks(self, collection: str, keys: Sequence[int], with_tokens: bool = True) -> dict[int, StoredChunk]:
        """Live chunks of the collection by key, in one SELECT; keys that are gone or foreign are left out."""
        ...

    def keys_matching(self, filters: Filters) -> frozenset[int]:
        """Keys of the chunks whose documents pass the filters."""
        ...

    def generation(self, collection: str) -> int:
        """0 for a collection that does not exist yet."""
        ...

    def iter_vectors(
        self, collection: str, batch: int = 4096, since: int = 0
    ) -> Iterable[tuple[list[int], FloatArray]]:
        """(keys, vectors of shape (N, D)) of live chunks added after generation `since`."""
        ...

    def iter_texts(self, collection: str, batch: int = 4096, since: int = 0) -> Iterable[tuple[list[int], list[str]]]:
        """(keys, texts to index) of live chunks added after generation `since`."""
        ...

    def retired_since(self, collection: str, generation: int) -> list[int]:
        """Keys retired after `generation`."""
        ...
