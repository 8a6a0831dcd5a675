"""The upload worker: every acknowledged job ends ready or failed, whatever happens to the process or the database."""

import threading

import pytest

from domain.documents import document_id
from domain.errors import IndexModelMismatch, StorageError
from domain.jobs import ErrorInfo, JobStatus
from service.worker import UPLOAD, JobWorker, UploadHandler, upload_payload
from tests.service.api_fakes import FakeEngine, FakeJobQueue


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def jobs():
    return FakeJobQueue()


@pytest.fixture
def worker(engine, jobs):
    return JobWorker(jobs, {UPLOAD: UploadHandler(engine)}, poll_seconds=0.02)


def file_payload(source):
    return upload_payload("file", tenant="local", collection="default", source=source, name=source)


def test_a_file_is_indexed_under_the_id_that_was_promised(engine, jobs, worker):
    payload = file_payload("lease.txt")
    job = jobs.enqueue(UPLOAD, payload, b"Rent is 900 euros.")

    assert worker.run_one()

    assert jobs.get(job.id).status is JobStatus.READY
    assert payload["document_id"] == document_id("local", "default", "lease.txt")
    assert engine.document(payload["document_id"]).text == "Rent is 900 euros."


def test_a_text_keeps_its_title_and_a_url_is_fetched_by_the_engine(engine, jobs, worker):
    text = upload_payload("text", tenant="local", collection="notes", source="text-1", title="备忘录")
    jobs.enqueue(UPLOAD, text, "租金每月900欧元。".encode())
    jobs.enqueue(UPLOAD, upload_payload("url", tenant="local", collection="default", source="https://example.org/a"))

    assert worker.run_one() and worker.run_one() and not worker.run_one()

    assert engine.document(text["document_id"]).title == "备忘录"
    assert engine.document(text["document_id"]).text == "租金每月900欧元。"
    assert engine.calls == [("ingest", ["https://example.org/a"], "default")]


def test_a_document_that_cannot_be_read_fails_its_job_with_the_reason(jobs, worker):
    job = jobs.enqueue(UPLOAD, file_payload("x.pdf"), b"BAD")
    worker.run_one()
    assert jobs.get(job.id).status is JobStatus.FAILED
    assert jobs.get(job.id).error.code == "corrupt_document"


def test_an_error_of_the_engine_fails_the_job_with_its_code(engine, jobs, worker, monkeypatch):
    def refuse(*args, **kwargs):
        raise IndexModelMismatch("Stored vectors come from another encoder; run `fovea reindex`.")

    monkeypatch.setattr(engine, "ingest_bytes", refuse)
    job = jobs.enqueue(UPLOAD, file_payload("a.txt"), b"text")
    worker.run_one()
    assert jobs.get(job.id).error.code == "index_model_mismatch"


def test_a_bug_in_one_job_fails_that_job_without_telling_its_innards_and_the_next_job_runs(jobs):
    def handler(job):
        if job.payload["number"] == 1:
            raise RuntimeError("secret /path/of/server")
        return None

    worker = JobWorker(jobs, {"k": handler})
    first, second = jobs.enqueue("k", {"number": 1}), jobs.enqueue("k", {"number": 2})
    assert worker.run_one() and worker.run_one()
    assert jobs.get(first.id).error.code == "internal_error"
    assert "secret" not in jobs.get(first.id).error.message
    assert jobs.get(second.id).status is JobStatus.READY


def test_a_job_of_an_unknown_kind_fails_and_does_not_block_the_queue(jobs, worker):
    job = jobs.enqueue("from_a_newer_release", {})
    worker.run_one()
    assert jobs.get(job.id).error == ErrorInfo(
        "unknown_job", "This version knows no jobs of the kind 'from_a_newer_release'."
    )


def test_start_puts_back_what_a_killed_process_left_running(jobs, worker):
    job = jobs.enqueue(UPLOAD, file_payload("a.txt"), b"text")
    jobs.claim()  # and the process dies here
    worker.start()
    try:
        wait_until(lambda: jobs.get(job.id).status is JobStatus.READY)
        assert jobs.get(job.id).attempts == 2
    finally:
        assert worker.stop()


def test_stop_finishes_the_job_in_hand_and_takes_no_other(jobs):
    entered, go_on = threading.Event(), threading.Event()

    def handler(job):
        entered.set()
        assert go_on.wait(20)
        return None

    worker = JobWorker(jobs, {"k": handler})
    first, second = jobs.enqueue("k", {}), jobs.enqueue("k", {})
    worker.start()
    assert entered.wait(20)
    threading.Timer(0.1, go_on.set).start()
    assert worker.stop(20)
    assert jobs.get(first.id).status is JobStatus.READY
    assert jobs.get(second.id).status is JobStatus.QUEUED


def test_stop_says_when_the_job_in_hand_does_not_end_in_time(jobs):
    entered, go_on = threading.Event(), threading.Event()

    def handler(job):
        entered.set()
        assert go_on.wait(20)
        return None

    worker = JobWorker(jobs, {"k": handler})
    jobs.enqueue("k", {})
    worker.start()
    assert entered.wait(20)
    assert not worker.stop(0.05)
    go_on.set()
    assert worker.stop(20)


def test_a_database_that_is_away_for_a_moment_costs_no_result(jobs):
    failures = iter([StorageError("locked"), StorageError("locked")])
    complete = jobs.complete

    def flaky_complete(job_id):
        for error in failures:
            raise error
        complete(job_id)

    jobs.complete = flaky_complete
    runs = []
    worker = JobWorker(jobs, {"k": lambda job: runs.append(job.id)}, poll_seconds=0.02)
    job = jobs.enqueue("k", {})
    worker.start()
    try:
        wait_until(lambda: jobs.get(job.id).status is JobStatus.READY)
        assert runs == [job.id], "the work itself was not repeated"
    finally:
        worker.stop()


def test_the_worker_survives_a_queue_that_cannot_be_read(jobs):
    failures = iter([StorageError("gone")])
    claim = jobs.claim

    def flaky_claim():
        for error in failures:
            raise error
        return claim()

    jobs.claim = flaky_claim
    heard = []
    worker = JobWorker(jobs, {"k": lambda job: None}, poll_seconds=0.02, observe=heard.append)
    job = jobs.enqueue("k", {})
    worker.start()
    try:
        wait_until(lambda: heard == ["ready"])
        assert jobs.get(job.id).status is JobStatus.READY
    finally:
        worker.stop()


def wait_until(condition):
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("the condition did not come true")
