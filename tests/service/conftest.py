from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from service.storage.database import Database, open_database
from service.storage.documents import SqlDocumentStore
from service.storage.tables import metadata
from tests.service.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: PostgresServer) -> str:
    """The URL of a database at the newest schema, which tests share one after the other."""
    url = postgres_server.new_database()
    open_database(url).close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without a schema, once for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'data' / 'fovea.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without rows, once for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'data' / 'fovea.db'}"
    url: str = request.getfixturevalue("migrated_postgres")
    database = open_database(url)
    with database.write() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY CASCADE"))
    database.close()
    return url


@pytest.fixture
def open_again(database_url: str) -> Iterator[Callable[[], Database]]:
    """Open the database as another process would; every one is closed at the end."""
    opened: list[Database] = []

    def open_one() -> Database:
        opened.append(open_database(database_url))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture
def database(open_again: Callable[[], Database]) -> Database:
    return open_again()


@pytest.fixture
def store(database: Database) -> SqlDocumentStore:
    """A document store with its default collection."""
    store = SqlDocumentStore(database)
    store.ensure_collection("default")
    return store


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path / 'data' / 'fovea.db'}")
    yield database
    database.close()


@pytest.fixture
def sqlite_store(sqlite_database: Database) -> SqlDocumentStore:
    store = SqlDocumentStore(sqlite_database)
    store.ensure_collection("default")
    return store
