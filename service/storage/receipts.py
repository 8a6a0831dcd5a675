"""Idempotency keys on SQL: what a request did is committed with a receipt of it, so that it is done once.

The receipt and the effect are one transaction: a crash leaves both or neither, and no key is ever stuck "in flight".
A second request with the key waits for the first one's transaction, and then finds its receipt.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from domain.errors import UsageError
from domain.jobs import Receipt
from service.storage.rows import now, payload_json
from service.storage.tables import idempotency_keys

KEPT = timedelta(hours=24)


def find_receipt(connection: Connection, tenant: str, receipt: Receipt) -> Receipt | None:
    """The receipt of an equal request, None where none is kept. Raises UsageError "idempotency_key_reused"
    where its key was used for something else.
    """
    return _find(connection, tenant, receipt, idempotency_keys.c.created_at >= _oldest_kept())


def _find(connection: Connection, tenant: str, receipt: Receipt, *kept: ColumnElement[bool]) -> Receipt | None:
    own = (idempotency_keys.c.tenant_id == tenant, idempotency_keys.c.key == receipt.key)
    row = connection.execute(select(idempotency_keys).where(*own, *kept)).one_or_none()
    if row is None:
        return None
    if row.fingerprint != receipt.fingerprint:
        raise UsageError(
            "This Idempotency-Key was used for another request within the last 24 hours; take a new key for a new "
            "request.",
            code="idempotency_key_reused",
        )
    return Receipt(row.key, row.fingerprint, json.loads(row.response))


def put_receipt(connection: Connection, tenant: str, receipt: Receipt) -> Receipt | None:
    """Keep the receipt, in the transaction of what it tells of; the earlier one where an equal request was first."""
    connection.execute(delete(idempotency_keys).where(idempotency_keys.c.created_at < _oldest_kept()))
    insert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    values = {
        "tenant_id": tenant,
        "key": receipt.key,
        "fingerprint": receipt.fingerprint,
        "response": payload_json(receipt.response),
        "created_at": now(),
    }
    statement = insert(idempotency_keys).values(values).on_conflict_do_nothing()
    if connection.execute(statement.returning(idempotency_keys.c.key)).scalar() is not None:
        return None
    return _find(connection, tenant, receipt)


def _oldest_kept() -> str:
    return (datetime.now(UTC) - KEPT).isoformat(timespec="milliseconds")
