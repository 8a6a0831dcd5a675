"""Whole databases from one place to another: copied while in use, compared row by row, moved between SQLite and
PostgreSQL.

A copy is always a SQLite file, whatever it was taken from, and holds one state of its source: SQLite's own online
backup where the source is SQLite, one repeatable-read transaction where it is PostgreSQL. It has no rows about index
snapshots, for the files that they speak of stay behind.

A fingerprint is the sha256 of all rows of a table in the order of its primary key, every value written out in one way
for both kinds of database: equal fingerprints are equal tables.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Integer, Table, func, insert, select, text

from domain.errors import StorageError
from service.failpoints import failpoint
from service.storage.database import Database, open_database, storage_errors
from service.storage.tables import index_snapshots, metadata

_BATCH = 500  # rows: a chunk with its vectors takes some 26 KB


@dataclass(frozen=True, slots=True)
class TableState:
    """How many rows a table has, and the sha256 of them all."""

    rows: int
    sha256: str


def copy_to_file(source: Database, path: Path) -> None:
    """Write one state of a database into a new SQLite file while others read and write it. Raises StorageError."""
    if source.is_sqlite:
        _copy_sqlite(source, path)
    else:
        _copy_tables_to_file(source, path)
    with storage_errors(path.name), closing(sqlite3.connect(path)) as copy:
        copy.execute(f"DELETE FROM {index_snapshots.name}")
        copy.commit()
        copy.execute("PRAGMA journal_mode=DELETE")  # all of it in the one file
        found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise StorageError(f"The database {source.name} is damaged ({found}).", code="storage_corrupt")


def fingerprints(database: Database) -> dict[str, TableState]:
    """The state of every table but the manifest of index snapshots, by name."""
    with database.read() as connection:
        _one_state(connection)
        return {str(table.name): _state(connection, table) for table in _carried()}


def is_empty(database: Database) -> bool:
    """Whether no table has a row."""
    with database.read() as connection:
        return not any(connection.execute(select(table).limit(1)).first() for table in _carried())


def import_file(path: Path, target: Database) -> dict[str, TableState]:
    """Copy all tables of a SQLite file into an empty database, in one transaction; what arrived.

    A file of an older schema is brought to this one first. Raises StorageError where what arrived is not what was sent.
    """
    source = open_database(f"sqlite:///{path}")
    try:
        with source.read() as reading, target.write() as writing:
            for table in _carried():
                _copy_rows(reading, writing, table)
                failpoint("restore.tables")
            _continue_counting(writing)
        sent, arrived = fingerprints(source), fingerprints(target)
    finally:
        source.close()
    if sent != arrived:
        differing = ", ".join(sorted(name for name in sent if sent[name] != arrived.get(name)))
        raise StorageError(f"The tables {differing} did not arrive in {target.name} as they were.")
    return arrived


# -- steps -------------------------------------------------------------------------------------------------------------


def _carried() -> list[Table]:
    return [table for table in metadata.sorted_tables if table is not index_snapshots]


def _copy_sqlite(source: Database, path: Path) -> None:
    # All pages in one step are one state, and other connections go on writing.
    with storage_errors(source.name), source.engine.connect() as reading, closing(sqlite3.connect(path)) as writing:
        driver: Any = reading.connection.driver_connection
        driver.backup(writing, pages=-1)
        writing.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _copy_tables_to_file(source: Database, path: Path) -> None:
    target = open_database(f"sqlite:///{path}")
    try:
        with source.read() as reading, target.write() as writing:
            _one_state(reading)
            for table in _carried():
                _copy_rows(reading, writing, table)
        with target.read() as connection:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    finally:
        target.close()


def _one_state(connection: Connection) -> None:
    """Let a transaction that has not read yet see one state to its end."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def _copy_rows(reading: Connection, writing: Connection, table: Table) -> None:
    statement = select(table).order_by(*table.primary_key.columns)
    for part in reading.execution_options(yield_per=_BATCH).execute(statement).mappings().partitions():
        writing.execute(insert(table), [dict(row) for row in part])


def _continue_counting(connection: Connection) -> None:
    """Let PostgreSQL number new rows behind those that were copied; SQLite finds out by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in _carried():
        for column in table.primary_key.columns:
            sequence = connection.execute(
                text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table.name, "column": column.name}
            ).scalar()
            if sequence is not None and isinstance(column.type, Integer):
                newest = connection.execute(select(func.max(column))).scalar()
                connection.execute(
                    text("SELECT setval(:sequence, :value, :used)"),
                    {"sequence": sequence, "value": newest or 1, "used": newest is not None},
                )


def _state(connection: Connection, table: Table) -> TableState:
    hasher, count = hashlib.sha256(), 0
    statement = select(table).order_by(*table.primary_key.columns)
    for part in connection.execution_options(yield_per=_BATCH).execute(statement).partitions():
        for row in part:
            count += 1
            hasher.update(b"".join(_written_out(row)))
    return TableState(count, hasher.hexdigest())


def _written_out(values: Iterable[Any]) -> Iterator[bytes]:
    for value in values:
        kind, data = _bytes_of(value)
        yield b"%s%d:" % (kind, len(data))
        yield data


def _bytes_of(value: Any) -> tuple[bytes, bytes]:
    match value:
        case None:
            return b"n", b""
        case bool() | int():  # a database without booleans keeps 0 and 1
            return b"i", str(int(value)).encode()
        case float():
            return b"f", value.hex().encode()
        case str():
            return b"s", value.encode("utf-8", "surrogatepass")
        case bytes() | memoryview():
            return b"b", bytes(value)
    raise StorageError(f"A value of type {type(value).__name__} cannot be compared between databases.")
