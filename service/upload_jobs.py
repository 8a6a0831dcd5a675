"""Uploads as jobs: what such a job carries, and how it becomes a document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from domain.documents import document_id
from domain.jobs import DocumentOutcome, DocumentStatus, IngestProgress, IngestReport, Job
from service.lanes import Hold, Outcome

UPLOAD = "upload"


class Indexing(Protocol):
    """The engine's verbs that an upload needs."""

    def ingest(
        self, inputs: Sequence[str | Path], *, collection: str, progress: Callable[[IngestProgress], None]
    ) -> IngestReport: ...

    def ingest_bytes(
        self,
        data: bytes,
        name: str,
        *,
        collection: str,
        source: str | None,
        media_type: str | None,
        progress: Callable[[IngestProgress], None],
    ) -> DocumentOutcome: ...

    def ingest_text(
        self,
        text: str,
        *,
        title: str,
        collection: str,
        source: str | None,
        progress: Callable[[IngestProgress], None],
    ) -> DocumentOutcome: ...


def upload_payload(
    form: str,
    *,
    tenant: str,
    collection: str,
    source: str,
    name: str = "",
    title: str = "",
    media_type: str | None = None,
) -> dict[str, Any]:
    """The payload of an upload job. `form` is "file", "text" or "url"; the id of the document is known at once."""
    return {
        "document_id": document_id(tenant, collection, source),
        "form": form,
        "collection": collection,
        "source": source,
        "name": name,
        "title": title,
        "media_type": media_type,
    }


class UploadHandler:
    """Indexes what one upload job carries; returns the error where the document failed."""

    def __init__(self, engine_of: Callable[[str], Indexing]) -> None:
        self._engine_of = engine_of

    def __call__(self, job: Job, hold: Hold) -> Outcome:
        with hold.writing():
            outcome = self._index(self._engine_of(job.tenant), job, lambda _: hold.check())
        return outcome.error if outcome.status is DocumentStatus.FAILED else None

    def _index(self, engine: Indexing, job: Job, progress: Callable[[IngestProgress], None]) -> DocumentOutcome:
        payload, blob = job.payload, job.blob or b""
        collection, source = payload["collection"], payload["source"]
        if payload["form"] == "url":
            return engine.ingest([source], collection=collection, progress=progress).documents[0]
        if payload["form"] == "text":
            text, title = blob.decode("utf-8"), payload["title"]
            return engine.ingest_text(text, title=title, collection=collection, source=source, progress=progress)
        return engine.ingest_bytes(
            blob,
            payload["name"],
            collection=collection,
            source=source,
            media_type=payload["media_type"],
            progress=progress,
        )
