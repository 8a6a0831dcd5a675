"""The seams of work that outlives a request: who hands jobs and batches in, and who does them.

A queue and a store of batches are bound to one tenant; what a worker takes from and writes to is not, and it asks for
the lease that it holds a job by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from domain.batches import BatchInfo, BatchItem, ItemResult, NewBatch
from domain.jobs import ErrorInfo, Job, NewJob, Receipt, Turn


class JobQueue(Protocol):
    """One tenant's durable jobs: a job that was acknowledged survives a kill of the process."""

    def submit(self, jobs: Sequence[NewJob], receipt: Receipt | None = None) -> Receipt | None:
        """Commit all jobs together with the receipt, or none of them. Where an equal receipt is there already, nothing
        is committed and that one is returned. Raises UsageError "idempotency_key_reused" where its key was used for
        something else.
        """
        ...

    def earlier(self, receipt: Receipt) -> Receipt | None:
        """The receipt of an equal request that was here before, else None. Raises as `submit`."""
        ...

    def get(self, job_id: str) -> Job:
        """Raises NotFound."""
        ...

    def of_document(self, document_id: str) -> list[Job]:
        """The jobs whose payload's "document_id" is this one, newest first, without blobs; empty for an unknown id."""
        ...

    def cancel(self, job_id: str, reason: str) -> Job:
        """Stop a job that is not finished: once this returns, nothing of it is written. Raises NotFound."""
        ...

    def cancel_collection(self, collection: str, reason: str) -> int:
        """`cancel` for all jobs that would write into a collection; how many there were."""
        ...


class JobSource(Protocol):
    """The jobs of all tenants, as workers take them. A worker holds a job by a lease and shows signs of life; where
    they stop, others take the job over, and what the first one still writes is refused.
    """

    def claim(self, takes: Callable[[str], bool]) -> Job | None:
        """The next queued job whose kind is taken, now running, with its blob and a lease; tenants take turns."""
        ...

    def complete(self, job: Job) -> None:
        """Raises JobLost where the job is no longer held; so do `fail` and `release`."""
        ...

    def fail(self, job: Job, error: ErrorInfo) -> None: ...

    def release(self, job: Job, turn: Turn) -> None:
        """Give a job back that is not finished."""
        ...

    def beat(self, jobs: Sequence[Job]) -> list[Job]:
        """Show a sign of life for these; those that are no longer held are returned."""
        ...

    def lost(self, jobs: Sequence[Job]) -> list[Job]:
        """Which of these are no longer held: cancelled, or taken over."""
        ...

    def holding(self, job: Job) -> AbstractContextManager[None]:
        """A block in which everything that this thread writes is written only while the job is held, else JobLost."""
        ...

    def is_awaited(self, job: Job) -> bool:
        """Whether another job of its kind is queued."""
        ...

    def take_over(self) -> int:
        """Put jobs back whose holders showed no sign of life for the time of a lease; a job that has used up its
        attempts fails. Returns how many came back.
        """
        ...

    def requeue_own(self) -> int:
        """At start: put back what an earlier process of this installation left running. As `take_over`, at once."""
        ...


class BatchStore(Protocol):
    """One tenant's batches."""

    def create(self, batch: NewBatch, receipt: Receipt | None = None) -> Receipt | None:
        """Commit the batch as a job. `receipt` as in `JobQueue.submit`."""
        ...

    def info(self, batch_id: str) -> BatchInfo:
        """Raises NotFound."""
        ...

    def list_batches(self, limit: int = 100, before: str | None = None) -> list[BatchInfo]:
        """The newest first, at most `limit`, starting behind the batch `before`."""
        ...

    def results(self, batch_id: str) -> Iterator[tuple[BatchItem, ItemResult | None]]:
        """Every item in order, with its result as far as there is one. Raises NotFound."""
        ...

    def cancel(self, batch_id: str) -> BatchInfo:
        """Stop a batch; what it has answered stays. Raises NotFound."""
        ...

    def remove(self, batch_id: str) -> None:
        """Stop a batch and forget it with its questions and results. Raises NotFound."""
        ...


class BatchWork(Protocol):
    """What a worker needs of the batch that it holds; every write raises JobLost where it no longer does."""

    def waiting(self, job: Job, limit: int) -> list[BatchItem]:
        """The first items without a result that no earlier item will answer; `limit` at most."""
        ...

    def record(self, job: Job, item: BatchItem, result: ItemResult) -> None:
        """Commit the result of an item, and of every item with the same fingerprint."""
        ...

    def close_rest(self, job: Job, error: ErrorInfo) -> int:
        """Give all items without a result this error; how many there were."""
        ...

    def spent(self, job: Job) -> tuple[int, int]:
        """(tokens of all calls so far, tokens of the largest of them)."""
        ...
