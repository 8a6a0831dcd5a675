"""How Alembic reaches the database: over the connection handed to it, or over a URL when a developer runs it by hand.

alembic -c migrations/alembic.ini -x url=sqlite:///scratch.db upgrade head
alembic -c migrations/alembic.ini -x url=sqlite:///scratch.db revision --autogenerate --rev-id 0002 -m "what changes"
"""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, create_engine

from service.failpoints import failpoint
from service.storage.tables import Identifier, StoredText, metadata


def _render(kind: str, item: Any, _: object) -> str | Literal[False]:
    # A step must not change when tables.py does: it names SQLAlchemy's own types.
    if kind != "type" or not isinstance(item, StoredText):
        return False
    return "sa.Text().with_variant(sa.Text(collation='C'), 'postgresql')" if item is Identifier else "sa.Text()"


def _run(connection: Connection) -> None:
    # Both databases roll DDL back, and the caller has begun the transaction: a step that fails leaves nothing behind.
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transactional_ddl=True,
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=_render,
        on_version_apply=lambda **_: failpoint("migrate.step"),
    )
    with context.begin_transaction():
        context.run_migrations()


def _run_by_hand() -> None:
    url = context.get_x_argument(as_dictionary=True).get("url")
    if not url:
        raise SystemExit(
            "Say which database: alembic -c migrations/alembic.ini -x url=sqlite:///scratch.db upgrade head"
        )
    with create_engine(url).begin() as connection:
        _run(connection)


_given: Connection | None = context.config.attributes.get("connection")
if _given is not None:
    _run(_given)
else:
    _run_by_hand()
