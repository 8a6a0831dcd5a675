from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

import migrations
from domain.errors import ConfigurationError, StorageError
from service.storage.database import Database, open_database, without_password
from service.storage.documents import SqlDocumentStore
from service.storage.tables import SCHEMA_VERSION, metadata
from tests.service.postgres_server import PostgresServer
from tests.service.storage_examples import make_document, put


def _settings(connection: sqlite3.Connection) -> tuple[object, ...]:
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    return tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)


def test_d6_every_connection_of_the_pool_is_durable(sqlite_database: Database) -> None:
    connections = [sqlite_database.engine.connect() for _ in range(12)]
    try:
        found = {_settings(connection.connection.driver_connection) for connection in connections}  # type: ignore[arg-type]
    finally:
        for connection in connections:
            connection.close()
    assert found == {("wal", 2, 1, 15000)}


def test_a_database_that_cannot_be_durable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.storage.database._SQLITE_SETTINGS", (("journal_mode", "DELETE", "wal"),))
    with pytest.raises(StorageError, match="local disk"):
        open_database(f"sqlite:///{tmp_path / 'fovea.db'}")


def test_a_write_holds_the_write_lock_from_its_start(sqlite_database: Database, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "data" / "fovea.db", timeout=0, isolation_level=None)
    with sqlite_database.write(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.execute("ROLLBACK")
    other.close()


def test_a_read_sees_one_state_however_long_it_takes(sqlite_database: Database, sqlite_store: SqlDocumentStore) -> None:
    count = text("SELECT count(*) FROM documents")
    with sqlite_database.read() as connection:
        assert connection.execute(count).scalar() == 0
        put(sqlite_store, make_document("a", "one"))
        assert connection.execute(count).scalar() == 0


def test_an_error_inside_a_write_undoes_all_of_it(database: Database) -> None:
    store = SqlDocumentStore(database)
    insert = "INSERT INTO collections (tenant_id, name, generation, created_at) VALUES ('local', 'x', 0, '')"
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        connection.execute(text(insert))
        raise ZeroDivisionError
    assert store.list_collections() == []


def test_a_failing_statement_is_a_storage_error_without_sql(database: Database) -> None:
    with pytest.raises(StorageError) as caught, database.read() as connection:
        connection.execute(text("SELECT secret FROM nowhere WHERE x = :x"), {"x": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert "SELECT" not in str(caught.value)
    assert caught.value.retryable


def test_contradictory_rows_have_a_code_of_their_own(database: Database) -> None:
    insert = text("INSERT INTO collections (id, tenant_id, name, generation, created_at) VALUES (1, 't', 'n', 0, '')")
    with pytest.raises(StorageError) as caught, database.write() as connection:
        connection.execute(insert)
        connection.execute(insert)
    assert caught.value.code == "storage_conflict"


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "fovea.db"
    path.write_bytes(b"not a database, but somebody's notes" * 100)
    before = path.read_bytes()
    with pytest.raises(StorageError, match="damaged") as caught:
        open_database(f"sqlite:///{path}")
    assert caught.value.code == "storage_corrupt"
    assert path.read_bytes() == before


def test_a_directory_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="writable"):
        open_database(f"sqlite:///{tmp_path / 'file' / 'fovea.db'}")


def test_d16_an_unreachable_server_is_a_storage_error_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="reachable") as caught:
        open_database(f"postgresql://user:hunter2@/fovea?host={tmp_path}")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://fovea:s3cret@db:5432/fovea", "postgresql+psycopg://fovea:***@db:5432/fovea"),
        ("postgresql://u:s3@s3cret@db/fovea", "postgresql://u:***@db/fovea"),
        ("postgresql://u@corp:s3/s3?s3@db/fovea", "postgresql://u@corp:***@db/fovea"),
        ("postgresql://db/fovea?user=u&password=s3cret", "postgresql://db/fovea?user=u&password=***"),
        ("postgresql://db:5432/f?PASSWORD=s3@s3&a=b", "postgresql://db:5432/f?PASSWORD=***&a=b"),
        ("postgresql://db/f?pass%77ord=s3&sslpassword=s3", "postgresql://db/f?pass%77ord=***&sslpassword=***"),
        ("postgresql://user@db:5432/fovea?sslmode=require", "postgresql://user@db:5432/fovea?sslmode=require"),
        ("sqlite:////data/a:b@c/fovea.db", "sqlite:////data/a:b@c/fovea.db"),
        ("sqlite:///C:/data@home/fovea.db", "sqlite:///C:/data@home/fovea.db"),
        ("not a url", "not a url"),
    ],
)
def test_a_url_is_shown_without_its_passwords_and_otherwise_whole(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert "s3" not in shown


@pytest.mark.parametrize("rest", ["hunter2@127.0.0.1:1/fovea", "hunter2:hunter2@127.0.0.1/f", "x/hunter2@127.0.0.1/f"])
def test_a_password_with_an_at_sign_reaches_neither_the_resolver_nor_the_message(rest: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_database(f"postgresql://user:first@{rest}")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_password_in_the_query_stays_out_of_messages(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="reachable") as caught:
        open_database(f"postgresql:///fovea?host={tmp_path}&user=u&password=hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_the_files_of_a_database_are_the_users_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        database = open_database(f"sqlite:///{tmp_path / 'data' / 'fovea.db'}")
        with database.write() as connection:
            connection.execute(text("CREATE TABLE one (two)"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()}
        database.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("fovea.db", "fovea.db-wal", "fovea.db-shm", "fovea.db.reserve"), 0o600)
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_a_database_that_was_there_keeps_its_mode_and_so_does_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    open_database(f"sqlite:///{folder / 'fovea.db'}").close()
    folder.chmod(0o750)
    (folder / "fovea.db").chmod(0o640)
    open_database(f"sqlite:///{folder / 'fovea.db'}").close()
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "fovea.db")] == [0o750, 0o640]


def test_d16_a_server_that_restarts_costs_nothing_but_the_open_transaction(postgres_server: PostgresServer) -> None:
    database = open_database(postgres_server.new_database())
    store = SqlDocumentStore(database)
    store.ensure_collection("default")
    put(store, make_document("a", "one"))

    with pytest.raises(StorageError), database.write() as connection:
        connection.execute(text("UPDATE collections SET generation = 99"))
        postgres_server.restart()
        connection.execute(text("UPDATE collections SET generation = 100"))

    assert store.generation("default") == 1
    assert put(store, make_document("b", "two"))[0] == 2
    database.close()


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite://", "sqlite:///:memory:", "no url at all", "mssql+pyodbc://x"])
def test_an_impossible_url_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="sqlite:///PATH"):
        open_database(url)


# -- schema ------------------------------------------------------------------------------------------------------------


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(database: Database) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_schema_version_is_the_newest_step() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA_VERSION]


def test_opening_again_changes_nothing(store: SqlDocumentStore, open_again: Callable[[], Database]) -> None:
    document = make_document("a", "one")
    put(store, document)
    assert SqlDocumentStore(open_again()).get_document(document.id) == document


def test_an_up_to_date_database_opens_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'fovea.db'}"
    open_database(url).close()
    code = (
        "import sys; from service.storage.database import open_database; "
        f"open_database({url!r}).close(); sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_database_of_a_later_release_is_refused_untouched(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match="schema 9999") as caught:
        open_database(empty_database_url)
    assert caught.value.code == "schema_too_new"
    with database.read() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    database.close()


def test_many_may_open_an_empty_database_at_once(empty_database_url: str) -> None:
    failures: list[BaseException] = []

    def open_one() -> None:
        try:
            open_database(empty_database_url).close()
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_d18_a_migration_that_fails_leaves_nothing_behind(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("alembic.op.create_index", fail)  # some tables exist by then
        with pytest.raises(KeyboardInterrupt):
            open_database(empty_database_url)
    database = open_database(empty_database_url)
    with database.read() as connection:
        assert set(metadata.tables) < set(inspect(connection).get_table_names())
    database.close()


def test_the_schema_can_be_undone(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    with database.write() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    database.close()


def test_migrations_run_from_an_installed_copy(tmp_path: Path) -> None:
    """As from a wheel: packages in a folder with a percent sign, nothing of the repository on the path."""
    root = Path(__file__).resolve().parents[2]
    site = tmp_path / "site 100%"
    for package in ("domain", "service", "migrations"):
        for source in (root / package).rglob("*"):
            if source.suffix in {".py", ".mako", ".ini"}:
                target = site / source.relative_to(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
    code = (
        f"import sys; sys.path[:] = [{str(site)!r}] + [p for p in sys.path if p and 'main' != p.rsplit('/', 1)[-1]]; "
        "import migrations; assert 'site 100%' in migrations.__file__; "
        f"from service.storage.database import open_database; open_database('sqlite:///{tmp_path}/x.db').close()"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, cwd=tmp_path)
