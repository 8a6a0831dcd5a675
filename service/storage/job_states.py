"""How many jobs wait and run, over all tenants: for the metrics of whoever runs the server."""

from __future__ import annotations

from sqlalchemy import func, select

from domain.jobs import JobStatus
from service.storage.database import Database
from service.storage.tables import jobs

_OPEN = (JobStatus.QUEUED.value, JobStatus.RUNNING.value)  # the others only ever grow; counters tell of them


class SqlJobStates:
    """Counts open jobs by (kind, state)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self) -> dict[tuple[str, str], int]:
        """Raises StorageError."""
        query = (
            select(jobs.c.kind, jobs.c.status, func.count())
            .where(jobs.c.status.in_(_OPEN))
            .group_by(jobs.c.kind, jobs.c.status)
        )
        with self._database.read() as connection:
            return {(kind, status): count for kind, status, count in connection.execute(query)}
