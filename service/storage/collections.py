"""Collections of one tenant: names, generations, and which encoder their vectors come from."""

from __future__ import annotations

import re
import unicodedata
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from domain.errors import IndexModelMismatch, NotFound, UsageError
from domain.jobs import CollectionInfo
from domain.search import DEFAULT_TENANT
from service.failpoints import failpoint
from service.storage.database import Database, in_spite_of_a_full_disk
from service.storage.rows import now
from service.storage.tables import chunks, collections, documents

_MAX_NAME = 64
# Letters and marks to Unicode, but nothing to the eye: fillers, variation selectors and the like.
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def check_collection_name(name: str) -> None:
    """Raise UsageError "invalid_collection_name" for a name that could mislead a reader, a terminal or a path."""
    if not 1 <= len(name) <= _MAX_NAME or name != name.strip() or not all(map(_may_name, name)):
        raise UsageError(
            f"{name[: _MAX_NAME + 1]!r} cannot name a collection; a name has 1 to {_MAX_NAME} characters: letters and "
            "digits of any script, spaces inside it, '.', '_' and '-'.",
            code="invalid_collection_name",
        )


def _may_name(character: str) -> bool:
    # Marks belong to letters: the vowel signs of Hindi and Thai, and accents that are written apart.
    category = unicodedata.category(character)
    return character in " ._-" or ((category[0] in "LM" or category == "Nd") and not _UNSEEN.match(character))


class TenantScope:
    """A database seen by one tenant. Every query starts from here, so that none can forget whose rows it may see."""

    def __init__(self, database: Database, tenant: str = DEFAULT_TENANT) -> None:
        self._database = database
        self._tenant = tenant

    def _named(self, name: str) -> Select[Any]:
        return select(collections).where(collections.c.tenant_id == self._tenant, collections.c.name == name)

    def _find(self, connection: Connection, name: str) -> Row[Any] | None:
        return connection.execute(self._named(name)).one_or_none()

    def _locked(self, connection: Connection, name: str) -> Row[Any]:
        """The row of a collection, held until the transaction ends: writers of one collection take turns."""
        row = connection.execute(self._named(name).with_for_update()).one_or_none()
        if row is None:
            raise NotFound(f"There is no collection '{name}'. 'fovea list' shows those that exist.")
        return row

    def _next_generation(self, connection: Connection, collection_id: int) -> int:
        statement = (
            update(collections)
            .where(collections.c.id == collection_id, collections.c.tenant_id == self._tenant)
            .values(generation=collections.c.generation + 1)
            .returning(collections.c.generation)
        )
        return int(connection.execute(statement).scalar_one())


class SqlCollections(TenantScope):
    """The verbs of DocumentStore that concern whole collections."""

    def ensure_collection(self, name: str) -> None:
        """Create the collection unless it is there. Raises UsageError for a name that cannot be one."""
        check_collection_name(name)
        with self._database.read() as connection:
            if self._find(connection, name) is not None:
                return
        dialect_insert = sqlite_insert if self._database.is_sqlite else postgresql_insert
        with self._database.write() as connection:
            connection.execute(dialect_insert(collections).values(self._new(name)).on_conflict_do_nothing())

    def create_collection(self, name: str) -> CollectionInfo:
        """Raises UsageError with code "collection_exists" or "invalid_collection_name"."""
        check_collection_name(name)
        dialect_insert = sqlite_insert if self._database.is_sqlite else postgresql_insert
        statement = dialect_insert(collections).values(self._new(name)).on_conflict_do_nothing()
        with self._database.write() as connection:
            created = connection.execute(statement.returning(collections.c.id)).scalar()
        if created is None:
            raise UsageError(f"Collection '{name}' exists already; choose another name.", code="collection_exists")
        return CollectionInfo(name=name, documents=0, chunks=0, model_id=None, dim=None)

    def list_collections(self) -> list[CollectionInfo]:
        """All collections by name; `documents` counts those that can be found."""
        live = func.count(documents.c.number).filter(documents.c.chunk_count > 0)
        statement = (
            select(
                collections.c.name,
                live.label("documents"),
                func.coalesce(func.sum(documents.c.chunk_count), 0).label("chunks"),
                collections.c.model_id,
                collections.c.dim,
            )
            .select_from(collections.outerjoin(documents, documents.c.collection_id == collections.c.id))
            .where(collections.c.tenant_id == self._tenant)
            .group_by(collections.c.id)
            .order_by(collections.c.name)
        )
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        return [CollectionInfo(row.name, row.documents, int(row.chunks), row.model_id, row.dim) for row in rows]

    def delete_collection(self, name: str) -> None:
        """Delete a collection with everything in it, on a full disk too. Raises NotFound."""
        in_spite_of_a_full_disk(self._database, partial(self._delete_collection, name))

    def _delete_collection(self, name: str) -> None:
        with self._database.write() as connection:
            row = self._locked(connection, name)
            scope = (collections.c.id == row.id, collections.c.tenant_id == self._tenant)
            connection.execute(delete(collections).where(*scope))
            failpoint("collection.deleted")

    def generation(self, collection: str) -> int:
        """How many writes the collection has seen; 0 for one that does not exist yet."""
        with self._database.read() as connection:
            row = self._find(connection, collection)
        return 0 if row is None else int(row.generation)

    def check_encoder(self, collection: str, model_id: str, dim: int, codec_id: str) -> None:
        """Record the encoder on first use; raise IndexModelMismatch when the collection holds vectors of another.

        A collection without chunks takes any encoder. Raises NotFound.
        """
        wanted = (model_id, dim, codec_id)
        with self._database.read() as connection:
            row = self._find(connection, collection)
            if row is not None and (row.model_id, row.dim, row.codec_id) == wanted:
                return
        with self._database.write() as connection:
            row = self._locked(connection, collection)
            if self._holds_chunks(connection, row.id):
                _refuse_other_encoder(row, model_id, dim, codec_id)
            values = {"model_id": model_id, "dim": dim, "codec_id": codec_id}
            connection.execute(update(collections).where(collections.c.id == row.id).values(values))

    def _holds_chunks(self, connection: Connection, collection_id: int) -> bool:
        return bool(connection.execute(select(exists().where(chunks.c.collection_id == collection_id))).scalar())

    def _new(self, name: str) -> dict[str, Any]:
        return {"tenant_id": self._tenant, "name": name, "generation": 0, "created_at": now()}


def _refuse_other_encoder(row: Row[Any], model_id: str, dim: int, codec_id: str) -> None:
    advice = (
        "vectors of two encoders are never mixed: restore the previous encoder, or give the collection vectors of this "
        f"one with `fovea reindex --embed --collection {row.name}`"
    )
    if row.model_id not in (None, model_id) or row.dim not in (None, dim):
        raise IndexModelMismatch(
            f"Encoder '{model_id}' ({dim} dimensions) is configured but collection '{row.name}' holds vectors of "
            f"'{row.model_id}' ({row.dim} dimensions); {advice}."
        )
    if row.codec_id not in (None, codec_id):
        raise IndexModelMismatch(
            f"Token vectors are packed as '{codec_id}' but collection '{row.name}' holds '{row.codec_id}'; {advice}."
        )
