"""How a batch is worked off: in turns with others, given back at the end of a process, broken off when cancelled."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial

import httpx
import pytest

from domain.answers import Answer
from domain.batches import BATCH
from domain.errors import ConfigurationError, NotFound, Overloaded, QuotaExceeded, StorageError, UsageError
from domain.jobs import JobStatus
from service.api.app import create_app
from service.batches.handler import BatchHandler
from service.batches.requests import batch_of_questions
from service.batches.spending import Spending
from service.storage.batches import SqlBatches, SqlBatchWork
from service.storage.database import open_database
from service.storage.jobs import SqlJobQueue
from service.storage.leases import SqlJobSource
from service.worker import JobWorker
from tests.service.batch_examples import CountingEngine, batch_client, finished, work_on
from tests.service.http_server import running
from tests.service.waiting import wait_until


@pytest.fixture
def engine():
    return CountingEngine()


@pytest.fixture
def batches(sqlite_database):
    return SqlBatches(sqlite_database)


@pytest.fixture
def make_worker(sqlite_database, engine):
    def make(**options):
        handler = BatchHandler(SqlBatchWork(sqlite_database), lambda job: engine, **options)
        return JobWorker(SqlJobSource(sqlite_database), {BATCH: handler}, poll_seconds=0.02)

    return make


def put(batches, *questions, **more):
    batch = batch_of_questions(questions, {"collection": "default"}, **more)
    batches.create(batch)
    return batch.id


def test_c6_a_long_batch_gives_way_to_others_and_goes_on_behind_them(batches, engine, make_worker):
    long = put(batches, *(f"Long {number}?" for number in range(12)))
    short = put(batches, "Short?")
    worker = make_worker(turn_seconds=0.0, side_by_side=2)
    while worker.run_one():
        pass
    assert {batches.info(name).status for name in (long, short)} == {JobStatus.READY}
    assert engine.questions.index("Short?") < 6, "it did not wait for the end of the long one"
    assert len(engine.questions) == 13, "and nothing was asked twice"


def test_a_batch_that_is_alone_keeps_its_turn(batches, engine, make_worker):
    name = put(batches, *(f"Question {number}?" for number in range(12)))
    assert make_worker(turn_seconds=0.0).run_one()
    assert batches.info(name).status is JobStatus.READY


def test_c8_a_batch_is_given_back_when_the_process_ends_and_nothing_is_asked_twice(sqlite_database, engine):
    questions = [f"Question {number}?" for number in range(60)]
    engine.gate = partial(time.sleep, 0.01)
    client = batch_client(sqlite_database, engine)
    with client:
        name = client.post("/v1/batches", json={"questions": questions}).json()["id"]
        wait_until(lambda: len(engine.asked) >= 8)
    state = client.get(f"/v1/batches/{name}").json()  # the worker has ended
    assert state["status"] == "queued"
    assert 0 < state["counts"]["answered"] == len(engine.asked) < 60
    with batch_client(sqlite_database, engine) as again:
        assert finished(again, name)["counts"]["answered"] == 60
    assert sorted(engine.questions) == sorted(questions)


def test_c13_a_cancelled_batch_breaks_off_the_calls_that_are_under_way(sqlite_database, engine):
    begun, broken_off = threading.Semaphore(0), threading.Semaphore(0)

    class Stream:
        """A model that says nothing until it is cancelled."""

        def __init__(self):
            self.cancelled = threading.Event()

        def __iter__(self):
            begun.release()
            assert self.cancelled.wait(20)
            broken_off.release()
            raise RuntimeError("cancelled")
            yield

        def cancel(self):
            self.cancelled.set()

    engine.stream = lambda question, **options: Stream()
    with batch_client(sqlite_database, engine) as client:
        # Past the account of the caller, which reads the stream by itself.
        name = client.post("/v1/batches", json={"questions": ["a?", "b?", "c?", "d?", "e?"]}).json()["id"]
        for _ in range(4):  # as many as are asked at once: those that have not begun by now never do
            assert begun.acquire(timeout=20)
        assert client.delete(f"/v1/batches/{name}").json()["status"] == "cancelled"
        for _ in range(4):
            assert broken_off.acquire(timeout=20)
        assert client.get(f"/v1/batches/{name}").json()["counts"]["waiting"] == 5


@pytest.mark.parametrize(
    "error", [NotFound("No such collection."), QuotaExceeded("Enough for today.", retry_after_seconds=9)]
)
def test_an_error_of_one_question_is_its_result(batches, engine, make_worker, error):
    engine.fail["Bad?"] = error
    name = put(batches, "Good?", "Bad?", "Fine?")
    assert make_worker().run_one()
    info = batches.info(name)
    assert (info.status, info.answered, info.failed) == (JobStatus.READY, 2, 1)
    assert [result.error.code for _, result in batches.results(name) if result.error] == [error.code]


def test_an_error_that_every_question_would_meet_ends_the_batch_with_the_reason(batches, engine, make_worker):
    engine.fail["Question 0?"] = ConfigurationError("The model's name is missing; set it.")
    name = put(batches, *(f"Question {number}?" for number in range(100)))
    assert make_worker().run_one()
    info = batches.info(name)
    assert (info.status, info.error.code) == (JobStatus.FAILED, "invalid_configuration")
    assert len(engine.asked) < 20


def test_a1_a_batch_ends_when_its_sender_loses_the_right_to_ask(sqlite_database, batches, engine):
    def engine_of(job):
        if len(engine.asked) >= 3:
            raise UsageError("The key was revoked.", code="unauthorized")
        return engine

    handler = BatchHandler(SqlBatchWork(sqlite_database), engine_of, side_by_side=1, believed_seconds=0.0)
    name = put(batches, *(f"Question {number}?" for number in range(20)))
    assert JobWorker(SqlJobSource(sqlite_database), {BATCH: handler}).run_one()
    info = batches.info(name)
    assert (info.status, info.error.code) == (JobStatus.FAILED, "unauthorized")
    assert (len(engine.asked), info.answered) == (3, 3), "what was answered before stays"


def test_a_database_that_is_away_costs_a_batch_one_attempt(batches, engine, make_worker):
    engine.fail["Question 3?"] = StorageError("gone")
    name = put(batches, *(f"Question {number}?" for number in range(6)))
    worker = make_worker(side_by_side=1)
    assert worker.run_one()
    assert batches.info(name).status is JobStatus.QUEUED
    engine.fail.clear()
    assert worker.run_one()
    assert batches.info(name).answered == 6
    assert len(engine.asked) == 7, "only the question that met it was asked again"


def test_c5_an_encoder_that_is_busy_is_waited_for(batches, engine, make_worker, monkeypatch):
    monkeypatch.setattr("service.batches.asking._PAUSE_SECONDS", 0.01)
    busy = iter([Overloaded("busy")] * 5)

    def gate():
        for error in busy:
            raise error

    engine.gate = gate
    name = put(batches, "Who?")
    assert make_worker().run_one()
    assert batches.info(name).answered == 1


def test_answers_are_heard_as_they_come(batches, make_worker):
    heard: list[Answer] = []
    put(batches, "Who?", "who?", "When?")
    assert make_worker(observe=heard.append).run_one()
    assert len(heard) == 2


def test_each_tenant_is_answered_by_its_own_engine(sqlite_database):
    engines = {"local": CountingEngine(), "other": CountingEngine()}
    handler = BatchHandler(SqlBatchWork(sqlite_database), lambda job: engines[job.tenant])
    worker = JobWorker(SqlJobSource(sqlite_database), {BATCH: handler})
    for tenant in engines:
        put(SqlBatches(sqlite_database, tenant), f"{tenant}?")
    while worker.run_one():
        pass
    assert [engine.questions for engine in engines.values()] == [["local?"], ["other?"]]


# -- the ceiling -------------------------------------------------------------------------------------------------------


def test_without_a_ceiling_there_is_always_room():
    spending = Spending(None, spent=10**12)
    assert (spending.room(3, 9), spending.exhausted) == (9, False)


def test_the_first_question_is_asked_alone_since_no_price_is_known():
    assert Spending(100).room(0, 9) == 1
    assert Spending(100).room(1, 9) == 0


def test_as_many_are_asked_as_the_dearest_so_far_leaves_room_for():
    spending = Spending(100)
    spending.add(20)
    assert [spending.room(under_way, 9) for under_way in range(6)] == [4, 3, 2, 1, 0, 0]
    spending.add(70)  # 90 spent, and the next may cost 70
    assert (spending.room(0, 9), spending.room(1, 9)) == (1, 0)
    spending.add(10)
    assert (spending.room(0, 9), spending.exhausted) == (0, True)


def test_what_was_spent_before_counts():
    assert Spending(100, spent=100, dearest=40).exhausted
    assert Spending(100, spent=20, dearest=40).room(0, 9) == 2


# -- idempotency keys over a true connection ---------------------------------------------------------------------------


def test_c12_a_request_whose_twin_is_still_under_way_is_told_so(engine, tmp_path):
    database = open_database(f"sqlite:///{tmp_path / 'fovea.db'}")
    entered, go_on = threading.Event(), threading.Event()

    class Slow(SqlBatches):
        def create(self, batch, receipt=None):
            entered.set()
            assert go_on.wait(20)
            return super().create(batch, receipt)

    work = replace(work_on(database), batches_of=partial(Slow, database))
    with running(create_app(engine, SqlJobQueue(database), work=work)) as url:
        headers, body = {"Idempotency-Key": "twin"}, {"questions": ["Who?"]}
        send = partial(httpx.post, f"{url}/v1/batches", json=body, headers=headers, timeout=30)
        first: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: first.append(send()))
        thread.start()
        assert entered.wait(20)
        second = send()
        assert (second.status_code, second.json()["code"]) == (409, "idempotency_in_flight")
        go_on.set()
        thread.join(30)
        assert first[0].status_code == 202
        third = send()
        assert (third.json(), third.headers["idempotency-replayed"]) == (first[0].json(), "true")
    database.close()
