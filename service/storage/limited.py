"""A document store that takes no more than its tenant may store."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, select

from domain.access import Limits
from domain.documents import Chunk, Document
from domain.search import FloatArray
from service.quotas import check_stored
from service.storage.documents import SqlDocumentStore
from service.storage.tables import documents, tenants
from service.storage.usage import SqlUsage


class LimitedDocumentStore(SqlDocumentStore):
    """Checks each document before it is written: only then is the length of its text known."""

    def replace(
        self,
        collection: str,
        document: Document,
        chunks: Sequence[Chunk],
        vectors: FloatArray,
        token_blobs: Sequence[bytes | None],
    ) -> tuple[int, tuple[int, ...]]:
        """As the store's; raises QuotaExceeded where the tenant's quota has no room, and the old version stays."""
        self._check_room(document)
        return super().replace(collection, document, chunks, vectors, token_blobs)

    def _check_room(self, document: Document) -> None:
        with self._database.read() as connection:
            limits = self._limits(connection)
            if limits.documents is None and limits.characters is None:
                return
            before = connection.execute(
                select(documents.c.characters).where(
                    documents.c.tenant_id == self._tenant, documents.c.id == document.id
                )
            ).scalar()
        count, characters = SqlUsage(self._database, self._tenant).stored()
        known = before is not None
        check_stored(limits, count - known, characters - (before or 0), added_characters=len(document.text))

    def _limits(self, connection: Connection) -> Limits:
        row = connection.execute(select(tenants.c.limits).where(tenants.c.id == self._tenant)).scalar()
        return Limits.from_dict(json.loads(row)) if row else Limits()
