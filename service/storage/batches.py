"""Batches on SQL: a job, its items, and one result an item, each committed when it is there.

(job, ordinal) is the primary key of the results, so that no item can have two; and a result is written only by who
holds the job, so that nothing comes after a cancellation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, delete, exists, func, insert, select

from domain.batches import BATCH, BatchForm, BatchInfo, BatchItem, ItemResult, NewBatch
from domain.errors import NotFound
from domain.jobs import ErrorInfo, Job, JobStatus, NewJob, Receipt
from service.storage.collections import TenantScope
from service.storage.database import Database
from service.storage.jobs import cancel_jobs, failure_columns, insert_job
from service.storage.leases import hold, progress
from service.storage.receipts import put_receipt
from service.storage.rows import error_from, now, payload_from, payload_json
from service.storage.tables import batch_items, batch_results, jobs

_PAGE = 500  # results read at a time


class SqlBatches(TenantScope):
    """Implements BatchStore for one tenant."""

    def create(self, batch: NewBatch, receipt: Receipt | None = None) -> Receipt | None:
        """Commit the batch as a job; the earlier receipt where this request has been here before."""
        payload = {
            "form": batch.form.value,
            "total": len(batch.items),
            "max_total_tokens": batch.max_total_tokens,
            "collections": batch.collections,
            "columns": batch.columns,
            "key_id": batch.key_id,
        }
        with self._database.write() as connection:
            earlier = put_receipt(connection, self._tenant, receipt) if receipt else None
            if earlier is None:
                number = insert_job(connection, self._tenant, NewJob(BATCH, payload, id=batch.id))
                rows = [_item_row(item) | {"job_number": number} for item in batch.items]
                connection.execute(insert(batch_items), rows)
        return earlier

    def info(self, batch_id: str) -> BatchInfo:
        """Raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(self._batches().where(jobs.c.id == batch_id)).one_or_none()
        if row is None:
            raise _no_batch(batch_id)
        return _info(row)

    def list_batches(self, limit: int = 100, before: str | None = None) -> list[BatchInfo]:
        """The newest first, at most `limit`, starting behind the batch `before`; none behind an unknown one."""
        statement = self._batches().order_by(jobs.c.number.desc()).limit(limit)
        if before is not None:
            own = select(jobs.c.number).where(jobs.c.tenant_id == self._tenant, jobs.c.id == before)
            statement = statement.where(jobs.c.number < own.scalar_subquery())
        with self._database.read() as connection:
            return [_info(row) for row in connection.execute(statement)]

    def results(self, batch_id: str) -> Iterator[tuple[BatchItem, ItemResult | None]]:
        """Every item in order, with its result as far as there is one; a page in memory. Raises NotFound."""
        number = self._number(batch_id)
        ordinal = -1
        while page := self._page(number, ordinal):
            for row in page:
                yield _item(row), _result(row)
            ordinal = page[-1].ordinal

    def cancel(self, batch_id: str) -> BatchInfo:
        """Stop a batch; what it has answered stays. Raises NotFound."""
        with self._database.write() as connection:
            cancel_jobs(connection, "The batch was cancelled.", *self._own(), jobs.c.id == batch_id)
        return self.info(batch_id)

    def remove(self, batch_id: str) -> None:
        """Stop a batch and forget it with its questions and results. Raises NotFound."""
        with self._database.write() as connection:
            if connection.execute(delete(jobs).where(*self._own(), jobs.c.id == batch_id)).rowcount == 0:
                raise _no_batch(batch_id)

    def _own(self) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return jobs.c.tenant_id == self._tenant, jobs.c.kind == BATCH

    def _batches(self) -> Select[Any]:
        return select(jobs, *_counts()).where(*self._own())

    def _number(self, batch_id: str) -> int:
        statement = select(jobs.c.number).where(*self._own(), jobs.c.id == batch_id)
        with self._database.read() as connection:
            number = connection.execute(statement).scalar()
        if number is None:
            raise _no_batch(batch_id)
        return int(number)

    def _page(self, number: int, behind: int) -> Sequence[Row[Any]]:
        statement = (
            select(
                batch_items,
                batch_results.c.asked,
                batch_results.c.content,
                batch_results.c.prompt_tokens,
                batch_results.c.completion_tokens,
                batch_results.c.error_code.label("result_code"),
                batch_results.c.error_message.label("result_message"),
            )
            .select_from(batch_items.outerjoin(batch_results, _same_item()))
            .where(batch_items.c.job_number == number, batch_items.c.ordinal > behind)
            .order_by(batch_items.c.ordinal)
            .limit(_PAGE)
        )
        with self._database.read() as connection:
            return connection.execute(statement).all()


class SqlBatchWork:
    """Implements BatchWork: what the worker that holds a batch reads and writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(self, job: Job, limit: int) -> list[BatchItem]:
        """The first items without a result, one a fingerprint, at most `limit` of them in order."""
        with self._database.read() as connection:
            first = (
                select(func.min(batch_items.c.ordinal))
                .select_from(batch_items.outerjoin(batch_results, _same_item()))
                .where(batch_items.c.job_number == _number_of(job), batch_results.c.ordinal.is_(None))
                .group_by(batch_items.c.fingerprint)
                .order_by(func.min(batch_items.c.ordinal))
                .limit(limit)
            )
            items = select(batch_items).where(batch_items.c.job_number == _number_of(job))
            rows = connection.execute(items.where(batch_items.c.ordinal.in_(first)).order_by(batch_items.c.ordinal))
            return [_item(row) for row in rows]

    def record(self, job: Job, item: BatchItem, result: ItemResult) -> None:
        """Commit the result of an item, and of every later item that it answers. Raises JobLost."""
        with self._database.write() as connection:
            number = progress(connection, job)
            for ordinal in self._unanswered(connection, number, item.fingerprint):
                own = ordinal == item.ordinal
                row = _result_row(number, result) | {"ordinal": ordinal, "asked": own and result.asked}
                if not own:
                    row |= {"prompt_tokens": 0, "completion_tokens": 0}
                connection.execute(insert(batch_results).values(row))

    def close_rest(self, job: Job, error: ErrorInfo) -> int:
        """Give all items without a result this error; how many there were. Raises JobLost."""
        with self._database.write() as connection:
            number = hold(connection, job)
            ordinals = self._unanswered(connection, number)
            rows = [_result_row(number, ItemResult(ordinal, error=error, asked=False)) for ordinal in ordinals]
            if rows:
                connection.execute(insert(batch_results), rows)
        return len(rows)

    def spent(self, job: Job) -> tuple[int, int]:
        """(tokens of all calls so far, tokens of the largest of them)."""
        tokens = batch_results.c.prompt_tokens + batch_results.c.completion_tokens
        statement = select(func.coalesce(func.sum(tokens), 0), func.coalesce(func.max(tokens), 0))
        with self._database.read() as connection:
            row = connection.execute(statement.where(batch_results.c.job_number == _number_of(job))).one()
        return int(row[0]), int(row[1])

    def _unanswered(self, connection: Connection, number: int, fingerprint: str | None = None) -> list[int]:
        answered = exists().where(_same_item())
        statement = select(batch_items.c.ordinal).where(batch_items.c.job_number == number, ~answered)
        if fingerprint is not None:
            statement = statement.where(batch_items.c.fingerprint == fingerprint)
        return list(connection.execute(statement.order_by(batch_items.c.ordinal)).scalars())


def _counts() -> tuple[ColumnElement[Any], ...]:
    failed = batch_results.c.error_code.is_not(None)
    columns = {
        "results": func.count(),
        "failed": func.coalesce(func.sum(case((failed, 1), else_=0)), 0),
        "asked": func.coalesce(func.sum(case((batch_results.c.asked, 1), else_=0)), 0),
        "prompt_tokens": func.coalesce(func.sum(batch_results.c.prompt_tokens), 0),
        "completion_tokens": func.coalesce(func.sum(batch_results.c.completion_tokens), 0),
    }
    own = batch_results.c.job_number == jobs.c.number
    return tuple(select(column).where(own).scalar_subquery().label(name) for name, column in columns.items())


def _same_item() -> ColumnElement[bool]:
    same_job = batch_results.c.job_number == batch_items.c.job_number
    return and_(same_job, batch_results.c.ordinal == batch_items.c.ordinal)


def _number_of(job: Job) -> Any:
    return select(jobs.c.number).where(jobs.c.tenant_id == job.tenant, jobs.c.id == job.id).scalar_subquery()


def _info(row: Row[Any]) -> BatchInfo:
    payload = payload_from(row.payload)
    return BatchInfo(
        id=row.id,
        status=JobStatus(row.status),
        form=BatchForm(payload["form"]),
        total=payload["total"],
        answered=row.results - int(row.failed),
        failed=int(row.failed),
        asked=int(row.asked),
        prompt_tokens=int(row.prompt_tokens),
        completion_tokens=int(row.completion_tokens),
        max_total_tokens=payload["max_total_tokens"],
        collections=tuple(payload["collections"]),
        columns=tuple(payload["columns"]),
        created_at=row.created_at,
        updated_at=row.updated_at,
        error=error_from(row),
    )


def _item_row(item: BatchItem) -> dict[str, Any]:
    return {
        "ordinal": item.ordinal,
        "custom_id": item.custom_id,
        "fingerprint": item.fingerprint,
        "question": item.question,
        "options": payload_json(item.options),
        "row": payload_json(item.row),
        **failure_columns(item.error),
    }


def _item(row: Row[Any]) -> BatchItem:
    return BatchItem(
        ordinal=row.ordinal,
        question=row.question,
        fingerprint=row.fingerprint,
        options=payload_from(row.options),
        row=payload_from(row.row),
        custom_id=row.custom_id,
        error=error_from(row),
    )


def _result_row(number: int, result: ItemResult) -> dict[str, Any]:
    return {
        "job_number": number,
        "ordinal": result.ordinal,
        "asked": result.asked,
        "content": None if result.content is None else payload_json(result.content),
        "prompt_tokens": result.prompt_tokens,
        "completion_tokens": result.completion_tokens,
        "created_at": now(),
        **failure_columns(result.error),
    }


def _result(row: Row[Any]) -> ItemResult | None:
    if row.asked is None:  # no row was joined
        return None
    return ItemResult(
        ordinal=row.ordinal,
        content=None if row.content is None else json.loads(row.content),
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        error=None if row.result_code is None else ErrorInfo(row.result_code, row.result_message or ""),
        asked=row.asked,
    )


def _no_batch(batch_id: str) -> NotFound:
    return NotFound(f"There is no batch '{batch_id}'.")
