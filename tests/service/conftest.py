from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from fovea import open_engine
from service.cli import main
from service.storage.database import Database, open_database
from service.storage.documents import SqlDocumentStore
from service.storage.tables import metadata
from tests.service.api_fakes import LEASE, FakeEngine, local_client
from tests.service.postgres_server import PostgresServer
from tests.service.training_examples import DATA, settings_of

Command = Callable[..., tuple[int | str, str, str]]


@pytest.fixture
def fovea(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process: (status, stdout, stderr); `typed` is its standard input."""

    def run(*arguments: object, typed: str = "") -> tuple[int | str, str, str]:
        monkeypatch.setattr(sys, "argv", ["fovea", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        try:
            main()
            status: int | str = 0
        except SystemExit as end:
            status = end.code or 0
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with both sample sets, in a collection each. Shared by all: a test works on a copy."""
    folder = tmp_path_factory.mktemp("samples") / "data"
    with open_engine(settings=settings_of(folder)) as engine:
        engine.ingest([DATA / "xquad-en" / "corpus.jsonl"])
        engine.ingest([DATA / "cmrc-zh" / "corpus.jsonl"], collection="chinese")
    return folder


@pytest.fixture
def engine() -> FakeEngine:
    """An engine in memory that knows a lease; tests of another engine have a fixture of their own."""
    return FakeEngine({"lease.txt": LEASE})


@pytest.fixture
def client(engine: FakeEngine) -> TestClient:
    """The HTTP API over the engine, asked from this machine."""
    return local_client(engine)


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


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file at the newest schema, of which every test gets a copy: migrations force much to the disk."""
    path = tmp_path_factory.mktemp("migrated") / "fovea.db"
    open_database(f"sqlite:///{path}").close()
    return path


def copied(migrated: Path, folder: Path) -> str:
    """The URL of a copy inside `folder`."""
    path = folder / "data" / "fovea.db"
    path.parent.mkdir(mode=0o700)
    shutil.copy(migrated, path)
    return f"sqlite:///{path}"


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
        return copied(request.getfixturevalue("migrated_sqlite"), tmp_path)
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
def sqlite_database(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Database]:
    database = open_database(copied(migrated_sqlite, tmp_path))
    yield database
    database.close()


@pytest.fixture
def sqlite_store(sqlite_database: Database) -> SqlDocumentStore:
    store = SqlDocumentStore(sqlite_database)
    store.ensure_collection("default")
    return store
