"""The worker: every acknowledged job ends, whatever happens to the process, the database or the job's owner."""

import threading
from dataclasses import replace

import pytest

from domain.documents import document_id
from domain.errors import IndexModelMismatch, JobLost, StorageError
from domain.job_protocols import JobSource
from domain.jobs import ErrorInfo, JobStatus, Turn
from service.storage.documents import SqlDocumentStore
from service.storage.jobs import SqlJobQueue
from service.storage.leases import MAX_ATTEMPTS, SqlJobSource
from service.upload_jobs import UPLOAD, UploadHandler, upload_payload
from service.worker import JobWorker
from tests.service.api_fakes import FakeEngine, FakeJobQueue
from tests.service.storage_examples import enqueued, make_document, put
from tests.service.waiting import wait_until


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def jobs():
    return FakeJobQueue()


@pytest.fixture
def worker(engine, jobs):
    return JobWorker(jobs, {UPLOAD: UploadHandler(lambda tenant: engine)}, poll_seconds=0.02)


def file_payload(source):
    return upload_payload("file", tenant="local", collection="default", source=source, name=source)


def done(job, hold):
    return None


def test_a_file_is_indexed_under_the_id_that_was_promised(engine, jobs, worker):
    payload = file_payload("lease.txt")
    job = enqueued(jobs, UPLOAD, payload, b"Rent is 900 euros.")

    assert worker.run_one()

    assert jobs.get(job.id).status is JobStatus.READY
    assert payload["document_id"] == document_id("local", "default", "lease.txt")
    assert engine.document(payload["document_id"]).text == "Rent is 900 euros."


def test_a_text_keeps_its_title_and_a_url_is_fetched_by_the_engine(engine, jobs, worker):
    text = upload_payload("text", tenant="local", collection="notes", source="text-1", title="备忘录")
    enqueued(jobs, UPLOAD, text, "租金每月900欧元。".encode())
    enqueued(jobs, UPLOAD, upload_payload("url", tenant="local", collection="default", source="https://example.org/a"))

    assert worker.run_one() and worker.run_one() and not worker.run_one()

    assert engine.document(text["document_id"]).title == "备忘录"
    assert engine.document(text["document_id"]).text == "租金每月900欧元。"
    assert engine.calls == [("ingest", ["https://example.org/a"], "default")]


def test_a_job_is_run_by_the_engine_of_its_tenant(jobs):
    engines = {"local": FakeEngine(), "other": FakeEngine()}
    worker = JobWorker(jobs, {UPLOAD: UploadHandler(engines.__getitem__)})
    job = enqueued(jobs, UPLOAD, file_payload("a.txt"), b"text")
    jobs.jobs[job.id] = replace(jobs.jobs[job.id], tenant="other")
    assert worker.run_one()
    assert [len(engine.documents) for engine in engines.values()] == [0, 1]


def test_a_document_that_cannot_be_read_fails_its_job_with_the_reason(jobs, worker):
    job = enqueued(jobs, UPLOAD, file_payload("x.pdf"), b"BAD")
    worker.run_one()
    assert jobs.get(job.id).status is JobStatus.FAILED
    assert jobs.get(job.id).error.code == "corrupt_document"


def test_an_error_of_the_engine_fails_the_job_with_its_code(engine, jobs, worker, monkeypatch):
    def refuse(*args, **kwargs):
        raise IndexModelMismatch("Stored vectors come from another encoder; run `fovea reindex`.")

    monkeypatch.setattr(engine, "ingest_bytes", refuse)
    job = enqueued(jobs, UPLOAD, file_payload("a.txt"), b"text")
    worker.run_one()
    assert jobs.get(job.id).error.code == "index_model_mismatch"


def test_a_bug_in_one_job_fails_that_job_without_telling_its_innards_and_the_next_job_runs(jobs):
    def handler(job, hold):
        if job.payload["number"] == 1:
            raise RuntimeError("secret /path/of/server")

    worker = JobWorker(jobs, {"k": handler})
    first, second = enqueued(jobs, "k", {"number": 1}), enqueued(jobs, "k", {"number": 2})
    assert worker.run_one() and worker.run_one()
    assert jobs.get(first.id).error.code == "internal_error"
    assert "secret" not in jobs.get(first.id).error.message
    assert jobs.get(second.id).status is JobStatus.READY


def test_a_job_of_an_unknown_kind_fails_and_does_not_block_the_queue(jobs, worker):
    job = enqueued(jobs, "from_a_newer_release", {})
    worker.run_one()
    assert jobs.get(job.id).error == ErrorInfo(
        "unknown_job", "This version knows no jobs of the kind 'from_a_newer_release'."
    )


def test_a_job_whose_handler_says_so_goes_back_into_the_line(jobs):
    turns = iter([Turn.OVER, None])
    heard = []
    worker = JobWorker(jobs, {"k": lambda job, hold: next(turns)}, observe=lambda *of: heard.append(of))
    job = enqueued(jobs, "k", {})
    assert worker.run_one()
    assert jobs.get(job.id).status is JobStatus.QUEUED
    assert worker.run_one()
    assert (jobs.get(job.id).status, heard) == (JobStatus.READY, [("k", "ready")])


def test_c6_an_upload_does_not_wait_behind_a_long_batch(jobs):
    go_on, uploaded = threading.Event(), threading.Event()

    def long(job, hold):
        assert go_on.wait(20)

    worker = JobWorker(jobs, {UPLOAD: lambda job, hold: uploaded.set(), "batch": long}, poll_seconds=0.02)
    enqueued(jobs, "batch", {})
    enqueued(jobs, UPLOAD, {})
    worker.start()
    try:
        assert uploaded.wait(20)
    finally:
        go_on.set()
        assert worker.stop()


# -- the end of a process ----------------------------------------------------------------------------------------------


def test_c9_start_puts_back_what_a_killed_process_left_running(jobs, worker):
    job = enqueued(jobs, UPLOAD, file_payload("a.txt"), b"text")
    jobs.claim()  # and the process dies here
    worker.start()
    try:
        wait_until(lambda: jobs.get(job.id).status is JobStatus.READY)
        assert jobs.get(job.id).attempts == 2
    finally:
        assert worker.stop()


def test_stop_finishes_the_job_in_hand_and_takes_no_other(jobs):
    entered, go_on = threading.Event(), threading.Event()

    def handler(job, hold):
        entered.set()
        assert go_on.wait(20)

    worker = JobWorker(jobs, {"k": handler})
    first, second = enqueued(jobs, "k", {}), enqueued(jobs, "k", {})
    worker.start()
    assert entered.wait(20)
    threading.Timer(0.1, go_on.set).start()
    assert worker.stop(20)
    assert jobs.get(first.id).status is JobStatus.READY
    assert jobs.get(second.id).status is JobStatus.QUEUED


def test_c8_a_job_that_does_not_end_in_time_is_put_back_and_what_it_still_writes_is_refused(sqlite_database):
    queue, source = SqlJobQueue(sqlite_database), SqlJobSource(sqlite_database)
    store = SqlDocumentStore(sqlite_database)
    store.ensure_collection("default")
    entered, go_on, refused = threading.Event(), threading.Event(), threading.Event()

    def handler(job, hold):
        entered.set()
        assert go_on.wait(20)
        assert hold.lost and hold.stopping
        with hold.writing(), pytest.raises(JobLost):
            put(store, make_document("late", "too late"))
        refused.set()

    worker = JobWorker(source, {"k": handler})
    job = enqueued(queue, "k", {})
    worker.start()
    assert entered.wait(20)
    assert not worker.stop(0.05)
    put_back = queue.get(job.id)
    assert (put_back.status, put_back.attempts) == (JobStatus.QUEUED, 0), "and that was no attempt of it"
    go_on.set()
    assert refused.wait(20)
    assert store.list_documents() == []
    assert queue.get(job.id).status is JobStatus.QUEUED


# -- leases ------------------------------------------------------------------------------------------------------------


def test_c9_a_worker_shows_signs_of_life_for_as_long_as_it_works(sqlite_database):
    """The lease is 0.6 s here and the job takes three of them: a second worker watches, and never gets the job."""
    queue, runs, seconds = SqlJobQueue(sqlite_database), [], 0.6
    pause = threading.Event()

    def slow(job, hold):
        runs.append(job.id)
        pause.wait(3 * seconds)
        hold.check()

    workers = [
        JobWorker(
            SqlJobSource(sqlite_database, f"node {number}", lease_seconds=seconds),
            {"k": slow},
            poll_seconds=0.05,
            heartbeat_seconds=seconds / 6,
            look_seconds=seconds / 6,
        )
        for number in range(2)
    ]
    job = enqueued(queue, "k", {})
    for worker in workers:
        worker.start()
    try:
        wait_until(lambda: queue.get(job.id).status is JobStatus.READY)
    finally:
        for worker in workers:
            worker.stop()
    assert runs == [job.id]


def test_c9_the_job_of_a_worker_that_stands_still_is_resumed_by_another(sqlite_database):
    queue, done_by, seconds = SqlJobQueue(sqlite_database), [], 0.3
    job = enqueued(queue, "k", {})
    SqlJobSource(sqlite_database, "dead").claim(lambda kind: True)
    other = JobWorker(
        SqlJobSource(sqlite_database, "alive", lease_seconds=seconds),
        {"k": lambda job, hold: done_by.append(job.attempts)},
        poll_seconds=0.05,
        heartbeat_seconds=seconds / 6,
        look_seconds=seconds / 6,
    )
    other.start()
    try:
        wait_until(lambda: queue.get(job.id).status is JobStatus.READY)
    finally:
        other.stop()
    assert done_by == [2]


def test_c13_a_cancelled_job_is_told_so_and_the_next_one_runs(sqlite_database):
    queue, source = SqlJobQueue(sqlite_database), SqlJobSource(sqlite_database)
    entered, told = threading.Event(), threading.Event()

    def handler(job, hold):
        if job.payload["n"] == 1:
            entered.set()
            wait_until(lambda: hold.lost)
            told.set()
            hold.check()

    worker = JobWorker(source, {"k": handler}, poll_seconds=0.02)
    first, second = enqueued(queue, "k", {"n": 1}), enqueued(queue, "k", {"n": 2})
    worker.start()
    try:
        assert entered.wait(20)
        queue.cancel(first.id, "Not wanted.")
        worker.notice()
        assert told.wait(20)
        wait_until(lambda: queue.get(second.id).status is JobStatus.READY)
        assert queue.get(first.id).status is JobStatus.CANCELLED
    finally:
        assert worker.stop()


# -- a database that is away -------------------------------------------------------------------------------------------


def test_a_database_that_is_away_for_a_moment_costs_no_result(jobs):
    failures = iter([StorageError("locked"), StorageError("locked")])
    complete = jobs.complete

    def flaky_complete(job):
        for error in failures:
            raise error
        complete(job)

    jobs.complete = flaky_complete
    runs = []
    worker = JobWorker(jobs, {"k": lambda job, hold: runs.append(job.id)}, poll_seconds=0.02)
    job = enqueued(jobs, "k", {})
    worker.start()
    try:
        wait_until(lambda: jobs.get(job.id).status is JobStatus.READY)
        assert runs == [job.id], "the work itself was not repeated"
    finally:
        worker.stop()


def test_a_job_that_meets_a_database_that_is_away_is_tried_again(sqlite_database):
    queue = SqlJobQueue(sqlite_database)
    failures = iter([StorageError("locked")] * (MAX_ATTEMPTS - 1))

    def handler(job, hold):
        for error in failures:
            raise error

    worker = JobWorker(SqlJobSource(sqlite_database), {"k": handler})
    job = enqueued(queue, "k", {})
    for _ in range(MAX_ATTEMPTS):
        assert worker.run_one()
    assert queue.get(job.id).status is JobStatus.READY


def test_a_full_disk_is_no_fault_of_a_job(sqlite_database):
    queue = SqlJobQueue(sqlite_database)
    failures = iter([StorageError("full", code="storage_full")] * (3 * MAX_ATTEMPTS))

    def handler(job, hold):
        for error in failures:
            raise error

    worker = JobWorker(SqlJobSource(sqlite_database), {"k": handler})
    job = enqueued(queue, "k", {})
    for _ in range(3 * MAX_ATTEMPTS + 1):
        assert worker.run_one()
    assert queue.get(job.id).status is JobStatus.READY


def test_the_worker_survives_a_queue_that_cannot_be_read(jobs):
    failures = iter([StorageError("gone")])
    claim = jobs.claim

    def flaky_claim(takes):
        for error in failures:
            raise error
        return claim(takes)

    jobs.claim = flaky_claim
    heard = []
    worker = JobWorker(jobs, {"k": done}, poll_seconds=0.02, observe=lambda kind, result: heard.append(result))
    job = enqueued(jobs, "k", {})
    worker.start()
    try:
        wait_until(lambda: heard == ["ready"])
        assert jobs.get(job.id).status is JobStatus.READY
    finally:
        worker.stop()


def test_the_doubles_of_these_tests_keep_the_protocol(jobs, sqlite_database):
    for source in (jobs, SqlJobSource(sqlite_database)):
        as_protocol: JobSource = source
        assert as_protocol.claim(lambda kind: True) is None
