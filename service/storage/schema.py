"""Brings a database to the newest schema, in one transaction that a second process waits for."""

from __future__ import annotations

from importlib.resources import as_file, files

from sqlalchemy import Connection, Engine, inspect, text

from domain.errors import StorageError
from service.failpoints import failpoint
from service.storage.tables import SCHEMA_VERSION

_MIGRATION_LOCK = 0x666F766561  # "fovea": the advisory lock that keeps two processes from migrating at once


def migrate(engine: Engine) -> None:
    """Create or upgrade the schema. A kill at any moment leaves the old schema or the new one, nothing between.

    Raises StorageError with code "schema_too_new" when a later release has written this database.
    """
    with engine.connect() as connection, connection.begin():
        if recorded_version(connection) == SCHEMA_VERSION:
            return
    with engine.connect() as connection:
        connection = connection.execution_options(fovea_write=True)
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            failpoint("migrate.begun")
            _upgrade(connection)
            failpoint("migrate.done")


def require_schema(engine: Engine) -> None:
    """Raise StorageError, code "schema_too_old" or "schema_too_new", unless the schema is this release's own."""
    with engine.connect() as connection, connection.begin():
        version = recorded_version(connection)
    if version == SCHEMA_VERSION:
        return
    if version is None or version < SCHEMA_VERSION:
        raise StorageError(
            f"The database has schema {version or 'none'}, older than {SCHEMA_VERSION} of this release; start the "
            "product once, which upgrades it.",
            code="schema_too_old",
        )
    raise _too_new(version)


def _too_new(version: str | None) -> StorageError:
    return StorageError(
        f"The database has schema {version}, which this release (schema {SCHEMA_VERSION}) does not know. "
        "Install the release that wrote it, or a later one.",
        code="schema_too_new",
    )


def recorded_version(connection: Connection) -> str | None:
    """The revision Alembic recorded; None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version


def _upgrade(connection: Connection) -> None:
    # Imported here: a database at the newest schema, the common case, is opened without loading Alembic.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    with as_file(files("migrations")) as folder:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        version = recorded_version(connection)
        try:
            ScriptDirectory.from_config(config).get_revision(version or "base")
        except CommandError:
            raise _too_new(version) from None
        command.upgrade(config, "head")
