"""D16: PostgreSQL killed in the middle of a transaction, connections used up, transactions that clash."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from domain.errors import StorageError
from service.api.errors import problem_of
from service.storage.database import Database, open_database
from service.storage.documents import SqlDocumentStore
from tests.reliability.commit_log import text_of
from tests.reliability.stored_corpus import NamedTokens
from tests.service.postgres_server import PostgresServer
from tests.service.storage_examples import DIM, make_chunks, make_document, put


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def database(server: PostgresServer) -> Iterator[Database]:
    database = open_database(server.new_database())
    yield database
    database.close()


def restarts(server: PostgresServer, database: Database, count: int) -> int:
    """Kill the server again and again under a writer; how many writes were acknowledged."""
    store, rng = SqlDocumentStore(database), random.Random(16)
    store.ensure_collection("default")
    store.check_encoder("default", "e5", DIM, NamedTokens.codec_id)
    acknowledged: dict[str, int] = {}
    attempted: dict[str, int] = {}
    failures: list[StorageError] = []
    stop = threading.Event()

    def write() -> None:
        for number in range(1, 1_000_000):
            if stop.is_set():
                return
            source = f"{number % 15}.txt"
            attempted[source] = number
            try:
                put(store, make_document(source, text_of(number)))
                acknowledged[source] = number
            except StorageError as error:
                failures.append(error)
                stop.wait(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(count):
            stop.wait(rng.uniform(0.05, 0.3))
            server.restart()
    finally:
        stop.wait(0.3)
        stop.set()
        writer.join(30)
    assert not writer.is_alive(), "nothing is stuck"
    assert failures and all(error.retryable for error in failures)
    assert {problem_of(error).status for error in failures} == {503}
    for info in store.list_documents(limit=100):
        found = int(store.get_document(info.id).text.split()[1])
        assert acknowledged.get(info.source, 0) <= found <= attempted[info.source]
        chunks = make_chunks(make_document(info.source, text_of(found)))
        assert [item.chunk for item in store.get_chunks("default", [c.key for c in chunks]).values()] == list(chunks)
    assert set(acknowledged) <= {info.source for info in store.list_documents(limit=100)}
    put(store, make_document("after.txt", "after it all"))
    return len(attempted) and max(acknowledged.values())


def test_d16_a_server_killed_under_a_writer_loses_nothing_that_was_acknowledged(
    server: PostgresServer, database: Database
) -> None:
    restarts(server, database, 3)


@pytest.mark.nightly
@pytest.mark.timeout(1_800)
def test_d16_fifty_restarts_lose_nothing(server: PostgresServer, database: Database) -> None:
    print(f"the last acknowledged write was number {restarts(server, database, 50)}")


def test_d16_when_all_connections_are_busy_the_answer_is_to_come_back_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database.engine.pool, "_timeout", 0.2)
    held = [database.engine.connect() for _ in range(15)]  # five of the pool and ten beyond
    try:
        with pytest.raises(StorageError, match="busy") as caught, database.read() as connection:
            connection.execute(text("SELECT 1"))
    finally:
        for connection in held:
            connection.close()
    problem = problem_of(caught.value)
    assert (problem.status, problem.retryable) == (503, True)
    assert problem.response("id").headers["retry-after"]
    with database.read() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


def test_d16_a_transaction_that_clashes_is_undone_and_may_be_tried_again(database: Database) -> None:
    store = SqlDocumentStore(database)
    store.ensure_collection("default")
    repeatable = database.engine.execution_options(isolation_level="REPEATABLE READ")
    with pytest.raises(StorageError) as caught:
        from service.storage.database import storage_errors

        with storage_errors(database.name), repeatable.connect() as connection, connection.begin():
            connection.execute(text("SELECT * FROM collections"))
            put(store, make_document("a", "one"))  # another transaction changes what this one has seen
            connection.execute(text("UPDATE collections SET generation = 99"))
    assert caught.value.retryable
    assert problem_of(caught.value).status == 503
    assert store.generation("default") == 1
