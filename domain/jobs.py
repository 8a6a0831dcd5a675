"""Work that outlives a call: ingestion reports, and jobs kept in SQL."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from domain.search import DEFAULT_TENANT


class DocumentStatus(StrEnum):
    INDEXED = "indexed"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """A failure as it is reported and stored: a stable code and a sentence that says what to do."""

    code: str
    message: str

    def to_dict(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message}

    @classmethod
    def from_dict(cls, data: Mapping[str, str] | None) -> ErrorInfo | None:
        return cls(**data) if data else None


@dataclass(frozen=True, slots=True)
class DocumentOutcome:
    """What became of one input of an ingest run. `id` is None when the input never became a document."""

    id: str | None
    source: str
    status: DocumentStatus
    chunks: int = 0
    error: ErrorInfo | None = None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "source": self.source,
            "status": self.status.value,
            "chunks": self.chunks,
            "error": self.error.to_dict() if self.error else None,
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DocumentOutcome:
        status, error = DocumentStatus(data["status"]), ErrorInfo.from_dict(data["error"])
        return cls(data["id"], data["source"], status, data["chunks"], error, tuple(data["warnings"]))


@dataclass(frozen=True, slots=True)
class IngestReport:
    """One ingest run, in the order of its inputs."""

    documents: tuple[DocumentOutcome, ...]
    seconds: float

    @property
    def failed(self) -> tuple[DocumentOutcome, ...]:
        return tuple(item for item in self.documents if item.status is DocumentStatus.FAILED)

    def to_dict(self) -> dict[str, Any]:
        return {"documents": [item.to_dict() for item in self.documents], "seconds": round(self.seconds, 3)}


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """A running total, sent to a progress bar. `documents_total` and `bytes_total` count what was found so far."""

    documents_done: int
    documents_total: int
    chunks_done: int
    source: str


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A line of a document listing. A document may be searchable (`chunks` > 0) and yet carry the error of a failed
    update.
    """

    id: str
    source: str
    title: str
    collection: str
    media_type: str
    status: DocumentStatus
    chunks: int
    characters: int
    updated_at: str
    error: ErrorInfo | None = None
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "source": self.source,
            "title": self.title,
            "collection": self.collection,
            "media_type": self.media_type,
            "status": self.status.value,
            "chunks": self.chunks,
            "characters": self.characters,
            "updated_at": self.updated_at,
            "error": self.error.to_dict() if self.error else None,
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DocumentInfo:
        parsed = {"status": DocumentStatus(data["status"]), "error": ErrorInfo.from_dict(data["error"])}
        return cls(**{**data, **parsed})


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection, with the encoder that its vectors come from (None until the first document)."""

    name: str
    documents: int
    chunks: int
    model_id: str | None
    dim: int | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "documents": self.documents,
            "chunks": self.chunks,
            "model_id": self.model_id,
            "dim": self.dim,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CollectionInfo:
        return cls(**data)


class JobStatus(StrEnum):
    QUEUED = "queued"  # committed, waiting for a worker
    RUNNING = "running"  # a worker holds it
    READY = "ready"  # done, its effect is visible
    FAILED = "failed"  # given up; `error` says why
    CANCELLED = "cancelled"  # stopped by its owner; nothing of it is written any more

    @property
    def finished(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class Turn(StrEnum):
    """Why a worker gives a job back that is not finished."""

    OVER = "over"  # it has got on, and others have waited: to the end of the line, its attempts forgotten
    STOPPED = "stopped"  # the worker ends: it stays in its place, and this was no attempt
    FAULT = "fault"  # the database refused: it stays in its place, and this was one of its attempts


def new_job_id() -> str:
    return f"job-{uuid.uuid4().hex[:20]}"


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is to be committed. Its id is known before it is, so that a reply can name it."""

    kind: str
    payload: Mapping[str, Any]
    blob: bytes | None = field(default=None, repr=False)
    id: str = field(default_factory=new_job_id)


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of deferred work. `payload` is JSON; `blob` holds uploaded bytes and is None in listings.

    `lease` names the worker that holds the job, and is None for everybody but that worker: what it writes counts as
    long as the job still has this lease.
    """

    id: str
    kind: str
    status: JobStatus
    payload: Mapping[str, Any]
    attempts: int = 0
    error: ErrorInfo | None = None
    blob: bytes | None = field(default=None, repr=False)
    tenant: str = DEFAULT_TENANT
    lease: str | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "status": self.status.value,
            "attempts": self.attempts,
            "error": self.error.to_dict() if self.error else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Job:
        status, error = JobStatus(data["status"]), ErrorInfo.from_dict(data["error"])
        return cls(data["id"], data["kind"], status, {}, data["attempts"], error)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a request with an idempotency key did: one that comes again is answered with `response`, and does nothing.

    `fingerprint` tells whether it is the same request.
    """

    key: str
    fingerprint: str
    response: Mapping[str, Any]
