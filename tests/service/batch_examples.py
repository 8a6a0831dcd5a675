"""A server over a SQLite file with an engine in memory, for tests of batches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.testclient import TestClient

from domain.answers import Usage
from domain.errors import NotFound
from service.storage.batches import SqlBatches, SqlBatchWork
from service.storage.database import Database
from service.storage.jobs import SqlJobQueue
from service.storage.leases import SqlJobSource
from service.worker import Work
from tests.service.api_fakes import LEASE, FakeEngine, local_client


class CountingEngine(FakeEngine):
    """Answers every question with its own words and notes each call; 30 tokens of prompt and 10 of answer a call.

    `fail` holds questions that raise, `gate` is passed before every answer.
    """

    def __init__(self, tokens: tuple[int, int] = (30, 10)) -> None:
        super().__init__({"lease.txt": LEASE})
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.tokens = Usage(*tokens)
        self.fail: dict[str, Exception] = {}
        self.gate: Callable[[], object] = lambda: None
        self.most_at_once = 0
        self._at_once = 0
        self._counting = threading.Lock()

    @property
    def questions(self) -> list[str]:
        return [question for question, _ in self.asked]

    def stream(self, question: str, *, collection: str = "default", **options: Any) -> Any:
        if collection not in self.collections:
            raise NotFound(f"There is no collection {collection!r}.")
        with self._counting:
            self.asked.append((question, {"collection": collection, **options}))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self.gate()
            if question in self.fail:
                raise self.fail[question]
            yield f"Answer to {question}"
            answer = self._answer(f"Answer to {question}", self._found(question, collection))
            yield replace(answer, usage=self.tokens)
        finally:
            with self._counting:
                self._at_once -= 1


def batch_client(database: Database, engine: FakeEngine, **options: Any) -> TestClient:
    """The HTTP API over a database; a worker runs while it is used as a context manager."""
    return local_client(engine, SqlJobQueue(database), work=work_on(database), **options)


def work_on(database: Database) -> Work:
    def batches_of(tenant: str) -> SqlBatches:
        return SqlBatches(database, tenant)

    return Work(SqlJobSource(database), batches_of, SqlBatchWork(database))


def finished(client: TestClient, batch_id: str) -> dict[str, Any]:
    """Wait for a batch to end; its state."""
    pause = threading.Event()
    for _ in range(3000):
        shown: dict[str, Any] = client.get(f"/v1/batches/{batch_id}").json()
        if shown["status"] not in ("queued", "running"):
            return shown
        pause.wait(0.01)
    raise AssertionError(f"the batch is {shown}")
