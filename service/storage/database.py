"""One door to SQL: an engine whose connections are checked, whose writes are short and whose failures are sentences."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote_plus

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from domain.errors import ConfigurationError, NotFound, StorageError
from domain.extras import install_line
from service.failpoints import failpoint
from service.storage.reserve import Reserve
from service.storage.schema import migrate, require_schema

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LOCK_WAIT_SECONDS = 15  # a writer that waits longer than this meets a fault, not a queue
_CONNECT_SECONDS = 5
_POOL_WAIT_SECONDS = 10

# Greedy up to the last @: a password may hold one, or a slash or a question mark, that nobody encoded.
_USER_AND_PASSWORD = re.compile(r"^([^:/]*://[^:/]*):.*@", re.DOTALL)
_QUERY_VALUE = re.compile(r"([?&])([^=&]*)=[^&]*")
_SECRET_NAMES = frozenset(("password", "sslpassword", "oauth_client_secret"))

# What makes an acknowledged write durable, and what each setting must read back as.
_SQLITE_SETTINGS: tuple[tuple[str, str, object], ...] = (
    ("busy_timeout", str(_LOCK_WAIT_SECONDS * 1000), _LOCK_WAIT_SECONDS * 1000),
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("foreign_keys", "ON", 1),
)
_SQLITE_PAGE_BYTES = 16384  # a chunk with its token vectors takes 26 KB and more: fewer, larger pages

Result = TypeVar("Result")
Condition = Callable[[Connection], object]


class Database:
    """A SQL database at the newest schema. `read()` and `write()` open transactions, from any thread."""

    def __init__(self, engine: Engine, reserve: Reserve | None = None) -> None:
        self._engine = engine
        self._conditions = threading.local()
        self._reserve = reserve
        self.name = _shown(engine.url)

    @property
    def engine(self) -> Engine:
        return self._engine

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state and changes nothing. Raises StorageError."""
        with storage_errors(self.name), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start; durable once the block ends without an error."""
        with storage_errors(self.name), self._engine.connect() as connection:
            connection = connection.execution_options(fovea_write=True)
            with connection.begin():
                failpoint("write.begun")
                condition: Condition | None = getattr(self._conditions, "now", None)
                if condition is not None:
                    condition(connection)
                yield connection
                failpoint("write.commit")
        failpoint("write.committed")  # behind the translation of errors: what fails here has been written

    @contextmanager
    def writing_only_if(self, condition: Condition) -> Iterator[None]:
        """A block in which each `write` of this thread first lets `condition` look at its transaction; what it raises
        undoes the write. So work that was taken away from a thread cannot be written by it, however late it ends.
        """
        self._conditions.now = condition
        try:
            yield
        finally:
            self._conditions.now = None

    def make_room(self) -> bool:
        """Give the disk a little space back for a deletion that found it full; False where none was set aside."""
        return self._reserve is not None and self._reserve.release()

    def close(self) -> None:
        self._engine.dispose()


def open_database(url: str) -> Database:
    """Open `sqlite:///PATH` or `postgresql://...`, creating and migrating the schema as needed.

    Raises ConfigurationError for a URL that cannot work and StorageError when the database refuses.
    """
    parsed = _parse(url)
    name = _shown(parsed)
    sqlite = parsed.get_backend_name() == "sqlite"
    engine = _sqlite_engine(parsed) if sqlite else _postgresql_engine(parsed)
    reserve = Reserve(Path(str(parsed.database))) if sqlite and "uri" not in parsed.query else None
    database = Database(engine, reserve)
    try:
        with storage_errors(name):
            migrate(engine)
        if reserve is not None:
            reserve.fill()
    except BaseException:
        database.close()
        raise
    return database


def in_spite_of_a_full_disk(database: Database, write: Callable[[], Result]) -> Result:
    """What `write()` gives; a second try follows one that found the disk full, where room was set aside for it."""
    try:
        return write()
    except StorageError as error:
        if error.code != "storage_full" or not database.make_room():
            raise
        return write()


def open_existing(url: str) -> Database:
    """Open a database as it is, for those who look at it or copy it: nothing is created and nothing migrated.

    Raises ConfigurationError as `open_database` does, NotFound where there is no database, and StorageError with code
    "schema_too_old" or "schema_too_new" for one that another release has written.
    """
    parsed = _parse(url)
    name = _shown(parsed)
    sqlite = parsed.get_backend_name() == "sqlite"
    if lacks_file(url):
        raise NotFound(f"There is no database {name}; check --data-dir, or ingest something first.")
    database = Database(_sqlite_engine(parsed) if sqlite else _postgresql_engine(parsed))
    try:
        with storage_errors(name):
            require_schema(database.engine)
    except BaseException:
        database.close()
        raise
    return database


def lacks_file(url: str) -> bool:
    """Whether a URL is that of a SQLite file which is not there. Raises ConfigurationError for one that cannot work."""
    parsed = _parse(url)
    named = parsed.get_backend_name() == "sqlite" and "uri" not in parsed.query
    return named and not Path(str(parsed.database)).is_file()


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite URL; None for another kind. Raises ConfigurationError for a URL that cannot work."""
    parsed = _parse(url)
    return Path(str(parsed.database)) if parsed.get_backend_name() == "sqlite" else None


def without_password(url: str) -> str:
    """A database URL as it may be shown, whether or not it can be read: every password in it is `***`.

    >>> without_password("postgresql://fovea:p@ss@database/fovea?sslpassword=secret&sslmode=require")
    'postgresql://fovea:***@database/fovea?sslpassword=***&sslmode=require'
    """
    # The query first: once its passwords are gone, the last @ is the one before the host.
    return _USER_AND_PASSWORD.sub(r"\1:***@", _QUERY_VALUE.sub(_masked, url), count=1)


def _masked(entry: re.Match[str]) -> str:
    # A server's driver decodes the name, so that "pass%77ord" is one too.
    return f"{entry[1]}{entry[2]}=***" if unquote_plus(entry[2]).strip().lower() in _SECRET_NAMES else entry[0]


def _shown(url: URL) -> str:
    return without_password(url.render_as_string(hide_password=True))


@contextmanager
def storage_errors(name: str) -> Iterator[None]:
    """Turn what the driver raises into a StorageError that says what to do; no SQL and no values get into it."""
    try:
        yield
    except SQLAlchemyError as error:
        raise _storage_error(name, error) from error
    except OSError as error:
        if error.errno in _FULL:
            raise _full(name) from error
        raise StorageError(f"The database {name} failed: {error}. Check that it is there and writable.") from error
    except sqlite3.Error as error:
        raise StorageError(f"The database {name} failed: {error}. Check that it is there and writable.") from error


def _storage_error(name: str, error: SQLAlchemyError) -> StorageError:
    if isinstance(error, PoolTimeout):
        return StorageError(
            f"All connections to {name} were busy for {_POOL_WAIT_SECONDS} s; try again when it is quieter."
        )
    reason = _reason(error)
    low = reason.lower()
    if "disk is full" in low or "no space left" in low or "disk full" in low:
        return _full(name)
    if "malformed" in low or "not a database" in low:
        advice = "restore a backup or move the file aside and ingest again"
        return StorageError(f"The database {name} is damaged ({reason}); {advice}.", code="storage_corrupt")
    if "locked" in low or "lock timeout" in low:
        return StorageError(
            f"The database {name} stayed locked for {_LOCK_WAIT_SECONDS} s; is another program writing to it?"
        )
    if isinstance(error, IntegrityError):
        return StorageError(f"The database {name} refused contradictory rows ({reason}).", code="storage_conflict")
    return StorageError(f"The database {name} failed: {reason}. Check that it is running, reachable and writable.")


def _full(name: str) -> StorageError:
    return StorageError(f"The disk of {name} is full; free some space and try again.", code="storage_full")


def _reason(error: SQLAlchemyError) -> str:
    # The first line of the driver's own message: SQLAlchemy's adds the statement and its parameters.
    original = error.orig if isinstance(error, DBAPIError) else error
    return str(original).strip().split("\n", 1)[0] or type(original).__name__


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # from None: what cannot be read may be a piece of a password
        raise ConfigurationError(
            "The database URL cannot be read; it looks like sqlite:///PATH or postgresql://..."
        ) from None
    if parsed.get_backend_name() == "postgresql":
        if parsed.password and "@" in f"{parsed.host}{parsed.database}":
            # Else the rest of the password is taken for a host, and told to the resolver and the log.
            raise ConfigurationError("The database URL holds an @ in its password; write it as %40.")
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        raise ConfigurationError(
            f"'{parsed.drivername}' databases are not supported; use sqlite:///PATH or postgresql://..."
        )
    if not parsed.database or parsed.database == ":memory:" or parsed.query.get("mode") == "memory":
        raise ConfigurationError(
            "An in-memory SQLite database would forget every document; give a path: sqlite:///PATH"
        )
    return parsed.set(drivername="sqlite")


def _sqlite_engine(url: URL) -> Engine:
    path = Path(str(url.database))
    with storage_errors(_shown(url)):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if "uri" not in url.query:  # then it is no path, and SQLite makes what it names
            _create_private(path)
    engine = create_engine(url, pool_timeout=_POOL_WAIT_SECONDS)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _create_private(path: Path) -> None:
    """Make the file, empty, before SQLite makes it readable for everybody; its -wal and -shm take its mode over."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return


def _configure_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the module's own BEGIN comes too late to be IMMEDIATE
    connection.execute(f"PRAGMA page_size={_SQLITE_PAGE_BYTES}")  # has an effect on an empty file only
    for setting, value, expected in _SQLITE_SETTINGS:
        connection.execute(f"PRAGMA {setting}={value}")
        found = connection.execute(f"PRAGMA {setting}").fetchone()[0]
        if found != expected:
            connection.close()
            raise StorageError(
                f"SQLite did not accept {setting}={value} (it says {found!r}), without which an acknowledged document "
                "could be lost. Keep the data directory on a local disk."
            )


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads first and writes later fails at once when another one wrote in between.
    writes = connection.get_execution_options().get("fovea_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql_engine(url: URL) -> Engine:
    arguments: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS}
    if "options" not in url.query:
        arguments["options"] = f"-c lock_timeout={_LOCK_WAIT_SECONDS}s"
    try:
        # pre_ping: a server that restarted costs one reconnect instead of a failed request.
        return create_engine(url, connect_args=arguments, pool_pre_ping=True, pool_timeout=_POOL_WAIT_SECONDS)
    except ImportError as error:
        raise ConfigurationError(f"PostgreSQL needs its driver: {install_line('postgres')}") from error
