"""Batches through the clients: the same verbs, blocking and with asyncio."""

from __future__ import annotations

import asyncio

import pytest

from domain.batches import BatchForm
from domain.errors import NotFound, UsageError
from domain.jobs import JobStatus
from fovea.client import AsyncClient, Client
from service.api.app import create_app
from service.storage.database import open_database
from service.storage.jobs import SqlJobQueue
from tests.service.batch_examples import CountingEngine, work_on
from tests.service.http_server import running


@pytest.fixture
def engine():
    return CountingEngine()


@pytest.fixture
def url(engine, tmp_path):
    database = open_database(f"sqlite:///{tmp_path / 'fovea.db'}")
    with running(create_app(engine, SqlJobQueue(database), work=work_on(database))) as base_url:
        yield base_url
    database.close()


def test_a_batch_is_handed_in_waited_for_and_read(url, engine):
    with Client(url) as client:
        made = client.create_batch(["Who?", "When?", "who?"], max_tokens=90, constraints=["Be brief."])
        ended = client.wait_for_batch(made.id)
        assert (ended.status, ended.form) == (JobStatus.READY, BatchForm.ROWS)
        assert (ended.total, ended.answered, ended.asked) == (3, 3, 2)
        answers = [row["answer"] for row in client.batch_results(made.id)]
        assert answers == ["Answer to Who?", "Answer to When?", "Answer to Who?"]
        assert client.list_batches() == [ended]
        client.delete_batch(made.id)
        for gone in (client.get_batch, client.batch_results, client.cancel_batch, client.delete_batch):
            with pytest.raises(NotFound):
                gone(made.id)
    assert {call["max_tokens"] for _, call in engine.asked} == {90}


def test_rows_and_requests_come_back_as_they_went(url):
    messages = [{"role": "user", "content": "Who?"}]
    with Client(url) as client:
        rows = client.create_batch(rows=[{"n": 1, "q": "Who?"}], question_column="q")
        lines = client.create_batch(requests=[{"custom_id": "a", "body": {"messages": messages}}])
        for batch in (rows, lines):
            client.wait_for_batch(batch.id)
        assert client.batch_results(rows.id)[0]["n"] == 1
        assert client.batch_results(lines.id)[0]["custom_id"] == "a"
        with pytest.raises(UsageError, match="one of"):
            client.create_batch(["Who?"], rows=[])


def test_c12_a_batch_that_is_handed_in_again_is_the_same_batch(url):
    with Client(url) as client:
        first = client.create_batch(["Who?"], idempotency_key="one")
        assert client.create_batch(["Who?"], idempotency_key="one").id == first.id
        with pytest.raises(UsageError) as caught:
            client.create_batch(["When?"], idempotency_key="one")
        assert caught.value.code == "idempotency_key_reused"


def test_the_asyncio_client_has_the_same_verbs(url):
    async def walk():
        client = AsyncClient(url)
        try:
            made = await client.create_batch(["Who?", "When?"], max_total_tokens=40)
            ended = await client.wait_for_batch(made.id)
            results = await client.batch_results(made.id)
            cancelled = await client.cancel_batch(made.id)
            return ended, results, cancelled, await client.list_batches(limit=1)
        finally:
            await client.close()

    ended, results, cancelled, listed = asyncio.run(walk())
    assert (ended.answered, ended.failed, ended.max_total_tokens) == (1, 1, 40)
    assert results[1]["error"].endswith("[token_ceiling]")
    assert cancelled.status is JobStatus.READY, "a batch that has ended stays what it is"
    assert listed == [ended]
