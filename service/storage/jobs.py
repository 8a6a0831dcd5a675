"""The job queue on SQL, as a tenant sees it: a job that was acknowledged is on disk, with the bytes it works on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, insert, null, select, update

from domain.errors import NotFound
from domain.jobs import ErrorInfo, Job, JobStatus, NewJob, Receipt
from service.storage.collections import TenantScope
from service.storage.receipts import find_receipt, put_receipt
from service.storage.rows import error_from, now, payload_from, payload_json
from service.storage.tables import job_blobs, jobs

UNFINISHED = (JobStatus.QUEUED.value, JobStatus.RUNNING.value)


class SqlJobQueue(TenantScope):
    """Implements JobQueue for one tenant. Safe to share between threads and processes."""

    def submit(self, jobs: Sequence[NewJob], receipt: Receipt | None = None) -> Receipt | None:
        """Commit all jobs, with the bytes they work on and the receipt, or none; the earlier receipt where this request
        has been here before.
        """
        with self._database.write() as connection:
            earlier = put_receipt(connection, self._tenant, receipt) if receipt else None
            if earlier is None:
                for job in jobs:
                    insert_job(connection, self._tenant, job)
        return earlier

    def earlier(self, receipt: Receipt) -> Receipt | None:
        """The receipt of an equal request that was here before, else None."""
        with self._database.read() as connection:
            return find_receipt(connection, self._tenant, receipt)

    def get(self, job_id: str) -> Job:
        """A job without its blob. Raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(self._jobs().where(jobs.c.id == job_id)).one_or_none()
        if row is None:
            raise no_job(job_id)
        return job_from(row)

    def of_document(self, document_id: str) -> list[Job]:
        """The jobs whose payload's "document_id" is this one, newest first, without blobs; empty for an unknown id."""
        statement = self._jobs().where(jobs.c.document_id == document_id)
        with self._database.read() as connection:
            return [job_from(row) for row in connection.execute(statement.order_by(jobs.c.number.desc()))]

    def cancel(self, job_id: str, reason: str) -> Job:
        """Stop a job that is not finished; a finished one stays what it is. Raises NotFound."""
        with self._database.write() as connection:
            cancel_jobs(connection, reason, jobs.c.tenant_id == self._tenant, jobs.c.id == job_id)
        return self.get(job_id)

    def cancel_collection(self, collection: str, reason: str) -> int:
        """Stop all jobs that would write into a collection; how many there were."""
        with self._database.write() as connection:
            return cancel_jobs(connection, reason, jobs.c.tenant_id == self._tenant, jobs.c.collection == collection)

    def _jobs(self) -> Select[Any]:
        return select(jobs, null().label("blob")).where(jobs.c.tenant_id == self._tenant)


def insert_job(connection: Connection, tenant: str, job: NewJob) -> int:
    """Put a job at the end of the line; its number."""
    moment = now()
    row = {
        "tenant_id": tenant,
        "id": job.id,
        "kind": job.kind,
        "status": JobStatus.QUEUED.value,
        "document_id": job.payload.get("document_id"),
        "collection": job.payload.get("collection"),
        "payload": payload_json(job.payload),
        "attempts": 0,
        "place": end_of_the_line(),
        "beats": 0,
        "created_at": moment,
        "updated_at": moment,
    }
    number: int = connection.execute(insert(jobs).values(row).returning(jobs.c.number)).scalar_one()
    if job.blob is not None:
        connection.execute(insert(job_blobs).values(job_number=number, blob=job.blob))
    return number


def end_of_the_line() -> ColumnElement[int]:
    """One behind the last place. Two writers at once may get the same: then the number decides, see `claim`."""
    others = jobs.alias()
    return func.coalesce(select(func.max(others.c.place)).scalar_subquery(), 0) + 1


def cancel_jobs(connection: Connection, reason: str, *of: ColumnElement[bool]) -> int:
    """Stop the unfinished ones among these jobs. Their lease goes with that, and so the right to write anything."""
    values = {
        "status": JobStatus.CANCELLED.value,
        "lease": None,
        "error_code": "cancelled",
        "error_message": reason,
        "updated_at": now(),
    }
    return connection.execute(update(jobs).where(*of, jobs.c.status.in_(UNFINISHED)).values(values)).rowcount


def job_from(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        status=JobStatus(row.status),
        payload=payload_from(row.payload),
        attempts=row.attempts,
        error=error_from(row),
        blob=row.blob,
        tenant=row.tenant_id,
        lease=row.lease,
    )


def failure_columns(error: ErrorInfo | None) -> dict[str, Any]:
    return {"error_code": error.code if error else None, "error_message": error.message if error else None}


def no_job(job_id: str) -> NotFound:
    return NotFound(f"There is no job '{job_id}'.")
