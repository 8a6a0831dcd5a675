"""An engine and a job queue in memory, with the verbs and the promises of the real ones, for tests of the HTTP side."""

import threading
from contextlib import nullcontext
from dataclasses import replace

from domain.answers import Answer, Citation, Usage
from domain.context import Context, ContextBill, Dropped
from domain.documents import Document, Page, Span, document_id
from domain.errors import JobLost, NotFound, UsageError
from domain.explanation import AttendedChunk, AttendedSentence, AttendedToken, Explanation, QuestionToken
from domain.jobs import (
    CollectionInfo,
    DocumentInfo,
    DocumentOutcome,
    DocumentStatus,
    ErrorInfo,
    IngestReport,
    Job,
    JobStatus,
)
from domain.search import DEFAULT_TENANT, Evidence, EvidenceSentence
from domain.search_result import SearchResult

LEASE = "The lease began in 2019. Rent is 900 euros a month. It is paid on the third working day."
QUOTE = "Rent is 900 euros a month."


class FakeEngine:
    """Answers every question from the stored document that holds `quote`; refuses bytes that start with b"BAD"."""

    model = "fake-model"

    def __init__(self, texts=None, quote=QUOTE, parts=("Rent is 900 euros ", "a month [1].")):
        self.documents = {}
        self.collections = {"default"}
        self.quote = quote
        self.parts = list(parts)
        self.error = None  # raised before the first part
        self.late_error = None  # raised after the last part
        self.between_parts = lambda: None
        self.stream_closed = threading.Event()
        self.calls = []
        for source, text in (texts or {}).items():
            self.ingest_text(text, title=source, source=source)

    # -- documents

    def ingest(self, inputs, *, collection="default", progress=None):
        self.calls.append(("ingest", inputs, collection))
        return IngestReport(
            tuple(self.ingest_text(f"Page at {url}.", source=url, collection=collection) for url in inputs), 0.1
        )

    def ingest_bytes(self, data, name, *, collection="default", source=None, media_type=None, progress=None):
        if data.startswith(b"BAD"):
            error = ErrorInfo("corrupt_document", f"{name} cannot be read; open it and save it again.")
            return DocumentOutcome(None, source or name, DocumentStatus.FAILED, error=error)
        return self.ingest_text(data.decode(), title=name, collection=collection, source=source or name)

    def ingest_text(self, text, *, title="", collection="default", source=None, progress=None):
        self.collections.add(collection)
        identity = document_id(DEFAULT_TENANT, collection, source or text[:20])
        pages = (Page(1, Span(0, min(25, len(text)))), Page(2, Span(min(25, len(text)), len(text))))
        document = Document(identity, source or "", title, text, "text/plain", "hash", pages=pages)
        self.documents[identity] = (collection, document)
        return DocumentOutcome(identity, source or "", DocumentStatus.INDEXED, 1)

    def list_documents(self, collection=None, limit=100, after=None):
        infos = [self._info(key) for key in sorted(self.documents)]
        return [info for info in infos if collection in (None, info.collection) and info.id > (after or "")][:limit]

    def get_document(self, document_id):
        self.document(document_id)
        return self._info(document_id)

    def document(self, document_id):
        if document_id not in self.documents:
            raise NotFound(f"There is no document {document_id!r}.")
        return self.documents[document_id][1]

    def delete(self, document_ids):
        for item in [document_ids] if isinstance(document_ids, str) else document_ids:
            self.document(item)
            del self.documents[item]

    def _info(self, key):
        collection, item = self.documents[key]
        indexed = DocumentStatus.INDEXED
        return DocumentInfo(
            item.id,
            item.source,
            item.title,
            collection,
            item.media_type,
            indexed,
            1,
            len(item.text),
            "2026-01-01T00:00:00Z",
        )

    # -- collections

    def list_collections(self):
        counted = [
            (name, sum(1 for where, _ in self.documents.values() if where == name)) for name in sorted(self.collections)
        ]
        return [CollectionInfo(name, count, count, "fake-encoder", 4) for name, count in counted]

    def create_collection(self, name):
        if name in self.collections:
            raise UsageError(f"There is a collection {name!r} already.", code="collection_exists")
        self.collections.add(name)
        return CollectionInfo(name, 0, 0, None, None)

    def delete_collection(self, name):
        if name not in self.collections:
            raise NotFound(f"There is no collection {name!r}.")
        self.collections.remove(name)

    # -- questions

    def search(self, question, *, max_tokens=None, collection="default", document_ids=(), metadata=None, history=()):
        options = {"max_tokens": max_tokens, "document_ids": list(document_ids), "metadata": metadata}
        self.calls.append(("search", question, {**options, "collection": collection, "history": list(history)}))
        if not question.strip():
            raise UsageError("The question is empty: ask something.")
        return self._found(question, collection)

    def ask(self, question, **options):
        *_, answer = self.stream(question, **options)
        return answer

    def stream(self, question, **options):
        self.calls.append(("stream", question, options))
        try:
            if self.error:
                raise self.error
            found = self._found(question, options.get("collection", "default"))
            for part in self.parts:
                yield part
                self.between_parts()
            if self.late_error:
                raise self.late_error
            yield self._answer("".join(self.parts), found)
        finally:
            self.stream_closed.set()

    def explain(self, question, *, document, collection="default", chunks=3, full=False):
        options = {"document": document, "collection": collection, "chunks": chunks, "full": full}
        self.calls.append(("explain", question, options))
        if not question.strip():
            raise UsageError("The question is empty: ask something.")
        if self.error:
            raise self.error
        item = self.document(document)
        span = Span(0, len(item.text))
        token = AttendedToken(Span(4, 9), item.text[4:9], (0.75, 0.5))
        sentence = AttendedSentence(span, item.text, 0.9, (0.75, 0.5), {"sentence": 4.1, "bias": -1.9}, 0.9)
        matrix = (((0.75,),), ((0.5,),)) if full else None
        chunk = AttendedChunk("chunk-1", span, 1, ("Terms",), 0.9, (0.75, 0.5), (sentence,), (token,), matrix)
        asked = QuestionToken(Span(0, 4), question[:4], (0.8, 0.5))
        return Explanation(
            question, item.id, item.source, item.title, collection, "attention", ("meaning", "words"), (asked,),
            (chunk,), 1,
        )  # fmt: skip

    def status(self):
        return {"encoder": {"model_id": "fake-encoder", "dim": 4}}

    def close(self):
        pass

    def _found(self, question, collection):
        bill = ContextBill(20, 5, 0, 30, 8, 512, 8192, 400, "fake")
        evidence = tuple(self._evidence(item) for where, item in self.documents.values() if where == collection)[:1]
        dropped = (Dropped("chunk-9", "doc-9", "rank", 120, 0.1),)
        return SearchResult(Context(question, (), evidence, bill, dropped, 38), {"encode": 1.5, "retrieve": 2.0})

    def _evidence(self, document):
        start = max(0, document.text.find(self.quote))
        span = Span(start, min(start + len(self.quote), len(document.text)))
        return Evidence(
            mark=1, document_id=document.id, source=document.source, title=document.title, page=2,
            heading_path=("Terms",),
            chunk_id="chunk-1", text=span.of(document.text), spans=(span,), score=0.9,
            scores={"dense": 0.8, "lexical": None, "fused": 0.5, "attention": 0.9},
            sentences=(EvidenceSentence(span, 0.9),), tokens=30,
        )  # fmt: skip

    def _answer(self, text, found):
        citations = tuple(
            Citation(1, item.document_id, item.source, item.title, item.spans[0], item.page, item.text, True)
            for item in found.evidence
        )
        timings = {**found.timings, "generate": 3.0, "total": 7.0}
        return Answer(text, citations, found, self.model, Usage(63, 9), timings, abstained=not found.evidence)


class FakeJobQueue:
    """Implements JobQueue and JobSource in a dict."""

    def __init__(self):
        self.jobs = {}
        self._receipts = {}
        self._lock = threading.Lock()

    def submit(self, jobs, receipt=None):
        with self._lock:
            earlier = self._receipts.setdefault(receipt.key, receipt) if receipt else receipt
            if earlier is not receipt:
                if earlier.fingerprint != receipt.fingerprint:
                    raise UsageError("The key was used for another request.", code="idempotency_key_reused")
                return earlier
            for job in jobs:
                self.jobs[job.id] = Job(job.id, job.kind, JobStatus.QUEUED, dict(job.payload), blob=job.blob)
            return None

    def earlier(self, receipt):
        return self.submit([], receipt) if receipt.key in self._receipts else None

    def claim(self, takes=lambda kind: True):
        with self._lock:
            for job in self.jobs.values():
                if job.status is JobStatus.QUEUED and takes(job.kind):
                    claimed = replace(job, status=JobStatus.RUNNING, attempts=job.attempts + 1, lease=job.id)
                    self.jobs[job.id] = claimed
                    return claimed
            return None

    def complete(self, job):
        self._move(job, status=JobStatus.READY, blob=None)

    def fail(self, job, error):
        self._move(job, status=JobStatus.FAILED, error=error)

    def release(self, job, turn):
        self._move(job, status=JobStatus.QUEUED)

    def beat(self, jobs):
        return self.lost(jobs)

    def lost(self, jobs):
        return [job for job in jobs if self.jobs[job.id].lease != job.lease]

    def holding(self, job):
        return nullcontext()

    def is_awaited(self, job):
        return any(other.status is JobStatus.QUEUED and other.kind == job.kind for other in self.jobs.values())

    def take_over(self):
        return 0

    def get(self, job_id):
        if job_id not in self.jobs:
            raise NotFound(f"There is no job {job_id!r}.")
        return replace(self.jobs[job_id], blob=None)

    def of_document(self, document_id):
        found = [job for job in self.jobs.values() if job.payload.get("document_id") == document_id]
        return [replace(job, blob=None) for job in reversed(found)]

    def cancel(self, job_id, reason):
        if not self.get(job_id).status.finished:
            self._set(job_id, status=JobStatus.CANCELLED, lease=None, error=ErrorInfo("cancelled", reason))
        return self.get(job_id)

    def cancel_collection(self, collection, reason):
        found = [job for job in self.jobs.values() if job.payload.get("collection") == collection]
        unfinished = [job.id for job in found if not job.status.finished]
        for job_id in unfinished:
            self.cancel(job_id, reason)
        return len(unfinished)

    def requeue_own(self):
        running = [job.id for job in self.jobs.values() if job.status is JobStatus.RUNNING]
        for job_id in running:
            self._set(job_id, status=JobStatus.QUEUED, lease=None)
        return len(running)

    def _move(self, job, **changes):
        if self.lost([job]):
            raise JobLost(f"Job {job.id!r} is no longer held.")
        self._set(job.id, lease=None, **changes)

    def _set(self, job_id, **changes):
        with self._lock:
            self.jobs[job_id] = replace(self.jobs[job_id], **changes)


def local_client(engine, jobs=None, **options):
    """A test client as the local user; use it as a context manager to run the upload worker."""
    from starlette.testclient import TestClient

    from service.api.app import create_app

    app = create_app(engine, jobs or FakeJobQueue(), **options)
    return TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000), raise_server_exceptions=False)


def events_of(text):
    """Server-sent events as (name, data) pairs; data is a string."""
    events = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        events.append((lines.get("event"), lines["data"]))
    return events
