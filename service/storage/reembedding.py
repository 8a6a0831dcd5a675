"""New vectors for all chunks of a collection: kept aside until there is one for each, then put in place at once.

Until then the collection is what it was. What is kept aside survives a kill, and the next run goes on behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, insert, select, update

from domain.documents import Passage
from domain.search import FloatArray
from service.failpoints import failpoint
from service.storage.chunks import CHUNK_COLUMNS
from service.storage.collections import TenantScope
from service.storage.rows import chunk_from, pack_vectors
from service.storage.tables import chunks, collections, documents, new_vectors


@dataclass(frozen=True, slots=True)
class EncoderIdentity:
    """Whose vectors they are; `name` is equal where they may be mixed."""

    model_id: str
    dim: int
    codec_id: str

    @property
    def name(self) -> str:
        return f"{self.model_id} {self.dim} {self.codec_id}"


class SqlReembedding(TenantScope):
    """The vectors kept aside, of one tenant. Raises NotFound for a collection that does not exist."""

    def begin(self, collection: str, encoder: EncoderIdentity) -> tuple[int, int]:
        """Drop what other encoders left; (chunks that have a vector of this one, all chunks)."""
        with self._database.write() as connection:
            owner = self._locked(connection, collection)
            foreign = (new_vectors.c.collection_id == owner.id, new_vectors.c.encoder != encoder.name)
            connection.execute(delete(new_vectors).where(*foreign))
            total = connection.execute(select(func.count()).where(chunks.c.collection_id == owner.id)).scalar_one()
            return total - self._missing(connection, owner.id), total

    def pending(self, collection: str, limit: int) -> tuple[list[int], list[Passage]]:
        """At most `limit` chunks without a new vector: keys, and what the encoder reads of each."""
        aside = and_(new_vectors.c.collection_id == chunks.c.collection_id, new_vectors.c.key == chunks.c.key)
        statement: Select[Any] = (
            select(*CHUNK_COLUMNS)
            .select_from(chunks)
            .join(collections, collections.c.id == chunks.c.collection_id)
            .join(documents, documents.c.number == chunks.c.document_number)
            .outerjoin(new_vectors, aside)
            .where(collections.c.tenant_id == self._tenant, collections.c.name == collection)
            .where(new_vectors.c.key.is_(None))
            .order_by(chunks.c.key)
            .limit(limit)
        )
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        return [row.key for row in rows], [chunk_from(row).passage(row.title) for row in rows]

    def keep(
        self,
        collection: str,
        encoder: EncoderIdentity,
        keys: Sequence[int],
        vectors: FloatArray,
        tokens: Sequence[bytes | None],
    ) -> None:
        """Keep a batch aside; `vectors` has shape (N, D). Raises DomainError for vectors that do not fit."""
        blobs = pack_vectors(vectors, len(keys), encoder.dim)
        with self._database.write() as connection:
            owner = self._locked(connection, collection)
            rows = [
                {"collection_id": owner.id, "key": key, "encoder": encoder.name, "vector": vector, "tokens": blob}
                for key, vector, blob in zip(keys, blobs, tokens, strict=True)
            ]
            connection.execute(insert(new_vectors), rows)
        failpoint("embed.batch")

    def swap(self, collection: str, encoder: EncoderIdentity) -> bool:
        """Let the new vectors take the old ones' place in one transaction; False while a chunk has none."""
        with self._database.write() as connection:
            owner = self._locked(connection, collection)
            if self._missing(connection, owner.id):
                return False
            mine = new_vectors.c.collection_id == owner.id
            values = {
                "vector": new_vectors.c.vector,
                "tokens": new_vectors.c.tokens,
                "generation": self._next_generation(connection, owner.id),
            }
            same = (chunks.c.collection_id == owner.id, mine, new_vectors.c.key == chunks.c.key)
            connection.execute(update(chunks).where(*same).values(values))
            identity = {"model_id": encoder.model_id, "dim": encoder.dim, "codec_id": encoder.codec_id}
            connection.execute(update(collections).where(collections.c.id == owner.id).values(identity))
            connection.execute(delete(new_vectors).where(mine))
            failpoint("embed.swap")
        return True

    def _missing(self, connection: Connection, collection_id: int) -> int:
        aside = select(new_vectors.c.key).where(new_vectors.c.collection_id == collection_id)
        lacking = (chunks.c.collection_id == collection_id, chunks.c.key.not_in(aside))
        return int(connection.execute(select(func.count()).select_from(chunks).where(*lacking)).scalar_one())
