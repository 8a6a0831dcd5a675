"""The queue in SQL: durable, leased, fair; what a worker that has lost its job writes is refused."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

import migrations
from domain.errors import JobLost, NotFound, UsageError
from domain.job_protocols import JobQueue, JobSource
from domain.jobs import ErrorInfo, Job, JobStatus, NewJob, Receipt, Turn
from service.storage.database import Database, open_database
from service.storage.documents import SqlDocumentStore
from service.storage.jobs import SqlJobQueue
from service.storage.leases import LEASE_SECONDS, MAX_ATTEMPTS, SqlJobSource
from tests.service.storage_examples import enqueued, make_document, put


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def queue(database: Database) -> SqlJobQueue:
    return SqlJobQueue(database)


@pytest.fixture
def source(database: Database) -> SqlJobSource:
    return SqlJobSource(database, "here")


def anything(kind: str) -> bool:
    return True


def claimed(source: SqlJobSource) -> Job:
    job = source.claim(anything)
    assert job is not None
    return job


def watched(watcher: SqlJobSource, clock: Clock, seconds: float, step: float = 10.0) -> int:
    """Look every `step` seconds for `seconds`; how many jobs were put back."""
    back = watcher.take_over()
    for _ in range(round(seconds / step)):
        clock.now += step
        back += watcher.take_over()
    return back


# -- the queue ---------------------------------------------------------------------------------------------------------


def test_a_job_that_was_enqueued_is_there_for_the_next_process(
    queue: SqlJobQueue, open_again: Callable[[], Database]
) -> None:
    as_protocol: JobQueue = queue
    job = enqueued(as_protocol, "ingest", {"name": "bericht 年报.pdf", "n": 3}, b"\x00%PDF\xff")
    worker: JobSource = SqlJobSource(open_again())
    found = worker.claim(anything)
    assert found is not None
    assert (found.id, found.kind, found.blob, found.attempts) == (job.id, "ingest", b"\x00%PDF\xff", 1)
    assert found.payload == {"name": "bericht 年报.pdf", "n": 3}
    assert (found.status, found.tenant) == (JobStatus.RUNNING, "local")


def test_jobs_run_in_order_of_arrival_and_once(queue: SqlJobQueue, source: SqlJobSource) -> None:
    ids = [enqueued(queue, "ingest", {"n": n}).id for n in range(5)]
    assert [claimed(source).id for _ in ids] == ids
    assert source.claim(anything) is None


def test_a_worker_takes_only_its_kinds(queue: SqlJobQueue, source: SqlJobSource) -> None:
    batch, upload = enqueued(queue, "batch", {}), enqueued(queue, "upload", {})
    taken = source.claim(lambda kind: kind == "upload")
    assert taken is not None and taken.id == upload.id
    assert source.claim(lambda kind: kind == "upload") is None
    assert claimed(source).id == batch.id


def test_a_finished_job_lets_go_of_its_bytes_a_failed_one_keeps_them(
    queue: SqlJobQueue, source: SqlJobSource, database: Database
) -> None:
    enqueued(queue, "ingest", {}, b"done"), enqueued(queue, "ingest", {}, b"failed")
    done, failed = claimed(source), claimed(source)
    source.complete(done)
    source.fail(failed, ErrorInfo("parser_crashed", "Send another file."))
    assert queue.get(done.id).status is JobStatus.READY
    assert queue.get(failed.id).status is JobStatus.FAILED
    assert queue.get(failed.id).error == ErrorInfo("parser_crashed", "Send another file.")
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT blob FROM job_blobs").scalars().all() == [b"failed"]


def test_looking_at_a_job_does_not_load_its_bytes(queue: SqlJobQueue) -> None:
    job = enqueued(queue, "ingest", {}, b"bytes")
    assert queue.get(job.id).blob is None


def test_an_unknown_job_is_not_found(queue: SqlJobQueue) -> None:
    for call in (queue.get, lambda name: queue.cancel(name, "why")):
        with pytest.raises(NotFound, match="job-nowhere"):
            call("job-nowhere")


def test_a2_a_foreign_tenant_sees_and_stops_no_jobs(queue: SqlJobQueue, database: Database) -> None:
    job = enqueued(queue, "ingest", {"collection": "notes", "document_id": "doc-1"}, b"secret")
    foreign = SqlJobQueue(database, "foreign")
    with pytest.raises(NotFound):
        foreign.get(job.id)
    with pytest.raises(NotFound):
        foreign.cancel(job.id, "mine now")
    assert foreign.of_document("doc-1") == []
    assert foreign.cancel_collection("notes", "mine now") == 0
    assert queue.get(job.id).status is JobStatus.QUEUED


def test_c9_many_claimers_never_get_the_same_job(queue: SqlJobQueue, open_again: Callable[[], Database]) -> None:
    ids = {enqueued(queue, "ingest", {"n": n}).id for n in range(24)}
    finished: list[str] = []

    def work(source: SqlJobSource) -> None:
        while (job := source.claim(anything)) is not None:
            finished.append(job.id)
            source.complete(job)

    threads = [Thread(target=work, args=(SqlJobSource(open_again(), f"node {n}"),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(finished) == sorted(ids)


# -- leases ------------------------------------------------------------------------------------------------------------


def test_c9_a_job_of_a_dead_worker_is_taken_over_after_its_lease_and_goes_on(
    queue: SqlJobQueue, source: SqlJobSource, open_again: Callable[[], Database]
) -> None:
    job = enqueued(queue, "ingest", {}, b"bytes")
    dead = claimed(source)  # and shows no sign of life from here
    clock = Clock()
    other = SqlJobSource(open_again(), "elsewhere", clock=clock)
    assert watched(other, clock, LEASE_SECONDS - 10) == 0, "the lease holds"
    assert watched(other, clock, LEASE_SECONDS) == 1, "and ends before twice its time"
    again = claimed(other)
    assert (again.id, again.attempts, again.blob) == (job.id, 2, b"bytes")
    for write in (source.complete, lambda it: source.fail(it, ErrorInfo("x", "y"))):
        with pytest.raises(JobLost):
            write(dead)
    other.complete(again)
    assert queue.get(job.id).status is JobStatus.READY


def test_c9_a_worker_that_lives_keeps_its_job(
    queue: SqlJobQueue, source: SqlJobSource, open_again: Callable[[], Database]
) -> None:
    enqueued(queue, "ingest", {})
    job = claimed(source)
    clock = Clock()
    other = SqlJobSource(open_again(), "elsewhere", clock=clock)
    for _ in range(12):
        assert source.beat([job]) == []
        assert watched(other, clock, 10) == 0
    source.complete(job)


def test_c9_every_job_of_many_dead_workers_is_resumed(queue: SqlJobQueue, open_again: Callable[[], Database]) -> None:
    ids = [enqueued(queue, "ingest", {"n": n}).id for n in range(20)]
    for number in range(4):
        dead = SqlJobSource(open_again(), f"node {number}")
        for _ in range(5):
            claimed(dead)
    clock = Clock()
    survivor = SqlJobSource(open_again(), "survivor", clock=clock)
    assert watched(survivor, clock, 2 * LEASE_SECONDS) == len(ids)
    assert [claimed(survivor).id for _ in ids] == ids


def test_c9_an_installation_that_starts_again_takes_its_own_jobs_back_at_once(
    queue: SqlJobQueue, source: SqlJobSource, open_again: Callable[[], Database]
) -> None:
    mine, foreign = enqueued(queue, "ingest", {}), enqueued(queue, "ingest", {})
    claimed(source)
    other = SqlJobSource(open_again(), "elsewhere")
    held = claimed(other)
    assert SqlJobSource(open_again(), "here").requeue_own() == 1
    assert queue.get(mine.id).status is JobStatus.QUEUED
    assert (held.id, queue.get(foreign.id).status) == (foreign.id, JobStatus.RUNNING)


def test_c11_a_job_that_kills_every_worker_fails_after_three_and_holds_the_others_up_for_one_place(
    queue: SqlJobQueue, source: SqlJobSource
) -> None:
    poison = enqueued(queue, "ingest", {}, b"poison")
    others = [enqueued(queue, "ingest", {"n": n}).id for n in range(3)]
    assert claimed(source).id == poison.id
    assert source.requeue_own() == 1
    for name in others:
        job = claimed(source)
        assert job.id == name
        source.complete(job)
    for attempt in range(2, MAX_ATTEMPTS + 1):
        assert claimed(source).attempts == attempt
        assert source.requeue_own() == (1 if attempt < MAX_ATTEMPTS else 0)
    assert queue.get(poison.id).status is JobStatus.FAILED
    error = queue.get(poison.id).error
    assert error is not None and error.code == "worker_crashed"
    assert source.claim(anything) is None


def test_c16_no_wall_clock_decides_about_a_lease(
    queue: SqlJobQueue, source: SqlJobSource, open_again: Callable[[], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueued(queue, "ingest", {})
    job = claimed(source)
    clock = Clock()
    other = SqlJobSource(open_again(), "elsewhere", clock=clock)
    for jump in ("2001-01-01T00:00:00.000+00:00", "2099-01-01T00:00:00.000+00:00"):
        monkeypatch.setattr("service.storage.leases.now", lambda jump=jump: jump)
        assert source.beat([job]) == []
        assert watched(other, clock, 20) == 0
        assert other.claim(anything) is None
    source.complete(job)


def test_c16_a_watcher_that_slept_does_not_take_the_others_for_dead(
    queue: SqlJobQueue, source: SqlJobSource, open_again: Callable[[], Database]
) -> None:
    enqueued(queue, "ingest", {})
    job = claimed(source)
    clock = Clock()
    other = SqlJobSource(open_again(), "elsewhere", clock=clock)
    assert other.take_over() == 0
    clock.now += 3600  # the whole machine was asleep, with both of them
    assert other.take_over() == 0
    source.complete(job)


# -- stopping ----------------------------------------------------------------------------------------------------------


def test_c13_a_cancelled_job_writes_nothing_any_more(
    queue: SqlJobQueue, source: SqlJobSource, store: SqlDocumentStore
) -> None:
    enqueued(queue, "ingest", {"collection": "default"})
    job = claimed(source)
    with source.holding(job):
        put(store, make_document("before", "written while the job is held"))
    assert queue.cancel(job.id, "Not wanted.").status is JobStatus.CANCELLED
    with source.holding(job), pytest.raises(JobLost):
        put(store, make_document("after", "late"))
    with pytest.raises(JobLost):
        source.complete(job)
    assert [info.source for info in store.list_documents()] == ["before"]
    assert source.lost([job]) == source.beat([job]) == [job]
    assert queue.get(job.id).error == ErrorInfo("cancelled", "Not wanted.")
    put(store, make_document("other", "a thread that holds nothing writes as ever"))


def test_c13_a_finished_job_cannot_be_cancelled(queue: SqlJobQueue, source: SqlJobSource) -> None:
    enqueued(queue, "ingest", {})
    job = claimed(source)
    source.complete(job)
    assert queue.cancel(job.id, "too late").status is JobStatus.READY


def test_c13_deleting_a_collection_stops_what_would_write_into_it(queue: SqlJobQueue, source: SqlJobSource) -> None:
    running, waiting = (enqueued(queue, "ingest", {"collection": "notes"}) for _ in range(2))
    other = enqueued(queue, "ingest", {"collection": "other"})
    claimed(source)
    assert queue.cancel_collection("notes", "The collection was deleted.") == 2
    states = [queue.get(job.id).status for job in (running, waiting, other)]
    assert states == [JobStatus.CANCELLED, JobStatus.CANCELLED, JobStatus.QUEUED]
    assert claimed(source).id == other.id


@pytest.mark.parametrize("races", [20, pytest.param(100, marks=pytest.mark.nightly)])
def test_c13_a_write_and_a_cancellation_that_meet_happen_one_after_the_other(
    queue: SqlJobQueue, source: SqlJobSource, store: SqlDocumentStore, database: Database, races: int
) -> None:
    """Where the write won, its row is there before the cancellation returns; else there is none."""
    seed = int(os.environ.get("FOVEA_TEST_SEED", "13"))
    pauses = random.Random(seed)
    count = text("SELECT count(*) FROM documents")
    for number in range(races):
        enqueued(queue, "ingest", {"n": number})
        job = claimed(source)

        def write(job: Job = job, number: int = number) -> None:
            with source.holding(job):
                put(store, make_document(f"{number}", "text"))

        thread = Thread(target=_ignoring_loss, args=(write,))
        thread.start()
        thread.join(pauses.uniform(0, 0.01))
        queue.cancel(job.id, "Not wanted.")
        with database.read() as connection:
            at_return = connection.execute(count).scalar()
        thread.join()
        with database.read() as connection:
            assert connection.execute(count).scalar() == at_return, f"a late write, seed {seed}, run {number}"


def _ignoring_loss(write: Callable[[], None]) -> None:
    try:
        write()
    except JobLost:
        return


def test_a_job_that_is_given_back_goes_where_its_turn_says(queue: SqlJobQueue, source: SqlJobSource) -> None:
    first, second = (enqueued(queue, "batch", {}) for _ in range(2))
    source.release(claimed(source), Turn.STOPPED)
    again = claimed(source)
    assert (again.id, again.attempts) == (first.id, 1), "in its place, and that was no attempt"
    source.release(again, Turn.OVER)
    other = claimed(source)
    assert other.id == second.id, "to the end of the line"
    assert claimed(source).attempts == 1
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert other.attempts == attempt
        source.release(other, Turn.FAULT)
        if attempt < MAX_ATTEMPTS:
            other = claimed(source)
    assert queue.get(second.id).status is JobStatus.FAILED


# -- fairness ----------------------------------------------------------------------------------------------------------


def test_c6_tenants_take_turns_however_many_jobs_one_of_them_has(database: Database, source: SqlJobSource) -> None:
    noisy, quiet, third = (SqlJobQueue(database, name) for name in ("noisy", "quiet", "third"))
    for number in range(50):
        enqueued(noisy, "ingest", {"n": number})
    for number in range(2):
        enqueued(quiet, "ingest", {"n": number})
    enqueued(third, "ingest", {"n": 0})
    turns = [(job.tenant, job.payload["n"]) for job in (claimed(source) for _ in range(7))]
    assert turns == [
        ("noisy", 0), ("quiet", 0), ("third", 0), ("noisy", 1), ("quiet", 1), ("noisy", 2), ("noisy", 3),
    ]  # fmt: skip


def test_c6_a_job_of_a_quiet_tenant_waits_for_one_job_of_each_other(database: Database, source: SqlJobSource) -> None:
    """However long the others' lines are: with k tenants, the next k jobs hold one of each."""
    rng = random.Random(6)
    tenants = [f"tenant {number}" for number in range(5)]
    for tenant in tenants:
        queue = SqlJobQueue(database, tenant)
        queue.submit([NewJob("ingest", {}) for _ in range(rng.randint(8, 40))])
    for _ in range(8):
        assert sorted(claimed(source).tenant for _ in tenants) == tenants


# -- idempotency keys --------------------------------------------------------------------------------------------------


def receipt_of(number: int = 1, key: str = "key-1", fingerprint: str = "abc") -> Receipt:
    return Receipt(key, fingerprint, {"n": number})


def test_c12_a_request_that_comes_again_has_no_second_effect(queue: SqlJobQueue, source: SqlJobSource) -> None:
    assert queue.submit([NewJob("ingest", {"n": 1})], receipt_of(1)) is None
    for number in range(2, 30):
        assert queue.submit([NewJob("ingest", {"n": number})], receipt_of(number)) == receipt_of(1)
    assert claimed(source).payload == {"n": 1}
    assert source.claim(anything) is None


def test_c12_a_key_belongs_to_one_request_of_one_tenant(queue: SqlJobQueue, database: Database) -> None:
    queue.submit([], receipt_of(1))
    with pytest.raises(UsageError) as caught:
        queue.submit([NewJob("ingest", {})], receipt_of(2, fingerprint="other"))
    assert caught.value.code == "idempotency_key_reused"
    assert SqlJobQueue(database, "foreign").submit([NewJob("ingest", {})], receipt_of(3, fingerprint="other")) is None


def test_c12_what_fails_leaves_no_receipt_and_no_job(queue: SqlJobQueue, source: SqlJobSource) -> None:
    job = NewJob("ingest", {"n": 1})
    with pytest.raises(Exception, match="contradictory"):
        queue.submit([job, job], receipt_of(1))
    assert source.claim(anything) is None, "no job of it is there, and the key is free"
    assert queue.submit([job], receipt_of(1)) is None


def test_c12_many_at_once_have_one_effect(queue: SqlJobQueue, source: SqlJobSource) -> None:
    def send(number: int) -> Receipt | None:
        return queue.submit([NewJob("ingest", {"n": number})], receipt_of(number))

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(send, range(40)))
    (number,) = (number for number, reply in enumerate(replies) if reply is None)
    assert {reply.response["n"] for reply in replies if reply is not None} == {number}
    assert claimed(source).payload == {"n": number}
    assert source.claim(anything) is None


def test_c12_a_key_is_forgotten_after_a_day(queue: SqlJobQueue, database: Database) -> None:
    queue.submit([], receipt_of(1))
    with database.write() as connection:
        connection.execute(text("UPDATE idempotency_keys SET created_at = '2001-01-01T00:00:00.000+00:00'"))
    assert queue.earlier(receipt_of(1)) is None
    assert queue.submit([], receipt_of(2, fingerprint="other")) is None


def test_c12_whether_a_request_was_here_is_told_without_sending_it(queue: SqlJobQueue, database: Database) -> None:
    assert queue.earlier(receipt_of(1)) is None
    queue.submit([], receipt_of(1))
    assert queue.earlier(receipt_of(2)) == receipt_of(1)
    assert SqlJobQueue(database, "foreign").earlier(receipt_of(1)) is None
    with pytest.raises(UsageError) as caught:
        queue.earlier(receipt_of(3, fingerprint="other"))
    assert caught.value.code == "idempotency_key_reused"


# -- from an earlier release -------------------------------------------------------------------------------------------


def test_jobs_of_an_earlier_release_keep_their_order_and_none_is_left_running(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    queue = SqlJobQueue(database)
    ids = [enqueued(queue, "ingest", {"n": n}).id for n in range(3)]
    claimed(SqlJobSource(database))
    with database.write() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
        command.downgrade(config, "0002")  # as a release without leases left it, in the middle of its work
        connection.execute(text("UPDATE jobs SET status = 'running' WHERE number = 1"))
    database.close()
    database = open_database(empty_database_url)
    source = SqlJobSource(database)
    assert [claimed(source).id for _ in ids] == ids
    database.close()
