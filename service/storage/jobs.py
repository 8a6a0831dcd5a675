"""The job queue on SQL: a job that `enqueue` returned is on disk, and a worker that dies gives it back."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, insert, null, select, update

from domain.errors import NotFound
from domain.jobs import ErrorInfo, Job, JobStatus
from service.storage.collections import TenantScope
from service.storage.rows import error_from, now, payload_from, payload_json
from service.storage.tables import job_blobs, jobs

MAX_ATTEMPTS = 3  # a job that has taken three workers down with it will take the fourth


class SqlJobQueue(TenantScope):
    """Implements JobQueue for one tenant, in order of arrival. One worker process; any thread may enqueue."""

    def enqueue(self, kind: str, payload: Mapping[str, Any], blob: bytes | None = None) -> Job:
        """Commit a job, with the bytes it works on."""
        job = Job(id=f"job-{uuid.uuid4().hex[:20]}", kind=kind, status=JobStatus.QUEUED, payload=payload)
        moment = now()
        row = {
            "tenant_id": self._tenant,
            "id": job.id,
            "kind": kind,
            "status": job.status.value,
            "document_id": payload.get("document_id"),
            "payload": payload_json(payload),
            "attempts": 0,
            "created_at": moment,
            "updated_at": moment,
        }
        with self._database.write() as connection:
            number = connection.execute(insert(jobs).values(row).returning(jobs.c.number)).scalar_one()
            if blob is not None:
                connection.execute(insert(job_blobs).values(job_number=number, blob=blob))
        return job

    def claim(self) -> Job | None:
        """The oldest queued job, now running, with its blob; None when there is nothing to do."""
        oldest = (
            select(jobs.c.number)
            .where(*self._in_state(JobStatus.QUEUED))
            .order_by(jobs.c.number)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._database.write() as connection:
            number = connection.execute(oldest).scalar()
            if number is None:
                return None
            values = {"status": JobStatus.RUNNING.value, "attempts": jobs.c.attempts + 1, "updated_at": now()}
            connection.execute(update(jobs).where(jobs.c.number == number).values(values))
            row = connection.execute(self._jobs(job_blobs.c.blob).where(jobs.c.number == number)).one()
        return _job(row)

    def complete(self, job_id: str) -> None:
        """Mark a job as done and let go of its bytes. Raises NotFound."""
        with self._database.write() as connection:
            number = self._settle(connection, job_id, JobStatus.READY, None)
            connection.execute(delete(job_blobs).where(job_blobs.c.job_number == number))

    def fail(self, job_id: str, error: ErrorInfo) -> None:
        """Give a job up; its bytes stay, to find out why. Raises NotFound."""
        with self._database.write() as connection:
            self._settle(connection, job_id, JobStatus.FAILED, error)

    def get(self, job_id: str) -> Job:
        """A job without its blob. Raises NotFound."""
        statement = self._jobs(null().label("blob")).where(jobs.c.id == job_id)
        with self._database.read() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            raise _no_job(job_id)
        return _job(row)

    def of_document(self, document_id: str) -> list[Job]:
        """The jobs whose payload's "document_id" is this one, newest first, without blobs; empty for an unknown id."""
        statement = self._jobs(null().label("blob")).where(jobs.c.document_id == document_id)
        with self._database.read() as connection:
            return [_job(row) for row in connection.execute(statement.order_by(jobs.c.number.desc()))]

    def requeue_running(self) -> int:
        """Put jobs back that a killed worker left running; a job that has used up its attempts fails. Returns how many
        came back.
        """
        left_running = update(jobs).where(*self._in_state(JobStatus.RUNNING))
        spent = {
            "status": JobStatus.FAILED.value,
            "error_code": "worker_crashed",
            "error_message": f"The worker died {MAX_ATTEMPTS} times over this job; check its input and send it again.",
            "updated_at": now(),
        }
        again = {"status": JobStatus.QUEUED.value, "updated_at": now()}
        with self._database.write() as connection:
            connection.execute(left_running.where(jobs.c.attempts >= MAX_ATTEMPTS).values(spent))
            return connection.execute(left_running.values(again)).rowcount

    def _jobs(self, blob: ColumnElement[Any]) -> Select[Any]:
        joined = jobs.outerjoin(job_blobs, job_blobs.c.job_number == jobs.c.number)
        return select(jobs, blob).select_from(joined).where(jobs.c.tenant_id == self._tenant)

    def _in_state(self, status: JobStatus) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return jobs.c.tenant_id == self._tenant, jobs.c.status == status.value

    def _settle(self, connection: Connection, job_id: str, status: JobStatus, error: ErrorInfo | None) -> int:
        values = {
            "status": status.value,
            "error_code": error.code if error else None,
            "error_message": error.message if error else None,
            "updated_at": now(),
        }
        scope = (jobs.c.tenant_id == self._tenant, jobs.c.id == job_id)
        number = connection.execute(update(jobs).where(*scope).values(values).returning(jobs.c.number)).scalar()
        if number is None:
            raise _no_job(job_id)
        return int(number)


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        status=JobStatus(row.status),
        payload=payload_from(row.payload),
        attempts=row.attempts,
        error=error_from(row),
        blob=row.blob,
    )


def _no_job(job_id: str) -> NotFound:
    return NotFound(f"There is no job '{job_id}'.")
