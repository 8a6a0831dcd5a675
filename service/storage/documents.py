"""The document store on SQL: the only truth, one transaction a write."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, insert, select, update

from domain.documents import Chunk, Document
from domain.errors import DomainError, LoadError, NotFound
from domain.jobs import DocumentInfo, ErrorInfo
from domain.search import FloatArray
from service.failpoints import failpoint
from service.storage.chunks import SqlChunks, parts_of
from service.storage.collections import SqlCollections
from service.storage.database import in_spite_of_a_full_disk
from service.storage.rows import (
    chunk_row,
    digest,
    document_from,
    document_row,
    failed_row,
    info_from,
    metadata_entries,
    now,
    pack_vectors,
)
from service.storage.tables import chunks, collections, document_metadata, documents, storable, tombstones

_INFO_COLUMNS: tuple[ColumnElement[Any], ...] = (
    documents.c.id,
    documents.c.source,
    documents.c.title,
    collections.c.name.label("collection"),
    documents.c.media_type,
    documents.c.status,
    documents.c.chunk_count,
    documents.c.characters,
    documents.c.updated_at,
    documents.c.error_code,
    documents.c.error_message,
    documents.c.metadata.label("metadata"),
)


class SqlDocumentStore(SqlCollections, SqlChunks):
    """Implements DocumentStore for one tenant; foreign ids do not exist for it. Safe to share between threads."""

    # -- writing -------------------------------------------------------------------------------------------------------

    def replace(
        self,
        collection: str,
        document: Document,
        chunks: Sequence[Chunk],
        vectors: FloatArray,
        token_blobs: Sequence[bytes | None],
    ) -> tuple[int, tuple[int, ...]]:
        """Store a complete version and retire the old one in one transaction; (generation, retired keys).

        A key that both versions share is not retired. Raises NotFound for the collection, LoadError for a document
        without chunks, DomainError for vectors that do not fit.
        """
        _refuse_incomplete(document, chunks, token_blobs)
        with self._database.write() as connection:
            owner = self._locked(connection, collection)
            self._check_room(connection, document)
            blobs = pack_vectors(vectors, len(chunks), owner.dim)
            if owner.dim is None:
                _record_dim(connection, owner.id, vectors.shape[1])
            generation = self._next_generation(connection, owner.id)
            number = self._put(connection, owner, document, len(chunks))
            failpoint("replace.document")
            place = {"collection_id": owner.id, "document_number": number, "generation": generation}
            rows = [
                chunk_row(chunk, vector, tokens) | place
                for chunk, vector, tokens in zip(chunks, blobs, token_blobs, strict=True)
            ]
            return generation, _swap_chunks(connection, owner.id, number, generation, rows)

    def record_failure(self, collection: str, document_id: str, source: str, error: ErrorInfo) -> None:
        """Note that the newest version of a source failed; a live older version stays as it is.

        Raises NotFound, and what `_check_row` raises.
        """
        with self._database.write() as connection:
            owner = self._locked(connection, collection)
            number = self._known(connection, owner, document_id, source)
            if number is None:
                self._check_row(connection)
                self._insert(connection, owner, document_id, failed_row(source, error))
            else:
                values = {"error_code": error.code, "error_message": error.message, "updated_at": now()}
                connection.execute(update(documents).where(documents.c.number == number).values(values))
            failpoint("failure.recorded")

    def delete(self, document_ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Delete documents; retired chunk keys by collection. Raises NotFound before anything is deleted.

        On a full disk it takes the room that is kept for it.
        """
        return in_spite_of_a_full_disk(self._database, partial(self._delete, document_ids))

    def _delete(self, document_ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
        wanted = list(dict.fromkeys(document_ids))
        retired: dict[str, tuple[int, ...]] = {}
        with self._database.write() as connection:
            rows = self._locked_documents(connection, wanted)
            failpoint("delete.locked")
            for name, collection_id in sorted({(row.collection, row.collection_id) for row in rows}):
                numbers = [row.number for row in rows if row.collection_id == collection_id]
                generation = self._next_generation(connection, collection_id)
                retired[name] = _retire_documents(connection, collection_id, numbers, generation)
        return retired

    # -- reading -------------------------------------------------------------------------------------------------------

    def content_state(self, collection: str, source: str) -> tuple[str, str] | None:
        """(content_hash, recipe) of the live version of a source; None where there is none."""
        statement = (
            select(documents.c.content_hash, documents.c.recipe)
            .join(collections, collections.c.id == documents.c.collection_id)
            .where(*self._in_collection(collection))
            .where(documents.c.source_hash == digest(source), documents.c.chunk_count > 0)
        )
        with self._database.read() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else (row.content_hash, row.recipe)

    def list_documents(
        self, collection: str | None = None, limit: int = 100, after: str | None = None
    ) -> list[DocumentInfo]:
        """Documents by ascending id, starting behind `after`; none for a collection that does not exist."""
        statement = self._documents(*_INFO_COLUMNS).order_by(documents.c.id).limit(limit)
        if collection is not None:
            statement = statement.where(collections.c.name == collection)
        if after is not None:
            statement = statement.where(documents.c.id > after)
        with self._database.read() as connection:
            return [info_from(row) for row in connection.execute(statement)]

    def get_document(self, document_id: str) -> Document:
        """The live version with its text; `blocks` served the chunker and are not kept. Raises NotFound."""
        statement = self._documents(documents).where(documents.c.id == document_id)
        with self._database.read() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            raise _no_document(document_id)
        if row.chunk_count == 0:
            raise NotFound(f"Document '{document_id}' has never been read: {row.error_message}")
        return document_from(row)

    def get_info(self, document_id: str) -> DocumentInfo:
        """Raises NotFound."""
        statement = self._documents(*_INFO_COLUMNS).where(documents.c.id == document_id)
        with self._database.read() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            raise _no_document(document_id)
        return info_from(row)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _documents(self, *columns: Any) -> Select[Any]:
        return (
            select(*columns)
            .select_from(documents)
            .join(collections, collections.c.id == documents.c.collection_id)
            .where(documents.c.tenant_id == self._tenant)
        )

    def _check_room(self, connection: Connection, document: Document) -> None:
        """Raise where the transaction may not store the document: a store with limits says when."""

    def _check_row(self, connection: Connection) -> None:
        """The same for the row of a document that failed and was not known before."""

    def _put(self, connection: Connection, owner: Row[Any], document: Document, chunk_count: int) -> int:
        """Write the document's own row and its metadata entries; its number."""
        values = document_row(document, chunk_count)
        number = self._known(connection, owner, document.id, document.source)
        if number is None:
            number = self._insert(connection, owner, document.id, values)
        else:
            connection.execute(update(documents).where(documents.c.number == number).values(values))
            connection.execute(delete(document_metadata).where(document_metadata.c.document_number == number))
        entries = [{"document_number": number, "entry": entry} for entry in metadata_entries(document.metadata)]
        if entries:
            connection.execute(insert(document_metadata), entries)
        return number

    def _known(self, connection: Connection, owner: Row[Any], document_id: str, source: str) -> int | None:
        """The number of a document that is there already. Raises DomainError where id and source tell two stories."""
        same_source = (documents.c.collection_id == owner.id) & (documents.c.source_hash == digest(source))
        statement = self._documents(documents.c.number, documents.c.id, documents.c.collection_id)
        rows = connection.execute(statement.where(same_source | (documents.c.id == document_id))).all()
        if any(row.id != document_id or row.collection_id != owner.id for row in rows):
            raise DomainError(
                f"Document '{document_id}' from '{source}' clashes with another one: in a collection a source has one "
                "id, and an id belongs to one collection."
            )
        return rows[0].number if rows else None

    def _insert(self, connection: Connection, owner: Row[Any], document_id: str, values: dict[str, Any]) -> int:
        place = {"tenant_id": self._tenant, "id": document_id, "collection_id": owner.id, "created_at": now()}
        result = connection.execute(insert(documents).values(values | place).returning(documents.c.number))
        return int(result.scalar_one())

    def _locked_documents(self, connection: Connection, document_ids: Sequence[str]) -> list[Row[Any]]:
        """The documents, their collections held until the transaction ends. Raises NotFound if one is missing."""
        columns = (
            documents.c.id,
            documents.c.number,
            documents.c.collection_id,
            collections.c.name.label("collection"),
        )
        found: dict[str, Row[Any]] = {}
        for part in parts_of(document_ids):
            owners = self._documents(documents.c.collection_id).where(documents.c.id.in_(part))
            # In one order, so that two deletions cannot wait for each other.
            held = select(collections.c.id).where(collections.c.id.in_(owners)).order_by(collections.c.id)
            connection.execute(held.with_for_update())
            found |= {
                row.id: row for row in connection.execute(self._documents(*columns).where(documents.c.id.in_(part)))
            }
        for document_id in document_ids:
            if storable(document_id) not in found:
                raise _no_document(document_id)
        return list(found.values())


def _refuse_incomplete(document: Document, chunks: Sequence[Chunk], token_blobs: Sequence[bytes | None]) -> None:
    if not chunks:
        raise LoadError(
            f"'{document.source}' has no text that could be found again; it was not stored.", code="no_text"
        )
    if len(token_blobs) != len(chunks):
        raise DomainError(f"'{document.source}' has {len(chunks)} chunks but {len(token_blobs)} token blobs.")


def _record_dim(connection: Connection, collection_id: int, dim: int) -> None:
    connection.execute(update(collections).where(collections.c.id == collection_id).values(dim=dim))


def _swap_chunks(
    connection: Connection, collection_id: int, number: int, generation: int, rows: Sequence[dict[str, Any]]
) -> tuple[int, ...]:
    """Old chunks of a document out, new ones in; the keys that are gone for good."""
    fresh = {row["key"] for row in rows}
    before = connection.execute(select(chunks.c.key).where(chunks.c.document_number == number)).scalars()
    retired = tuple(sorted(key for key in before if key not in fresh))
    connection.execute(delete(chunks).where(chunks.c.document_number == number))
    failpoint("replace.cleared")
    for part in parts_of(sorted(fresh)):
        back = (tombstones.c.collection_id == collection_id, tombstones.c.key.in_(part))
        connection.execute(delete(tombstones).where(*back))
    _insert_chunks(connection, rows)
    _bury(connection, collection_id, retired, generation)
    failpoint("replace.buried")
    return retired


def _insert_chunks(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    half = (len(rows) + 1) // 2
    connection.execute(insert(chunks), rows[:half])
    failpoint("replace.half")
    if rows[half:]:
        connection.execute(insert(chunks), rows[half:])
    failpoint("replace.chunks")


def _retire_documents(
    connection: Connection, collection_id: int, numbers: Sequence[int], generation: int
) -> tuple[int, ...]:
    keys: list[int] = []
    for part in parts_of(numbers):
        keys.extend(connection.execute(select(chunks.c.key).where(chunks.c.document_number.in_(part))).scalars())
        connection.execute(delete(documents).where(documents.c.number.in_(part)))
    failpoint("delete.documents")
    retired = tuple(sorted(keys))
    _bury(connection, collection_id, retired, generation)
    failpoint("delete.buried")
    return retired


def _bury(connection: Connection, collection_id: int, keys: Sequence[int], generation: int) -> None:
    if keys:
        rows = [{"collection_id": collection_id, "key": key, "generation": generation} for key in keys]
        connection.execute(insert(tombstones), rows)


def _no_document(document_id: str) -> NotFound:
    return NotFound(f"There is no document '{document_id}'. 'fovea list' shows those that exist.")
