"""Batches in SQL: one result an item, written by who holds the job, seen by whose they are."""

from __future__ import annotations

from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import text

from domain.batches import BATCH, BatchForm, BatchItem, ItemResult, NewBatch
from domain.errors import JobLost, NotFound, StorageError
from domain.job_protocols import BatchStore, BatchWork
from domain.jobs import ErrorInfo, Job, JobStatus, Receipt
from service.batches.requests import batch_of_questions
from service.storage.batches import SqlBatches, SqlBatchWork
from service.storage.database import Database
from service.storage.leases import SqlJobSource
from tests.service.storage_examples import enqueued


@pytest.fixture
def batches(database: Database) -> SqlBatches:
    as_protocol: BatchStore = (store := SqlBatches(database))
    assert as_protocol.list_batches() == []
    return store


@pytest.fixture
def work(database: Database) -> SqlBatchWork:
    as_protocol: BatchWork = (made := SqlBatchWork(database))
    assert as_protocol is made
    return made


def batch_of(*questions: str, **more: Any) -> NewBatch:
    return batch_of_questions(questions, {"collection": "default"}, **more)


def claimed(database: Database) -> Job:
    job = SqlJobSource(database).claim(lambda kind: kind == BATCH)
    assert job is not None
    return job


def answer(item: BatchItem, tokens: int = 30) -> ItemResult:
    return ItemResult(item.ordinal, {"answer": f"to {item.question}"}, tokens, 10)


def count(database: Database, table: str) -> int:
    with database.read() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_a_batch_is_there_with_its_items_once_it_is_made(batches: SqlBatches) -> None:
    made = NewBatch(
        BatchForm.OPENAI,
        (
            BatchItem(0, "谁签字？", "f0", {"collection": "notes", "history": []}, {}, "a"),
            BatchItem(1, "", "f1", {"collection": "default"}, {"n": 1}, "b", ErrorInfo("no_question", "None.")),
        ),
        max_total_tokens=10**10,
    )
    batches.create(made)
    info = batches.info(made.id)
    assert (info.status, info.form, info.total, info.answered) == (JobStatus.QUEUED, BatchForm.OPENAI, 2, 0)
    assert (info.collections, info.columns) == (("default", "notes"), ("n",))
    assert info.max_total_tokens == 10**10
    assert list(batches.results(made.id)) == [(item, None) for item in made.items]


def test_a_result_is_written_once_for_its_item_and_for_those_that_ask_the_same(
    batches: SqlBatches, work: SqlBatchWork, database: Database
) -> None:
    made = batch_of("Who?", "When?", "who?", " WHO?")
    batches.create(made)
    job = claimed(database)
    first, second = work.waiting(job, 10)
    assert (first.ordinal, second.ordinal) == (0, 1)
    work.record(job, first, answer(first))
    assert [item.ordinal for item in work.waiting(job, 10)] == [1]
    results = [result for _, result in batches.results(made.id)]
    assert results[1] is None
    assert [(r.content, r.asked, r.tokens) for r in results if r] == [
        ({"answer": "to Who?"}, True, 40),
        ({"answer": "to Who?"}, False, 0),
        ({"answer": "to Who?"}, False, 0),
    ]
    info = batches.info(made.id)
    assert (info.answered, info.asked, info.prompt_tokens, info.completion_tokens) == (3, 1, 30, 10)
    assert work.spent(job) == (40, 40)


def test_c10_no_item_can_have_two_results(batches: SqlBatches, work: SqlBatchWork, database: Database) -> None:
    batches.create(batch_of("Who?"))
    job = claimed(database)
    (item,) = work.waiting(job, 10)
    work.record(job, item, answer(item))
    work.record(job, item, answer(item, tokens=99))  # whoever answers it again comes too late
    assert count(database, "batch_results") == 1
    assert work.spent(job) == (40, 40)
    with pytest.raises(StorageError) as caught, database.write() as connection:
        connection.execute(text("INSERT INTO batch_results SELECT * FROM batch_results"))
    assert caught.value.code == "storage_conflict"


def test_c9_who_does_not_hold_the_batch_writes_nothing(
    batches: SqlBatches, work: SqlBatchWork, database: Database
) -> None:
    made = batch_of("Who?", "When?")
    batches.create(made)
    source = SqlJobSource(database)
    dead = claimed(database)
    (item, _) = work.waiting(dead, 10)
    assert source.requeue_own() == 1
    alive = claimed(database)
    for write in (lambda: work.record(dead, item, answer(item)), lambda: work.close_rest(dead, ErrorInfo("x", "y"))):
        with pytest.raises(JobLost):
            write()
    assert count(database, "batch_results") == 0
    work.record(alive, item, answer(item))
    batches.cancel(made.id)
    with pytest.raises(JobLost):
        work.close_rest(alive, ErrorInfo("x", "y"))
    assert count(database, "batch_results") == 1
    assert batches.info(made.id).status is JobStatus.CANCELLED


def test_c9_a_batch_that_gets_on_is_not_given_up_after_three_kills(
    batches: SqlBatches, work: SqlBatchWork, database: Database
) -> None:
    made = batch_of(*(f"Question {number}?" for number in range(20)))
    batches.create(made)
    source = SqlJobSource(database)
    for _ in range(12):
        job = claimed(database)
        item = work.waiting(job, 1)[0]
        work.record(job, item, answer(item))
        assert source.requeue_own() == 1  # and the process was killed
    for _ in range(3):  # now without getting on
        claimed(database)
        source.requeue_own()
    info = batches.info(made.id)
    assert (info.status, info.answered) == (JobStatus.FAILED, 12)
    assert info.error is not None and info.error.code == "worker_crashed"


def test_what_is_left_can_be_given_a_reason(batches: SqlBatches, work: SqlBatchWork, database: Database) -> None:
    made = batch_of("Who?", "When?", "Where?")
    batches.create(made)
    job = claimed(database)
    item = work.waiting(job, 1)[0]
    work.record(job, item, answer(item))
    assert work.close_rest(job, ErrorInfo("token_ceiling", "Enough.")) == 2
    assert work.waiting(job, 10) == []
    assert work.close_rest(job, ErrorInfo("token_ceiling", "Enough.")) == 0
    info = batches.info(made.id)
    assert (info.answered, info.failed, info.asked) == (1, 2, 1)


def test_c12_a_batch_and_its_receipt_are_made_together(batches: SqlBatches, database: Database) -> None:
    first = batch_of("Who?")
    receipt = Receipt("key", "print", {"id": first.id})
    assert batches.create(first, receipt) is None
    again = batch_of("Who?")
    assert batches.create(again, Receipt("key", "print", {"id": again.id})) == receipt
    with pytest.raises(NotFound):
        batches.info(again.id)
    assert count(database, "batch_items") == 1


def test_c12_at_once_and_after_each_other_there_is_one_batch(batches: SqlBatches, database: Database) -> None:
    barrier = Barrier(8)

    def send() -> None:
        made = batch_of("Who?")
        barrier.wait(20)
        batches.create(made, Receipt("key", "print", {"id": made.id}))

    threads = [Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (count(database, "jobs"), count(database, "batch_items")) == (1, 1)


def test_a2_a_foreign_tenant_sees_no_batch(batches: SqlBatches, database: Database) -> None:
    made = batch_of("Who?")
    batches.create(made)
    foreign = SqlBatches(database, "foreign")
    assert foreign.list_batches() == []
    for call in (foreign.info, foreign.cancel, foreign.remove, lambda name: list(foreign.results(name))):
        with pytest.raises(NotFound):
            call(made.id)
    assert batches.info(made.id).status is JobStatus.QUEUED


def test_a_job_that_is_no_batch_is_none(batches: SqlBatches, database: Database) -> None:
    from service.storage.jobs import SqlJobQueue

    upload = enqueued(SqlJobQueue(database), "upload", {})
    for call in (batches.info, batches.cancel, batches.remove):
        with pytest.raises(NotFound):
            call(upload.id)
    assert SqlJobQueue(database).get(upload.id).status is JobStatus.QUEUED


def test_results_come_in_pages_and_in_order(
    batches: SqlBatches, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.storage.batches._PAGE", 7)
    made = batch_of(*(f"Question {number}?" for number in range(50)))
    batches.create(made)
    assert [item.ordinal for item, _ in batches.results(made.id)] == list(range(50))


def test_the_newest_batch_is_listed_first_behind_a_given_one(batches: SqlBatches) -> None:
    made = [batch_of(f"Question {number}?") for number in range(4)]
    for batch in made:
        batches.create(batch)
    ids = [batch.id for batch in reversed(made)]
    assert [info.id for info in batches.list_batches()] == ids
    assert [info.id for info in batches.list_batches(limit=2, before=ids[0])] == ids[1:3]
    assert batches.list_batches(before="job-nowhere") == []


def test_i7_text_that_no_database_takes_is_kept_as_far_as_it_can_be(batches: SqlBatches) -> None:
    made = batch_of_questions(["a\x00b\ud800"], {"collection": "default"})
    batches.create(made)
    ((item, _),) = batches.results(made.id)
    assert item.question == "a\ufffdb\ufffd"
