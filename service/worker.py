"""Runs jobs in the background: uploads become documents after their request was answered.

A job that was acknowledged is durable; the worker only has to be somewhere. It claims the oldest job, hands it to the
handler of its kind, and marks it ready or failed. A process that is killed leaves its job `running`: the next start
puts it back. Indexing the same bytes twice changes nothing, so running a job again is safe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import structlog

from domain.documents import document_id
from domain.errors import FoveaError, StorageError
from domain.jobs import DocumentOutcome, DocumentStatus, ErrorInfo, IngestReport, Job
from domain.protocols import JobQueue

log = structlog.get_logger("fovea.worker")

UPLOAD = "upload"
_FIRST_PAUSE_SECONDS = 0.2  # after a database error; doubles up to the last
_LAST_PAUSE_SECONDS = 10.0

Handler = Callable[[Job], ErrorInfo | None]


class Indexing(Protocol):
    """The engine's verbs that an upload needs."""

    def ingest(self, inputs: Sequence[str | Path], *, collection: str) -> IngestReport: ...

    def ingest_bytes(
        self, data: bytes, name: str, *, collection: str, source: str | None, media_type: str | None
    ) -> DocumentOutcome: ...

    def ingest_text(self, text: str, *, title: str, collection: str, source: str | None) -> DocumentOutcome: ...


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

    def __init__(self, engine: Indexing) -> None:
        self._engine = engine

    def __call__(self, job: Job) -> ErrorInfo | None:
        outcome = self._index(job.payload, job.blob or b"")
        return outcome.error if outcome.status is DocumentStatus.FAILED else None

    def _index(self, payload: Mapping[str, Any], blob: bytes) -> DocumentOutcome:
        collection, source = payload["collection"], payload["source"]
        if payload["form"] == "url":
            return self._engine.ingest([source], collection=collection).documents[0]
        if payload["form"] == "text":
            text = blob.decode("utf-8")
            return self._engine.ingest_text(text, title=payload["title"], collection=collection, source=source)
        return self._engine.ingest_bytes(
            blob, payload["name"], collection=collection, source=source, media_type=payload["media_type"]
        )


class JobWorker:
    """One thread that works through the queue. `handlers` maps a job's kind to what runs it.

    `observe` hears the result of each job, "ready" or "failed".
    """

    def __init__(
        self,
        jobs: JobQueue,
        handlers: Mapping[str, Handler],
        *,
        poll_seconds: float = 1.0,
        observe: Callable[[str], None] = lambda result: None,
    ) -> None:
        self._jobs = jobs
        self._handlers = dict(handlers)
        self._poll_seconds = poll_seconds
        self._observe = observe
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Put back what a killed process left running, then work in the background. Raises StorageError."""
        back = self._jobs.requeue_running()
        if back:
            log.info("jobs_requeued", count=back)
        # A daemon: a parse that outlasts `stop` must not keep the process alive; its job is put back at the next start.
        self._thread = threading.Thread(target=self._run, name="fovea-worker", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that there is a new job, so that it need not wait for the next look at the queue."""
        self._wake.set()

    def stop(self, timeout_seconds: float = 20.0) -> bool:
        """Finish the job in hand and take no other; False where it did not end in time."""
        self._stopping.set()
        self._wake.set()
        if self._thread is None:
            return True
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def run_one(self) -> bool:
        """Claim and run one job; False where the queue is empty. Raises StorageError."""
        job = self._jobs.claim()
        if job is None:
            return False
        error = self._handle(job)
        self._settle(job, error)
        self._observe("failed" if error else "ready")
        return True

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                busy = self.run_one()
                pause = _FIRST_PAUSE_SECONDS
            except Exception as error:  # the thread must outlive whatever the database does
                log.warning("queue_unavailable", reason=str(error))
                self._stopping.wait(pause)
                pause = min(2 * pause, _LAST_PAUSE_SECONDS)
                continue
            if not busy:
                self._wake.wait(self._poll_seconds)

    def _handle(self, job: Job) -> ErrorInfo | None:
        handler = self._handlers.get(job.kind)
        if handler is None:
            return ErrorInfo("unknown_job", f"This version knows no jobs of the kind {job.kind!r}.")
        try:
            return handler(job)
        except FoveaError as error:
            log.warning("job_failed", job=job.id, kind=job.kind, code=error.code)
            return ErrorInfo(error.code, error.message)
        except Exception:  # a bug in one job must not stop the others
            log.exception("job_crashed", job=job.id, kind=job.kind)
            return ErrorInfo(
                "internal_error", "Something went wrong while this was processed; the server's log has the details."
            )

    def _settle(self, job: Job, error: ErrorInfo | None) -> None:
        """Write the result down, waiting out a database that is away: finished work is not thrown away."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                if error:
                    self._jobs.fail(job.id, error)
                else:
                    self._jobs.complete(job.id)
                return
            except StorageError:
                if self._stopping.wait(pause):
                    raise
                pause = min(2 * pause, _LAST_PAUSE_SECONDS)
