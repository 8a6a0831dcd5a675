"""One thread's work: a job at a time, held while it is worked on, settled when it has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import structlog

from domain.errors import FoveaError, JobLost, StorageError
from domain.job_protocols import JobSource
from domain.jobs import ErrorInfo, Job, Turn

log = structlog.get_logger("fovea.worker")

FIRST_PAUSE_SECONDS = 0.2  # after a database error; doubles up to the last
LAST_PAUSE_SECONDS = 10.0


class Hold:
    """A worker's hold on the job in its hands. `lost` and `stopping` may turn true at any time."""

    def __init__(self, job: Job, source: JobSource, stopping: threading.Event) -> None:
        self.job = job
        self._source = source
        self._stopping = stopping
        self._lost = threading.Event()

    @property
    def lost(self) -> bool:
        """The job was cancelled or taken over: stop, nothing more can be written for it."""
        return self._lost.is_set()

    @property
    def stopping(self) -> bool:
        """The process ends: finish what is in hand, then give the job back."""
        return self._stopping.is_set()

    def let_go(self) -> None:
        self._lost.set()

    def check(self) -> None:
        """Raises JobLost."""
        if self.lost:
            raise JobLost(f"Job '{self.job.id}' was cancelled, or taken over by another worker.")

    def writing(self) -> AbstractContextManager[None]:
        """A block in which what this thread writes is written only while the job is held."""
        return self._source.holding(self.job)

    def is_awaited(self) -> bool:
        """Whether another job of this kind is in line."""
        return self._source.is_awaited(self.job)


Outcome = ErrorInfo | Turn | None
"""What a handler says at its end: None for done, the error of a failed job, or why it is not finished."""

Handler = Callable[[Job, Hold], Outcome]


class Lane:
    """One thread's work: jobs of some kinds, one after another. `takes` says which kinds."""

    def __init__(
        self,
        source: JobSource,
        handlers: Mapping[str, Handler],
        takes: Callable[[str], bool],
        stopping: threading.Event,
        observe: Callable[[str, str], None],
    ) -> None:
        self._source, self._handlers, self._takes = source, handlers, takes
        self._stopping, self._observe = stopping, observe
        self.hold: Hold | None = None  # on the job in hand
        self.troubled = False  # the database has refused the last job: a moment's rest may help

    def run_one(self) -> bool:
        """Claim and run one job; False where there is none. Raises StorageError."""
        job = self._source.claim(self._takes)
        if job is None:
            return False
        self.hold, self.troubled = Hold(job, self._source, self._stopping), False
        try:
            outcome = self._handle(job, self.hold)
            self._settle(job, outcome)
        except JobLost:
            log.info("job_lost", job=job.id, kind=job.kind)
        else:
            if not isinstance(outcome, Turn):
                self._observe(job.kind, "failed" if outcome else "ready")
        finally:
            self.hold = None
        return True

    def _handle(self, job: Job, hold: Hold) -> Outcome:
        handler = self._handlers.get(job.kind)
        if handler is None:
            return ErrorInfo("unknown_job", f"This version knows no jobs of the kind {job.kind!r}.")
        try:
            return handler(job, hold)
        except JobLost:
            raise
        except StorageError as error:
            log.warning("job_interrupted", job=job.id, kind=job.kind, code=error.code)
            self.troubled = True
            return Turn.STOPPED if error.code == "storage_full" else Turn.FAULT  # a full disk is no fault of the job
        except FoveaError as error:
            log.warning("job_failed", job=job.id, kind=job.kind, code=error.code)
            return ErrorInfo(error.code, error.message)
        except Exception:  # a bug in one job must not stop the others
            log.exception("job_crashed", job=job.id, kind=job.kind)
            return ErrorInfo(
                "internal_error", "Something went wrong while this was processed; the server's log has the details."
            )

    def _settle(self, job: Job, outcome: Outcome) -> None:
        """Write the result down, waiting out a database that is away: finished work is not thrown away."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                if isinstance(outcome, Turn):
                    self._source.release(job, outcome)
                elif outcome:
                    self._source.fail(job, outcome)
                else:
                    self._source.complete(job)
                return
            except JobLost:
                raise
            except StorageError:
                if self._stopping.wait(pause):
                    raise
                pause = min(2 * pause, LAST_PAUSE_SECONDS)
