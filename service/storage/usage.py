"""What tenants have used: tokens by day and key, documents and characters. Kept in SQL, because it is about money."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from service.storage.collections import TenantScope
from service.storage.tables import documents, token_usage

_TOKENS = token_usage.c.prompt_tokens + token_usage.c.completion_tokens


class SqlUsage(TenantScope):
    """The account of one tenant."""

    def charge(self, day: str, key_id: str, prompt_tokens: int, completion_tokens: int) -> None:
        """Add an answer to a key's account of a day, "2026-03-01"; committed once this returns."""
        dialect_insert = sqlite_insert if self._database.is_sqlite else postgresql_insert
        values = {"answers": 1, "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        place = {"tenant_id": self._tenant, "day": day, "key_id": key_id}
        more = {name: token_usage.c[name] + value for name, value in values.items()}
        statement = dialect_insert(token_usage).values(place | values)
        with self._database.write() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["tenant_id", "day", "key_id"], set_=more)
            )

    def spent(self, day: str) -> dict[str, int]:
        """Tokens of a day by key."""
        statement = self._of_day(token_usage.c.key_id, _TOKENS.label("tokens"), day=day)
        with self._database.read() as connection:
            return {row.key_id: int(row.tokens) for row in connection.execute(statement)}

    def stored(self) -> tuple[int, int]:
        """(documents, characters of their texts); a document that failed is one too."""
        with self._database.read() as connection:
            return stored_of(connection, self._tenant)

    def _of_day(self, *columns: ColumnElement[Any], day: str) -> Select[Any]:
        return select(*columns).where(token_usage.c.tenant_id == self._tenant, token_usage.c.day == day)


def stored_of(connection: Connection, tenant: str) -> tuple[int, int]:
    """(documents, characters of their texts) of a tenant, as the connection's transaction sees them."""
    statement = select(func.count(), func.coalesce(func.sum(documents.c.characters), 0))
    count, characters = connection.execute(statement.where(documents.c.tenant_id == tenant)).one()
    return int(count), int(characters)
