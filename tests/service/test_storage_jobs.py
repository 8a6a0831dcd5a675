from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import pytest

from domain.errors import NotFound
from domain.jobs import ErrorInfo, Job, JobStatus
from domain.protocols import JobQueue
from service.storage.database import Database
from service.storage.jobs import MAX_ATTEMPTS, SqlJobQueue


@pytest.fixture
def queue(database: Database) -> SqlJobQueue:
    return SqlJobQueue(database)


def _claimed(queue: SqlJobQueue) -> Job:
    job = queue.claim()
    assert job is not None
    return job


def test_a_job_that_was_enqueued_is_there_for_the_next_process(
    queue: SqlJobQueue, open_again: Callable[[], Database]
) -> None:
    as_protocol: JobQueue = queue
    job = as_protocol.enqueue("ingest", {"name": "bericht 年报.pdf", "n": 3}, b"\x00%PDF\xff")
    found = _claimed(SqlJobQueue(open_again()))
    assert (found.id, found.kind, found.blob, found.attempts) == (job.id, "ingest", b"\x00%PDF\xff", 1)
    assert found.payload == {"name": "bericht 年报.pdf", "n": 3}
    assert found.status is JobStatus.RUNNING


def test_jobs_run_in_order_of_arrival_and_once(queue: SqlJobQueue) -> None:
    ids = [queue.enqueue("ingest", {"n": n}).id for n in range(5)]
    assert [_claimed(queue).id for _ in ids] == ids
    assert queue.claim() is None


def test_a_finished_job_lets_go_of_its_bytes_a_failed_one_keeps_them(queue: SqlJobQueue, database: Database) -> None:
    done, failed = queue.enqueue("ingest", {}, b"done"), queue.enqueue("ingest", {}, b"failed")
    queue.claim(), queue.claim()
    queue.complete(done.id)
    queue.fail(failed.id, ErrorInfo("parser_crashed", "Send another file."))
    assert queue.get(done.id).status is JobStatus.READY
    assert queue.get(failed.id).status is JobStatus.FAILED
    assert queue.get(failed.id).error == ErrorInfo("parser_crashed", "Send another file.")
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT blob FROM job_blobs").scalars().all() == [b"failed"]


def test_looking_at_a_job_does_not_load_its_bytes(queue: SqlJobQueue) -> None:
    job = queue.enqueue("ingest", {}, b"bytes")
    assert queue.get(job.id).blob is None


def test_c9_a_job_of_a_killed_worker_comes_back(queue: SqlJobQueue) -> None:
    job = queue.enqueue("ingest", {}, b"bytes")
    waiting = queue.enqueue("ingest", {})
    queue.claim()
    assert queue.requeue_running() == 1
    assert queue.get(job.id).status is JobStatus.QUEUED
    again = _claimed(queue)
    assert (again.id, again.attempts, again.blob) == (job.id, 2, b"bytes")
    assert _claimed(queue).id == waiting.id


def test_c11_a_job_that_kills_every_worker_fails_and_the_queue_moves_on(queue: SqlJobQueue) -> None:
    poison, good = queue.enqueue("ingest", {}, b"poison"), queue.enqueue("ingest", {})
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert _claimed(queue).attempts == attempt
        assert queue.requeue_running() == (1 if attempt < MAX_ATTEMPTS else 0)
    assert queue.get(poison.id).status is JobStatus.FAILED
    error = queue.get(poison.id).error
    assert error is not None and error.code == "worker_crashed"
    assert _claimed(queue).id == good.id


def test_an_unknown_job_is_not_found(queue: SqlJobQueue) -> None:
    for call in (queue.get, queue.complete, lambda name: queue.fail(name, ErrorInfo("x", "y"))):
        with pytest.raises(NotFound, match="job-nowhere"):
            call("job-nowhere")


def test_a2_a_foreign_tenant_sees_no_jobs(queue: SqlJobQueue, database: Database) -> None:
    job = queue.enqueue("ingest", {}, b"secret")
    foreign = SqlJobQueue(database, "foreign")
    assert foreign.claim() is None
    for call in (foreign.get, foreign.complete):
        with pytest.raises(NotFound):
            call(job.id)
    queue.claim()
    assert foreign.requeue_running() == 0
    assert queue.get(job.id).status is JobStatus.RUNNING


def test_many_claimers_never_get_the_same_job(queue: SqlJobQueue) -> None:
    ids = {queue.enqueue("ingest", {"n": n}).id for n in range(24)}
    claimed: list[str] = []

    def work() -> None:
        while (job := queue.claim()) is not None:
            claimed.append(job.id)
            queue.complete(job.id)

    threads = [Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(ids)
