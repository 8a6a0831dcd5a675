"""What may be wrong inside a database, of any tenant, and how each kind is put right.

Every check reads and yields problems; a problem carries its own repair (`repairs.py`), which runs later in a
transaction that writes. Chunks have checks of their own (`chunk_integrity.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from sqlalchemy import Column, Connection, Row, and_, delete, func, or_, select, text, update

from domain.calibration import Calibration
from domain.maintenance import Finding
from service.storage.chunk_integrity import chunk_problems
from service.storage.problems import DecodeTokens, Looked, Problem, is_json
from service.storage.repairs import doing, empty_and_mark, revive, settle_losses, take_out_orphan, write_entries
from service.storage.rows import digest, metadata_entries
from service.storage.tables import (
    calibrations,
    chunks,
    collections,
    document_metadata,
    documents,
    metadata,
    tombstones,
)


def problems(connection: Connection, decode: DecodeTokens, looked: Looked) -> Iterator[Problem]:
    """All that is wrong, in an order in which the repairs may run one after the other."""
    yield from _damaged_file(connection)
    yield from _orphans(connection)
    yield from _generations(connection)
    yield from _dead_and_alive(connection)
    for owner in connection.execute(select(collections).order_by(collections.c.id)).all():
        looked.counts["collections"] = looked.counts.get("collections", 0) + 1
        yield from _documents(connection, owner, looked)
        yield from chunk_problems(connection, owner, decode, looked)
        yield from _counts(connection, owner)
    yield from _calibrations(connection)


# -- the file and the ties between rows --------------------------------------------------------------------------------


def _damaged_file(connection: Connection) -> Iterator[Problem]:
    if connection.dialect.name != "sqlite":
        return
    for (line,) in connection.execute(text("PRAGMA integrity_check(20)")).all():
        if line != "ok":
            yield Problem(Finding("damaged_database", "the database file", line, None), None)


def _orphans(connection: Connection) -> Iterator[Problem]:
    """Rows that belong to nothing."""
    for table in metadata.sorted_tables:
        key = list(table.primary_key.columns)
        conditions = [_without_parent(column) for column in table.columns if column.foreign_keys]
        if table is chunks:
            conditions.append(_in_a_foreign_collection())
        if not conditions:
            continue
        for row in connection.execute(select(*key).where(or_(*conditions))).all():
            place = f"{table.name} " + ", ".join(
                f"{column.name} {value}" for column, value in zip(key, row, strict=True)
            )
            kind = {"chunks": "orphan_chunk", "job_blobs": "dangling_blob"}.get(table.name, "orphan_row")
            mend = partial(take_out_orphan, table, key, tuple(row))
            yield Problem(Finding(kind, place, "what it belongs to is gone", "the row is removed"), mend)


def _without_parent(column: Column[Any]) -> Any:
    (foreign,) = column.foreign_keys
    parent = foreign.column.table.alias()
    missing = ~select(parent.c[foreign.column.name]).where(parent.c[foreign.column.name] == column).exists()
    return and_(column.is_not(None), missing)


def _in_a_foreign_collection() -> Any:
    same = (documents.c.number == chunks.c.document_number) & (documents.c.collection_id != chunks.c.collection_id)
    return select(documents.c.number).where(same).exists()


def _generations(connection: Connection) -> Iterator[Problem]:
    """Collections whose count of writes is behind their rows: what came later would never reach an index."""
    newest = (
        select(chunks.c.collection_id.label("id"), chunks.c.generation)
        .union_all(select(tombstones.c.collection_id, tombstones.c.generation))
        .subquery()
    )
    statement = (
        select(collections.c.id, collections.c.name, collections.c.generation, func.max(newest.c.generation))
        .join(newest, newest.c.id == collections.c.id)
        .group_by(collections.c.id, collections.c.name, collections.c.generation)
        .having(func.max(newest.c.generation) > collections.c.generation)
    )
    for number, name, found, needed in connection.execute(statement).all():
        detail = f"it counts {found} writes, its rows are of write {needed}"
        change = update(collections).where(collections.c.id == number).values(generation=needed)
        yield Problem(Finding("wrong_generation", f"collection {name}", detail, "it is counted anew"), doing(change))


def _dead_and_alive(connection: Connection) -> Iterator[Problem]:
    both = (tombstones.c.collection_id == chunks.c.collection_id) & (tombstones.c.key == chunks.c.key)
    for row in connection.execute(select(chunks.c.collection_id, chunks.c.key).join(tombstones, both)).all():
        place = f"collection {row.collection_id}, key {row.key}"
        mend = partial(revive, row.collection_id, row.key)
        detail = "it is live and has a tombstone"
        yield Problem(Finding("dead_and_alive", place, detail, "the tombstone is removed"), mend)


# -- documents ---------------------------------------------------------------------------------------------------------


def _documents(connection: Connection, owner: Row[Any], looked: Looked) -> Iterator[Problem]:
    columns = (
        documents.c.number,
        documents.c.id,
        documents.c.source,
        documents.c.source_hash,
        documents.c.metadata.label("metadata"),
        documents.c.warnings,
        documents.c.pages,
        documents.c.characters,
        func.length(documents.c.text).label("length"),
    )
    rows = connection.execute(select(*columns).where(documents.c.collection_id == owner.id)).all()
    looked.counts["documents"] = looked.counts.get("documents", 0) + len(rows)
    for row in rows:
        place = f"document {row.id}"
        own = update(documents).where(documents.c.number == row.number)
        if row.source_hash != digest(row.source):
            change = own.values(source_hash=digest(row.source))
            detail = "the digest of its source is not that of its source"
            yield Problem(Finding("wrong_hash", place, detail, "it is computed anew"), doing(change))
        if row.characters != row.length:
            change = own.values(characters=row.length)
            detail = f"it counts {row.characters} characters and has {row.length}"
            yield Problem(Finding("wrong_count", place, detail, "they are counted anew"), doing(change))
        yield from _readable(connection, row, place)


def _readable(connection: Connection, row: Any, place: str) -> Iterator[Problem]:
    """The columns of a document that hold JSON, and the filter entries that are made from one of them."""
    for name, kind in (("metadata", dict), ("warnings", list), ("pages", list)):
        if not is_json(getattr(row, name), kind):
            change = update(documents).where(documents.c.number == row.number)
            mend = partial(empty_and_mark, row.number, change.values({name: "{}" if kind is dict else "[]"}))
            repair = f"its {name} are emptied and it is marked to be read again"
            yield Problem(Finding("unreadable_row", place, f"its {name} cannot be read", repair), mend)
            return
    entries = set(metadata_entries(json.loads(row.metadata)))
    mine = document_metadata.c.document_number == row.number
    if entries != set(connection.execute(select(document_metadata.c.entry).where(mine)).scalars()):
        mend = partial(write_entries, row.number, sorted(entries))
        detail = "what a filter compares is not what its metadata say"
        yield Problem(Finding("wrong_metadata", place, detail, "the filter's entries are made anew"), mend)


def _counts(connection: Connection, owner: Row[Any]) -> Iterator[Problem]:
    present = func.count(chunks.c.key)
    statement = (
        select(documents.c.number, documents.c.id, documents.c.chunk_count, present.label("present"))
        .outerjoin(chunks, chunks.c.document_number == documents.c.number)
        .where(documents.c.collection_id == owner.id)
        .group_by(documents.c.number, documents.c.id, documents.c.chunk_count)
        .having(present != documents.c.chunk_count)
    )
    for row in connection.execute(statement).all():
        place, detail = f"document {row.id}", f"it counts {row.chunk_count} chunks and has {row.present}"
        if row.present > row.chunk_count:
            change = update(documents).where(documents.c.number == row.number).values(chunk_count=row.present)
            yield Problem(Finding("wrong_count", place, detail, "they are counted anew"), doing(change))
        else:
            mend = partial(settle_losses, row.number)
            repair = "it keeps what it has and is marked to be read again"
            yield Problem(Finding("missing_chunks", place, detail, repair), mend)


def _calibrations(connection: Connection) -> Iterator[Problem]:
    for row in connection.execute(select(calibrations.c.collection_id, calibrations.c.content)).all():
        try:
            Calibration.from_dict(json.loads(row.content))
        except (ValueError, KeyError, TypeError):
            change = delete(calibrations).where(calibrations.c.collection_id == row.collection_id)
            place = f"calibration of collection {row.collection_id}"
            repair = "it is forgotten; `fovea calibrate` makes a new one"
            yield Problem(Finding("unreadable_row", place, "it cannot be read", repair), doing(change))
