"""Chunks of one tenant: by key for a search, by filter, and in a stream for the indexes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, Select, null, select

from domain.search import Filters, FloatArray, StoredChunk
from service.indexed_text import indexed_text
from service.storage.collections import TenantScope
from service.storage.rows import chunk_from, metadata_entries, ref_from, unpack_vectors
from service.storage.tables import chunks, collections, document_metadata, documents, tombstones

T = TypeVar("T")

_MAX_PARAMETERS = 30_000  # SQLite takes 32,766 bound values in a statement, PostgreSQL 65,535

# Everything a StoredChunk is made of, but for the token vectors.
CHUNK_COLUMNS = (
    chunks.c.key,
    chunks.c.id.label("chunk_id"),
    documents.c.id.label("document_id"),
    chunks.c.ordinal,
    chunks.c.start,
    chunks.c.end,
    chunks.c.text,
    chunks.c.sentences,
    chunks.c.heading_path,
    chunks.c.token_count,
    chunks.c.header_start,
    chunks.c.header_end,
    chunks.c.header_text,
    chunks.c.pages.label("chunk_pages"),
    documents.c.source,
    documents.c.title,
    documents.c.media_type,
    documents.c.metadata.label("metadata"),
)


class SqlChunks(TenantScope):
    """The verbs of DocumentStore that read chunks, by whatever leads to them."""

    def get_chunks(self, collection: str, keys: Sequence[int], with_tokens: bool = True) -> dict[int, StoredChunk]:
        """Live chunks of the collection by key, in the order of `keys`; keys that are gone or foreign are left out.

        One SELECT for up to 30,000 keys.
        """
        tokens = chunks.c.tokens if with_tokens else null().label("tokens")
        statement = self._chunks(collection, *CHUNK_COLUMNS, tokens)
        found: dict[int, StoredChunk] = {}
        with self._database.read() as connection:
            for part in parts_of(list(dict.fromkeys(keys))):
                for row in connection.execute(statement.where(chunks.c.key.in_(part))):
                    found[row.key] = StoredChunk(chunk_from(row), ref_from(row), row.tokens)
        return {key: found[key] for key in keys if key in found}

    def keys_matching(self, filters: Filters) -> frozenset[int]:
        """Keys of the chunks whose documents pass the filters."""
        # From the documents to their chunks: the other way round would read every chunk of the collection.
        statement = (
            select(chunks.c.key)
            .select_from(documents)
            .join(collections, collections.c.id == documents.c.collection_id)
            .join(chunks, chunks.c.document_number == documents.c.number)
            .where(*self._in_collection(filters.collection))
        )
        for entry in metadata_entries(filters.metadata):
            statement = statement.where(documents.c.number.in_(_documents_with(entry)))
        with self._database.read() as connection:
            if not filters.document_ids:
                return frozenset(connection.execute(statement).scalars())
            found: set[int] = set()
            for part in parts_of(sorted(filters.document_ids)):
                found.update(connection.execute(statement.where(documents.c.id.in_(part))).scalars())
        return frozenset(found)

    def iter_vectors(
        self, collection: str, batch: int = 4096, since: int = 0
    ) -> Iterator[tuple[list[int], FloatArray]]:
        """(keys, vectors of shape (N, D)) of live chunks added after generation `since`, oldest first."""
        for rows in self._stream(collection, batch, since, chunks.c.key, chunks.c.vector):
            dim = len(rows[0].vector) // 4
            yield [row.key for row in rows], unpack_vectors((row.vector for row in rows), dim)

    def iter_texts(self, collection: str, batch: int = 4096, since: int = 0) -> Iterator[tuple[list[int], list[str]]]:
        """(keys, texts to index) of live chunks added after generation `since`, oldest first."""
        for rows in self._stream(collection, batch, since, *CHUNK_COLUMNS):
            yield [row.key for row in rows], [indexed_text(chunk_from(row), row.title) for row in rows]

    def retired_since(self, collection: str, generation: int) -> list[int]:
        """Keys retired after `generation` and not live again."""
        statement = (
            select(tombstones.c.key)
            .join(collections, collections.c.id == tombstones.c.collection_id)
            .where(*self._in_collection(collection), tombstones.c.generation > generation)
        )
        with self._database.read() as connection:
            return list(connection.execute(statement).scalars())

    def _chunks(self, collection: str, *columns: ColumnElement[Any]) -> Select[Any]:
        return (
            select(*columns)
            .select_from(chunks)
            .join(collections, collections.c.id == chunks.c.collection_id)
            .join(documents, documents.c.number == chunks.c.document_number)
            .where(*self._in_collection(collection))
        )

    def _in_collection(self, name: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return collections.c.tenant_id == self._tenant, collections.c.name == name

    def _stream(
        self, collection: str, batch: int, since: int, *columns: ColumnElement[Any]
    ) -> Iterator[Sequence[Row[Any]]]:
        """Rows of one state of the database, `batch` at a time, never all in memory."""
        statement = self._chunks(collection, *columns).where(chunks.c.generation > since).order_by(chunks.c.generation)
        with self._database.read() as connection:
            result = connection.execution_options(yield_per=batch).execute(statement)
            yield from result.partitions()


def _documents_with(entry: str) -> Select[Any]:
    return select(document_metadata.c.document_number).where(document_metadata.c.entry == entry)


def parts_of(values: Sequence[T]) -> Iterable[Sequence[T]]:
    """`values` in parts that fit into one statement."""
    return (values[start : start + _MAX_PARAMETERS] for start in range(0, len(values), _MAX_PARAMETERS))
