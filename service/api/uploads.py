"""Uploads as jobs: names made harmless, identities fixed, bytes committed before the caller hears of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from domain.access import Scope
from domain.documents import text_source
from domain.errors import NotFound, UsageError
from domain.job_protocols import JobQueue
from domain.jobs import DocumentInfo, Job, JobStatus, NewJob, Receipt
from ingestion.text_gate import clean
from service.api.idempotency import receipt_of
from service.api.schemas import TextUpload, UrlUpload
from service.upload_jobs import UPLOAD, upload_payload

if TYPE_CHECKING:
    from service.bound_engine import BoundEngine

_MAX_NAME = 255
_MAX_SOURCE = 1000


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file as it came over the wire; `name` may hold folders and is display data only."""

    name: str
    data: bytes
    media_type: str | None


class Uploads:
    """Accepts a caller's uploads and tells how far they are. `notice` hears that a job was cancelled."""

    def __init__(self, jobs: JobQueue, engine: BoundEngine, notice: Callable[[], None] = lambda: None) -> None:
        self._jobs = jobs
        self._engine = engine
        self._notice = notice
        self._tenant = engine.principal.tenant

    def submit(
        self, jobs: Sequence[NewJob], key: str | None = None, check_room: Callable[[], None] = lambda: None
    ) -> tuple[Mapping[str, Any], Receipt | None]:
        """Commit all jobs of a request, or none: (the reply, the receipt where the request was here before).

        What `check_room` raises keeps out what is new, and not the reply to what was taken before. Raises UsageError
        "idempotency_key_reused".
        """
        content = [[job.payload, sha256(job.blob or b"").hexdigest()] for job in jobs]
        response = {"documents": [_accepted(job) for job in jobs]}
        sent = [replace(job, payload={**job.payload, "key_id": self._engine.principal.key_id}) for job in jobs]
        receipt = receipt_of(key, ["documents", content], response)
        earlier = self._jobs.earlier(receipt) if receipt else None
        if earlier is None:
            check_room()
            earlier = self._jobs.submit(sent, receipt)
        return (earlier.response if earlier else response), earlier

    def accept_file(self, file: UploadedFile, collection: str, source: str = "") -> NewJob:
        """The job of one file; `source` is its identity where its name is not."""
        collection = self._engine.collection(collection)
        shown = clean_name(file.name)
        source = clean_name(source) or shown
        if not shown:
            raise UsageError("An uploaded file has no name; its name is its identity and tells its format.")
        if len(source) > _MAX_SOURCE:
            raise UsageError(f"A file name has {len(source):,} characters; at most {_MAX_SOURCE:,} are kept.")
        name = re.split(r"[/\\]", shown)[-1][-_MAX_NAME:]
        payload = upload_payload(
            "file", tenant=self._tenant, collection=collection, source=source, name=name, media_type=file.media_type
        )
        return NewJob(UPLOAD, payload, file.data)

    def accept_text(self, upload: TextUpload) -> NewJob:
        source = clean_name(upload.source or "") or text_source(upload.title, upload.text)
        collection = self._engine.collection(upload.collection)
        payload = upload_payload(
            "text", tenant=self._tenant, collection=collection, source=source, title=clean_name(upload.title)
        )
        return NewJob(UPLOAD, payload, upload.text.encode())

    def accept_url(self, upload: UrlUpload) -> NewJob:
        url = upload.url.strip()
        if not re.match(r"https?://", url, re.IGNORECASE):
            raise UsageError("Only http:// and https:// addresses can be fetched.", code="url_forbidden")
        collection = self._engine.collection(upload.collection)
        return NewJob(UPLOAD, upload_payload("url", tenant=self._tenant, collection=collection, source=url))

    def state(self, document: str) -> dict[str, Any]:
        """A document with its state: queued, running, failed or ready. Raises NotFound.

        A key that may not read is told the state, and of the document what it has itself sent.
        """
        jobs = self._jobs_of(document)
        newest = jobs[0] if jobs else None
        info = self._stored(document)
        if info is None and (newest is None or newest.status in (JobStatus.READY, JobStatus.CANCELLED)):
            raise NotFound(f"There is no document {document!r}.")
        state = _state(info, newest)
        if not self._engine.principal.may(Scope.READ):
            newest = self._own(newest)
            shown = _without_content(document, info, newest)
        else:
            shown = info.to_dict() if info else _pending(document, newest)
        return {**shown, "state": state, "job": newest.to_dict() if newest else None}

    def delete(self, document: str) -> None:
        """Delete a document and whatever of it waits to be indexed, or is being indexed. Raises NotFound."""
        unfinished = [job for job in self._jobs_of(document) if not job.status.finished]
        for job in unfinished:
            self._jobs.cancel(job.id, "The document was deleted before it was indexed.")
        self._notice()
        try:
            self._engine.delete(document)
        except NotFound:
            if not unfinished:
                raise

    def _jobs_of(self, document: str) -> list[Job]:
        sees = self._engine.principal.sees
        return [job for job in self._jobs.of_document(document) if sees(job.payload.get("collection", ""))]

    def _own(self, job: Job | None) -> Job | None:
        """The job where the caller's key has sent it."""
        return job if job is not None and job.payload.get("key_id") == self._engine.principal.key_id else None

    def _stored(self, document: str) -> DocumentInfo | None:
        try:
            return self._engine.get_document(document)
        except NotFound:
            return None


def clean_name(name: str) -> str:
    r"""A name without control, format and surrogate characters: it is shown, stored, and never used as a path.

    >>> clean_name(" re\x00port\u202e.pdf ")
    'report.pdf'
    """
    kept = (char for char in clean(name).text if unicodedata.category(char) not in ("Cc", "Cf", "Cs"))
    return "".join(kept).strip()


def _accepted(job: NewJob) -> dict[str, Any]:
    payload = job.payload
    return {
        "id": payload["document_id"],
        "source": payload["source"],
        "job_id": job.id,
        "status": JobStatus.QUEUED.value,
    }


def _state(info: DocumentInfo | None, newest: Job | None) -> str:
    if newest is not None and not newest.status.finished:
        return newest.status.value
    if newest is not None and newest.status is JobStatus.FAILED:
        return JobStatus.FAILED.value
    return JobStatus.FAILED.value if info is not None and info.error else JobStatus.READY.value


def _pending(document: str, job: Job | None) -> dict[str, Any]:
    """What is known of a document that is not stored yet: the shape of a stored one, with `status` null."""
    payload = job.payload if job else {}
    return {
        "id": document,
        "source": payload.get("source", ""),
        "title": payload.get("title") or payload.get("name") or payload.get("source", ""),
        "collection": payload.get("collection", ""),
        "media_type": payload.get("media_type") or "",
        "status": None,
        "chunks": 0,
        "characters": 0,
        "updated_at": "",
        "error": job.error.to_dict() if job and job.error else None,
        "metadata": {},
    }


def _without_content(document: str, info: DocumentInfo | None, own: Job | None) -> dict[str, Any]:
    """The shape of a document with nothing in it but what its sender knows, and how it stands."""
    shown = _pending(document, own)
    if info is None:
        return shown
    stored = info.to_dict()
    told = ("collection", "status", "updated_at", *(("chunks", "characters") if own else ()))
    return shown | {name: stored[name] for name in told}
