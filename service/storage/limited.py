"""A document store that takes no more than its tenant may store."""

from __future__ import annotations

import json

from sqlalchemy import Connection, select

from domain.access import Limits
from domain.documents import Document
from service.quotas import check_stored
from service.storage.documents import SqlDocumentStore
from service.storage.tables import documents, tenants
from service.storage.usage import stored_of


class LimitedDocumentStore(SqlDocumentStore):
    """Checks each document before it is written: only then is the length of its text known.

    `replace` raises QuotaExceeded where the tenant's quota has no room, and the old version stays; so does
    `record_failure`, for a document that failed is one too, and nobody may write rows without end by failing.
    """

    def _check_room(self, connection: Connection, document: Document) -> None:
        """Counts in the transaction that writes, and holds the tenant's row until that ends: else two servers on one
        database, or two collections, could each find the last place free.
        """
        if not self._limits(connection).bounds_storage:
            return
        limits = self._limits(connection, held=True)
        before = connection.execute(
            select(documents.c.characters).where(documents.c.tenant_id == self._tenant, documents.c.id == document.id)
        ).scalar()
        count, characters = stored_of(connection, self._tenant)
        known = before is not None
        check_stored(limits, count - known, characters - (before or 0), added_characters=len(document.text))

    def _check_row(self, connection: Connection) -> None:
        if self._limits(connection).documents is None:
            return
        most = self._limits(connection, held=True).documents
        check_stored(Limits(documents=most), *stored_of(connection, self._tenant))

    def _limits(self, connection: Connection, held: bool = False) -> Limits:
        statement = select(tenants.c.limits).where(tenants.c.id == self._tenant)
        # key_share: keys of the tenant, which refer to its row, can be made meanwhile.
        row = connection.execute(statement.with_for_update(key_share=True) if held else statement).scalar()
        return Limits.from_dict(json.loads(row)) if row else Limits()
