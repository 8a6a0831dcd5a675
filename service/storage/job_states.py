"""How many jobs wait and run, over all tenants: for the metrics of whoever runs the server."""

from __future__ import annotations

from sqlalchemy import func, select

from service.storage.database import Database
from service.storage.jobs import UNFINISHED
from service.storage.tables import jobs


class SqlJobStates:
    """Counts unfinished jobs by (kind, state); the others only ever grow, and counters tell of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self) -> dict[tuple[str, str], int]:
        """Raises StorageError."""
        query = (
            select(jobs.c.kind, jobs.c.status, func.count())
            .where(jobs.c.status.in_(UNFINISHED))
            .group_by(jobs.c.kind, jobs.c.status)
        )
        with self._database.read() as connection:
            return {(kind, status): count for kind, status, count in connection.execute(query)}
