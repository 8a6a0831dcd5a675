"""How what is wrong in a database is put right: each function is one repair, inside a transaction that writes.

A repair never guesses: what follows from other rows is computed anew, what cannot be computed is taken out and its
document marked, so that the next `fovea ingest` of its source reads it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table, delete, func, insert, select, update

from service.storage.problems import Mend
from service.storage.tables import chunks, collections, document_metadata, documents, index_snapshots, tombstones

LOST = "chunks_lost"  # the error code of a document that a repair took something out of


def take_out_orphan(table: Table, key: Sequence[Column[Any]], values: tuple[Any, ...], connection: Connection) -> None:
    """Delete a row that belongs to nothing; an index may hold a chunk, and is told to forget it."""
    connection.execute(delete(table).where(*(column == value for column, value in zip(key, values, strict=True))))
    if table is chunks:
        _bury(connection, *values)


def revive(collection_id: int, key: int, connection: Connection) -> None:
    """Take the tombstone of a live chunk away."""
    place = (tombstones.c.collection_id == collection_id, tombstones.c.key == key)
    connection.execute(delete(tombstones).where(*place))
    # Of a new generation, so that an index which believed the tombstone takes the chunk in again.
    live = (chunks.c.collection_id == collection_id, chunks.c.key == key)
    connection.execute(update(chunks).where(*live).values(generation=_next_generation(connection, collection_id)))


def write_entries(number: int, entries: Sequence[str], connection: Connection) -> None:
    """Make what a filter compares of a document anew."""
    connection.execute(delete(document_metadata).where(document_metadata.c.document_number == number))
    if entries:
        rows = [{"document_number": number, "entry": entry} for entry in entries]
        connection.execute(insert(document_metadata), rows)


def empty_and_mark(number: int, change: Any, connection: Connection) -> None:
    """Empty what cannot be read, and mark the document to be read again."""
    connection.execute(change)
    _mark(connection, number)


def doing(statement: Any) -> Mend:
    """A repair that is one statement."""

    def mend(connection: Connection) -> None:
        connection.execute(statement)

    return mend


def rewrite(collection_id: int, own: Any, body: str, connection: Connection) -> None:
    """Give a chunk the text that its document has at its place; indexes take it in again."""
    connection.execute(own.values(text=body, generation=_next_generation(connection, collection_id)))


def lose(collection_id: int, key: int, number: int, connection: Connection) -> None:
    """Take a chunk out and mark its document to be read again."""
    connection.execute(delete(chunks).where(chunks.c.collection_id == collection_id, chunks.c.key == key))
    _bury(connection, collection_id, key)
    settle_losses(number, connection)


def _bury(connection: Connection, collection_id: int, key: int) -> None:
    """Leave a tombstone, by which indexes forget a chunk; none where its collection is gone."""
    if connection.execute(select(collections.c.id).where(collections.c.id == collection_id)).scalar() is None:
        return
    connection.execute(delete(tombstones).where(tombstones.c.collection_id == collection_id, tombstones.c.key == key))
    generation = _next_generation(connection, collection_id)
    row = {"collection_id": collection_id, "key": key, "generation": generation}
    connection.execute(insert(tombstones).values(row))


def settle_losses(number: int, connection: Connection) -> None:
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
