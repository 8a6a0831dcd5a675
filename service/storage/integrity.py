"""What may be wrong inside a database, of any tenant, and how each kind is put right.

Every check reads and yields problems; a problem carries its own repair, which runs later in a transaction that writes.
A repair never guesses: what follows from other rows is computed anew (a count, a digest, the text of a chunk), what
cannot be computed is taken out and its document marked, so that the next `fovea ingest` of its source reads it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Column, Connection, Row, Table, and_, delete, func, insert, or_, select, text, update

from domain.calibration import Calibration
from domain.documents import chunk_key
from domain.errors import FoveaError
from domain.maintenance import Finding
from service.storage.rows import UNIT_TOLERANCE, digest, metadata_entries, unpack_sentences
from service.storage.tables import (
    calibrations,
    chunks,
    collections,
    document_metadata,
    documents,
    index_snapshots,
    metadata,
    tombstones,
)

Mend = Callable[[Connection], None]
DecodeTokens = Callable[[str, bytes], None]
"""(codec_id of the collection, blob): raises FoveaError for a damaged blob, LookupError for an unknown codec."""

_BATCH = 256  # chunks read at a time: some 7 MB with their token vectors
LOST = "chunks_lost"  # the error code of a document that a repair took something out of


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding and its repair; None where there is none."""

    finding: Finding
    mend: Mend | None


@dataclass(slots=True)
class Looked:
    """How much a pass looked at, and what it could not look at."""

    counts: dict[str, int]
    unchecked: set[str]


def problems(connection: Connection, decode: DecodeTokens, looked: Looked) -> Iterator[Problem]:
    """All that is wrong, in an order in which the repairs may run one after the other."""
    yield from _damaged_file(connection)
    yield from _orphans(connection)
    yield from _generations(connection)
    yield from _dead_and_alive(connection)
    for owner in connection.execute(select(collections).order_by(collections.c.id)).all():
        looked.counts["collections"] = looked.counts.get("collections", 0) + 1
        yield from _documents(connection, owner, looked)
        yield from _chunks(connection, owner, decode, looked)
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
            mend = partial(_take_out_orphan, table, key, tuple(row))
            yield Problem(Finding(kind, place, "what it belongs to is gone", "the row is removed"), mend)


def _without_parent(column: Column[Any]) -> Any:
    (foreign,) = column.foreign_keys
    parent = foreign.column.table.alias()
    missing = ~select(parent.c[foreign.column.name]).where(parent.c[foreign.column.name] == column).exists()
    return and_(column.is_not(None), missing)


def _in_a_foreign_collection() -> Any:
    same = (documents.c.number == chunks.c.document_number) & (documents.c.collection_id != chunks.c.collection_id)
    return select(documents.c.number).where(same).exists()


def _take_out_orphan(table: Table, key: Sequence[Column[Any]], values: tuple[Any, ...], connection: Connection) -> None:
    connection.execute(delete(table).where(*(column == value for column, value in zip(key, values, strict=True))))
    if table is chunks:
        _bury(connection, *values)


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
        yield Problem(Finding("wrong_generation", f"collection {name}", detail, "it is counted anew"), _doing(change))


def _dead_and_alive(connection: Connection) -> Iterator[Problem]:
    both = (tombstones.c.collection_id == chunks.c.collection_id) & (tombstones.c.key == chunks.c.key)
    for row in connection.execute(select(chunks.c.collection_id, chunks.c.key).join(tombstones, both)).all():
        place = f"collection {row.collection_id}, key {row.key}"
        mend = partial(_revive, row.collection_id, row.key)
        detail = "it is live and has a tombstone"
        yield Problem(Finding("dead_and_alive", place, detail, "the tombstone is removed"), mend)


def _revive(collection_id: int, key: int, connection: Connection) -> None:
    place = (tombstones.c.collection_id == collection_id, tombstones.c.key == key)
    connection.execute(delete(tombstones).where(*place))
    # Of a new generation, so that an index which believed the tombstone takes the chunk in again.
    live = (chunks.c.collection_id == collection_id, chunks.c.key == key)
    connection.execute(update(chunks).where(*live).values(generation=_next_generation(connection, collection_id)))


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
            yield Problem(Finding("wrong_hash", place, detail, "it is computed anew"), _doing(change))
        if row.characters != row.length:
            change = own.values(characters=row.length)
            detail = f"it counts {row.characters} characters and has {row.length}"
            yield Problem(Finding("wrong_count", place, detail, "they are counted anew"), _doing(change))
        yield from _readable(connection, row, place)


def _readable(connection: Connection, row: Any, place: str) -> Iterator[Problem]:
    """The columns of a document that hold JSON, and the filter entries that are made from one of them."""
    for name, kind in (("metadata", dict), ("warnings", list), ("pages", list)):
        if not _is_json(getattr(row, name), kind):
            change = update(documents).where(documents.c.number == row.number)
            mend = partial(_empty_and_mark, row.number, change.values({name: "{}" if kind is dict else "[]"}))
            repair = f"its {name} are emptied and it is marked to be read again"
            yield Problem(Finding("unreadable_row", place, f"its {name} cannot be read", repair), mend)
            return
    entries = set(metadata_entries(json.loads(row.metadata)))
    mine = document_metadata.c.document_number == row.number
    if entries != set(connection.execute(select(document_metadata.c.entry).where(mine)).scalars()):
        mend = partial(_write_entries, row.number, sorted(entries))
        detail = "what a filter compares is not what its metadata say"
        yield Problem(Finding("wrong_metadata", place, detail, "the filter's entries are made anew"), mend)


def _is_json(value: str, kind: type) -> bool:
    try:
        return isinstance(json.loads(value), kind)
    except (ValueError, RecursionError):
        return False


def _empty_and_mark(number: int, change: Any, connection: Connection) -> None:
    connection.execute(change)
    _mark(connection, number)


def _write_entries(number: int, entries: Sequence[str], connection: Connection) -> None:
    connection.execute(delete(document_metadata).where(document_metadata.c.document_number == number))
    if entries:
        rows = [{"document_number": number, "entry": entry} for entry in entries]
        connection.execute(insert(document_metadata), rows)


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
            yield Problem(Finding("wrong_count", place, detail, "they are counted anew"), _doing(change))
        else:
            mend = partial(_settle_losses, row.number)
            repair = "it keeps what it has and is marked to be read again"
            yield Problem(Finding("missing_chunks", place, detail, repair), mend)


# -- chunks ------------------------------------------------------------------------------------------------------------


def _chunks(connection: Connection, owner: Row[Any], decode: DecodeTokens, looked: Looked) -> Iterator[Problem]:
    # By document, so that each document's text is read once; a whole scan in one query would hold its cursor open
    # while repairs write.
    numbers = select(documents.c.number).where(documents.c.collection_id == owner.id).order_by(documents.c.number)
    for number in connection.execute(numbers).scalars().all():
        body = connection.execute(select(documents.c.text).where(documents.c.number == number)).scalar_one()
        mine = (chunks.c.document_number == number, chunks.c.collection_id == owner.id)
        keys = connection.execute(select(chunks.c.key).where(*mine).order_by(chunks.c.ordinal)).scalars().all()
        looked.counts["chunks"] = looked.counts.get("chunks", 0) + len(keys)
        for start in range(0, len(keys), _BATCH):
            part = (chunks.c.collection_id == owner.id, chunks.c.key.in_(keys[start : start + _BATCH]))
            for row in connection.execute(select(chunks).where(*part).order_by(chunks.c.ordinal)).all():
                yield from _chunk(owner, row, body, decode, looked)


def _chunk(owner: Row[Any], row: Row[Any], body: str, decode: DecodeTokens, looked: Looked) -> Iterator[Problem]:
    place = f"chunk {row.id}"
    reason = _beyond_repair(owner, row)
    if reason is not None:
        mend = partial(_lose, row.collection_id, row.key, row.document_number)
        repair = "the chunk is taken out and its document marked to be read again"
        yield Problem(Finding(reason[0], place, reason[1], repair), mend)
        return
    own = update(chunks).where(chunks.c.collection_id == row.collection_id, chunks.c.key == row.key)
    if row.text != body[row.start : row.end]:
        mend = partial(_rewrite, row.collection_id, own, body[row.start : row.end])
        detail = "its text is not that of its document at its place"
        yield Problem(Finding("wrong_text", place, detail, "it is taken from the document"), mend)
    if (problem := _tokens_problem(owner, row, decode, looked)) is not None:
        mend = partial(_empty_and_mark, row.document_number, own.values(tokens=None))
        repair = "it is found by its sentence vector and its words until its document is read again"
        yield Problem(Finding("bad_tokens", place, problem, repair), mend)


def _beyond_repair(owner: Row[Any], row: Row[Any]) -> tuple[str, str] | None:
    """(kind, reason) why a chunk cannot stay; None when it can."""
    if row.key != chunk_key(row.id):
        return "wrong_hash", "its key is not the one that its id gives"
    if (problem := _vector_problem(row.vector, owner.dim)) is not None:
        return "bad_vector", problem
    if (problem := _row_problem(row)) is not None:
        return "unreadable_row", problem
    return None


def _vector_problem(blob: bytes, dim: int | None) -> str | None:
    if dim is not None and len(blob) != 4 * dim:
        return f"its vector has {len(blob)} bytes instead of {4 * dim}"
    vector = np.frombuffer(blob[: len(blob) // 4 * 4], dtype="<f4").astype(np.float64)
    if not np.isfinite(vector).all():
        return "its vector is not finite"
    norm = float(np.linalg.norm(vector))
    return None if abs(norm - 1.0) <= UNIT_TOLERANCE else f"its vector has length {norm:.6g}"


def _row_problem(row: Row[Any]) -> str | None:
    try:
        spans = [item.span for item in unpack_sentences(row.sentences)]
    except (ValueError, FoveaError):
        return "its sentences cannot be read"
    if any(span.start < row.start or span.end > row.end for span in spans):
        return "its sentences are outside of it"
    if not (_is_json(row.heading_path, list) and _is_json(row.pages, list)):
        return "its headings or pages cannot be read"
    return None


def _tokens_problem(owner: Row[Any], row: Row[Any], decode: DecodeTokens, looked: Looked) -> str | None:
    if row.tokens is None:
        return None
    try:
        decode(owner.codec_id or "", row.tokens)
    except LookupError:
        looked.unchecked.add(
            f"The token vectors of collection {owner.name} are packed as {owner.codec_id!r}, which the configured "
            "encoder does not read."
        )
    except FoveaError as error:
        return f"its token vectors cannot be read: {error.message}"
    return None


def _calibrations(connection: Connection) -> Iterator[Problem]:
    for row in connection.execute(select(calibrations.c.collection_id, calibrations.c.content)).all():
        try:
            Calibration.from_dict(json.loads(row.content))
        except (ValueError, KeyError, TypeError):
            change = delete(calibrations).where(calibrations.c.collection_id == row.collection_id)
            place = f"calibration of collection {row.collection_id}"
            repair = "it is forgotten; `fovea calibrate` makes a new one"
            yield Problem(Finding("unreadable_row", place, "it cannot be read", repair), _doing(change))


# -- repairs -----------------------------------------------------------------------------------------------------------


def _doing(statement: Any) -> Mend:
    def mend(connection: Connection) -> None:
        connection.execute(statement)

    return mend


def _rewrite(collection_id: int, own: Any, body: str, connection: Connection) -> None:
    connection.execute(own.values(text=body, generation=_next_generation(connection, collection_id)))


def _lose(collection_id: int, key: int, number: int, connection: Connection) -> None:
    connection.execute(delete(chunks).where(chunks.c.collection_id == collection_id, chunks.c.key == key))
    _bury(connection, collection_id, key)
    _settle_losses(number, connection)


def _bury(connection: Connection, collection_id: int, key: int) -> None:
    if connection.execute(select(collections.c.id).where(collections.c.id == collection_id)).scalar() is None:
        return
    connection.execute(delete(tombstones).where(tombstones.c.collection_id == collection_id, tombstones.c.key == key))
    generation = _next_generation(connection, collection_id)
    row = {"collection_id": collection_id, "key": key, "generation": generation}
    connection.execute(insert(tombstones).values(row))


def _settle_losses(number: int, connection: Connection) -> None:
    """Count a document's chunks anew and mark it to be read again.

    An index may hold a chunk whose key nobody knows any more, so the snapshots of its collection are forgotten.
    """
    owner = select(documents.c.collection_id).where(documents.c.number == number).scalar_subquery()
    connection.execute(delete(index_snapshots).where(index_snapshots.c.collection_id == owner))
    present = select(func.count()).select_from(chunks).where(chunks.c.document_number == number)
    count = connection.execute(present).scalar_one()
    values = {"chunk_count": count, **({} if count else {"status": "failed"})}
    connection.execute(update(documents).where(documents.c.number == number).values(values))
    _mark(connection, number)


def _mark(connection: Connection, number: int) -> None:
    # Without its hash the next ingest of the source takes it for changed, whatever its bytes.
    values = {
        "content_hash": "",
        "error_code": LOST,
        "error_message": "A part of it was damaged and taken out; ingest its source again.",
    }
    connection.execute(update(documents).where(documents.c.number == number).values(values))


def _next_generation(connection: Connection, collection_id: int) -> int:
    raised = (
        update(collections)
        .where(collections.c.id == collection_id)
        .values(generation=collections.c.generation + 1)
        .returning(collections.c.generation)
    )
    return int(connection.execute(raised).scalar_one())
