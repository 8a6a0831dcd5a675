"""The only place where an ingest run writes: one transaction a document, and the outcome of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from domain.document_store import DocumentStore
from domain.documents import Chunk, Document, document_id
from domain.errors import NotFound, QuotaExceeded, StorageError
from domain.jobs import DocumentOutcome, DocumentStatus, ErrorInfo
from domain.search import FloatArray
from ingestion.embedding import EncodedDocument
from ingestion.interrupts import interrupts_held_back
from ingestion.preparation import error_info

log = logging.getLogger(__name__)

# The database refuses, or the collection was deleted meanwhile: every other input would meet the same, so the run ends.
_ENDS_THE_RUN = (StorageError, NotFound)


@dataclass(frozen=True, slots=True)
class Commit:
    """What a transaction changed, for whoever keeps the indexes in step; `vectors` has a row for each of `chunks`."""

    collection: str
    generation: int
    document: Document
    chunks: tuple[Chunk, ...]
    vectors: FloatArray
    retired: tuple[int, ...]

    @property
    def keys(self) -> tuple[int, ...]:
        return tuple(chunk.key for chunk in self.chunks)


class Committer:
    """Stores documents and failures in one collection and says what became of them."""

    def __init__(
        self, store: DocumentStore, tenant: str, collection: str, on_commit: Callable[[Commit], None] | None
    ) -> None:
        self._store = store
        self._tenant = tenant
        self._collection = collection
        self._on_commit = on_commit

    def make_id(self, source: str) -> str:
        return document_id(self._tenant, self._collection, source)

    def store(self, encoded: EncodedDocument) -> DocumentOutcome:
        """Replace the old version by the new one. Raises StorageError and NotFound; any other error is an outcome."""
        document = encoded.document
        try:
            with interrupts_held_back():
                generation, retired = self._store.replace(
                    self._collection, document, encoded.chunks, encoded.vectors, encoded.blobs
                )
                self._announce(Commit(self._collection, generation, document, encoded.chunks, encoded.vectors, retired))
        except _ENDS_THE_RUN:
            raise
        except Exception as error:
            return self.fail(document.source, error_info(error, document.source))
        status, warnings = DocumentStatus.INDEXED, document.warnings
        return DocumentOutcome(document.id, document.source, status, len(encoded.chunks), warnings=warnings)

    def fail(self, source: str, error: ErrorInfo) -> DocumentOutcome:
        """Record a failure beside the live version, which stays. `id` is None where not even that was possible."""
        try:
            own_id = self.make_id(source)
            with interrupts_held_back():
                self._store.record_failure(self._collection, own_id, source, error)
        except _ENDS_THE_RUN:
            raise
        except QuotaExceeded:  # no room for the note either
            return DocumentOutcome(None, source, DocumentStatus.FAILED, error=error)
        except Exception:
            log.exception("The failure of %r could not be recorded.", source)
            return DocumentOutcome(None, source, DocumentStatus.FAILED, error=error)
        return DocumentOutcome(own_id, source, DocumentStatus.FAILED, error=error)

    def unchanged(self, source: str) -> DocumentOutcome:
        """The outcome for a version that the store holds already."""
        own_id = self.make_id(source)
        try:
            chunks = self._store.get_info(own_id).chunks
        except NotFound:  # deleted since it was looked up
            chunks = 0
        return DocumentOutcome(own_id, source, DocumentStatus.UNCHANGED, chunks)

    def _announce(self, commit: Commit) -> None:
        if self._on_commit is None:
            return
        try:
            self._on_commit(commit)
        except Exception:
            log.exception(
                "%r is stored, but the indexes of %r could not follow; they catch up at the next commit or reindex.",
                commit.document.source,
                commit.collection,
            )
