"""The job queue on SQL, as workers see it: claimed by lease, tenant by tenant, taken over from those that died.

A lease is a random name in the job's row. Everything a worker writes for a job is written in a transaction that first
finds this name still there, so that a worker that was cancelled, or was thought dead and was not, changes nothing.

No clock decides whether a worker is dead, since clocks of machines differ and jump. Its signs of life are a counter
that it moves; another worker that has seen the counter stand still for the time of a lease, by its own monotonic
clock, takes the job over. That is how Kubernetes elects its leaders, and it holds on every database.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, delete, func, select, update

from domain.errors import JobLost
from domain.jobs import ErrorInfo, Job, JobStatus, Turn
from service.storage.database import Database
from service.storage.jobs import end_of_the_line, failure_columns, job_from
from service.storage.rows import now
from service.storage.tables import job_blobs, jobs

MAX_ATTEMPTS = 3  # a job that has taken three workers down with it will take the fourth
LEASE_SECONDS = 30.0

_CRASHED = ErrorInfo(
    "worker_crashed", f"The worker died {MAX_ATTEMPTS} times over this job; check its input and send it again."
)
_Sign = tuple[int, str | None, int]  # number of a job, its lease, its beats


class SqlJobSource:
    """Implements JobSource on one database, for any number of workers and processes.

    `node` names the installation: one that starts again takes its own jobs back at once, see `requeue_own`.
    """

    def __init__(
        self,
        database: Database,
        node: str = "",
        *,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._node = node
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._served: dict[str, str] = {}  # kind -> the tenant whose turn was last
        self._seen: dict[_Sign, float] = {}
        self._looked: float | None = None

    # -- taking and giving back ----------------------------------------------------------------------------------------

    def claim(self, takes: Callable[[str], bool]) -> Job | None:
        """The next queued job of a kind that is taken: of the tenant behind the one served last, its first in line."""
        with self._database.read() as connection:  # an empty queue is looked at without the write lock
            kinds = [kind for kind in _queued_kinds(connection) if takes(kind)]
        for kind in kinds:
            job = self._claim(kind)
            if job is not None:
                return job
        return None

    def complete(self, job: Job) -> None:
        """Mark a job as done and let go of its bytes. Raises JobLost."""
        with self._database.write() as connection:
            number = _moved(connection, job, {"status": JobStatus.READY.value, **failure_columns(None)})
            connection.execute(delete(job_blobs).where(job_blobs.c.job_number == number))

    def fail(self, job: Job, error: ErrorInfo) -> None:
        """Give a job up; its bytes stay, to find out why. Raises JobLost."""
        with self._database.write() as connection:
            _moved(connection, job, {"status": JobStatus.FAILED.value, **failure_columns(error)})

    def release(self, job: Job, turn: Turn) -> None:
        """Put a job back that is not finished; after its last attempt it fails. Raises JobLost."""
        values: dict[str, Any] = {"status": JobStatus.QUEUED.value}
        if turn is Turn.OVER:
            values |= {"place": end_of_the_line(), "attempts": 0}
        elif turn is Turn.STOPPED:
            values |= {"attempts": case((jobs.c.attempts > 0, jobs.c.attempts - 1), else_=0)}
        elif job.attempts >= MAX_ATTEMPTS:
            error = ErrorInfo("storage_unavailable", f"The database refused {MAX_ATTEMPTS} times; send it again.")
            values = {"status": JobStatus.FAILED.value, **failure_columns(error)}
        with self._database.write() as connection:
            _moved(connection, job, values)

    def is_awaited(self, job: Job) -> bool:
        """Whether another job of its kind is queued."""
        statement = select(jobs.c.number).where(jobs.c.status == JobStatus.QUEUED.value, jobs.c.kind == job.kind)
        with self._database.read() as connection:
            return connection.execute(statement.limit(1)).scalar() is not None

    # -- holding -------------------------------------------------------------------------------------------------------

    def holding(self, job: Job) -> AbstractContextManager[None]:
        """A block in which this thread writes only while the job is held; see `Database.writing_only_if`."""
        return self._database.writing_only_if(lambda connection: hold(connection, job))

    def beat(self, held: Sequence[Job]) -> list[Job]:
        """Show a sign of life for these; those that are no longer held are returned."""
        if not held:
            return []
        leases = [job.lease for job in held]
        statement = update(jobs).where(jobs.c.lease.in_(leases)).values(beats=jobs.c.beats + 1)
        with self._database.write() as connection:
            alive = set(connection.execute(statement.returning(jobs.c.lease)).scalars())
        return [job for job in held if job.lease not in alive]

    def lost(self, held: Sequence[Job]) -> list[Job]:
        """Which of these are no longer held: cancelled, or taken over."""
        if not held:
            return []
        statement = select(jobs.c.lease).where(jobs.c.lease.in_([job.lease for job in held]))
        with self._database.read() as connection:
            alive = set(connection.execute(statement).scalars())
        return [job for job in held if job.lease not in alive]

    # -- after a death -------------------------------------------------------------------------------------------------

    def take_over(self) -> int:
        """Put jobs back whose counter has stood still for the time of a lease, as far as this worker has watched.

        Call it every few seconds. Returns how many came back.
        """
        statement = select(jobs.c.number, jobs.c.lease, jobs.c.beats).where(jobs.c.status == JobStatus.RUNNING.value)
        with self._database.read() as connection:
            signs: list[_Sign] = [(row.number, row.lease, row.beats) for row in connection.execute(statement)]
        with self._lock:
            overdue = self._overdue(signs, self._clock())
        return sum(self._put_back(*_with_sign(sign)) for sign in overdue)

    def requeue_own(self) -> int:
        """Put back what an earlier process of this node left running; two of them cannot run, the data directory is
        locked. Returns how many came back.
        """
        return self._put_back(jobs.c.node == self._node)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _claim(self, kind: str) -> Job | None:
        with self._database.write() as connection:
            for tenant in _in_turn(connection, kind, self._served.get(kind, "")):
                number = connection.execute(_first_of(kind, tenant)).scalar()
                if number is not None:
                    self._served[kind] = tenant
                    return self._taken(connection, number)
        return None

    def _taken(self, connection: Connection, number: int) -> Job:
        values = {
            "status": JobStatus.RUNNING.value,
            "attempts": jobs.c.attempts + 1,
            "node": self._node,
            "lease": uuid.uuid4().hex,
            "beats": 0,
            "updated_at": now(),
        }
        connection.execute(update(jobs).where(jobs.c.number == number).values(values))
        joined = jobs.outerjoin(job_blobs, job_blobs.c.job_number == jobs.c.number)
        statement = select(jobs, job_blobs.c.blob).select_from(joined).where(jobs.c.number == number)
        return job_from(connection.execute(statement).one())

    def _overdue(self, signs: Sequence[_Sign], moment: float) -> list[_Sign]:
        # Whoever has not looked for a while, being stopped or starved, has no right to say that others did not move.
        fresh = self._looked is None or moment - self._looked > self._lease_seconds / 2
        before = {} if fresh else self._seen
        self._looked, self._seen = moment, {sign: before.get(sign, moment) for sign in signs}
        return [sign for sign, since in self._seen.items() if moment - since >= self._lease_seconds]

    def _put_back(self, *of: ColumnElement[bool]) -> int:
        running = update(jobs).where(jobs.c.status == JobStatus.RUNNING.value, *of)
        free: dict[str, Any] = {"lease": None, "node": None, "updated_at": now()}
        given_up = free | {"status": JobStatus.FAILED.value, **failure_columns(_CRASHED)}
        with self._database.write() as connection:
            connection.execute(running.where(jobs.c.attempts >= MAX_ATTEMPTS).values(given_up))
            # To the end of the line: what crashes every worker holds the others up for one place, not for three.
            queued = free | {"status": JobStatus.QUEUED.value, "place": end_of_the_line()}
            return connection.execute(running.values(queued)).rowcount


def hold(connection: Connection, job: Job) -> int:
    """The number of a job that is held, its row locked until the transaction ends. Raises JobLost."""
    statement = select(jobs.c.number).where(*_held(job)).with_for_update()
    number = connection.execute(statement).scalar()
    if number is None:
        raise _lost(job)
    return int(number)


def progress(connection: Connection, job: Job) -> int:
    """`hold`, with a sign of life; a job that gets on has not crashed its worker, so its attempts start anew."""
    values = {"beats": jobs.c.beats + 1, "attempts": 0}
    number = connection.execute(update(jobs).where(*_held(job)).values(values).returning(jobs.c.number)).scalar()
    if number is None:
        raise _lost(job)
    return int(number)


def _moved(connection: Connection, job: Job, values: dict[str, Any]) -> int:
    free = {"lease": None, "node": None, "updated_at": now()}
    statement = update(jobs).where(*_held(job)).values(values | free).returning(jobs.c.number)
    number = connection.execute(statement).scalar()
    if number is None:
        raise _lost(job)
    return int(number)


def _held(job: Job) -> tuple[ColumnElement[bool], ...]:
    running = jobs.c.status == JobStatus.RUNNING.value
    return jobs.c.tenant_id == job.tenant, jobs.c.id == job.id, jobs.c.lease == job.lease, running


def _lost(job: Job) -> JobLost:
    return JobLost(f"Job '{job.id}' is no longer this worker's: it was cancelled, or taken over by another one.")


def _with_sign(sign: _Sign) -> tuple[ColumnElement[bool], ...]:
    number, lease, beats = sign
    return jobs.c.number == number, jobs.c.lease == lease, jobs.c.beats == beats


def _queued_kinds(connection: Connection) -> list[str]:
    """The kinds that wait, in order; one look into the index a kind, however many jobs there are."""
    queued = select(func.min(jobs.c.kind)).where(jobs.c.status == JobStatus.QUEUED.value)
    kinds: list[str] = []
    while (kind := connection.execute(queued.where(jobs.c.kind > (kinds[-1] if kinds else ""))).scalar()) is not None:
        kinds.append(kind)
    return kinds


def _in_turn(connection: Connection, kind: str, last: str) -> list[str]:
    """The tenants that wait for a kind: those behind `last` first, `last` itself at the end."""
    of = (jobs.c.status == JobStatus.QUEUED.value, jobs.c.kind == kind)
    queued = select(func.min(jobs.c.tenant_id)).where(*of)
    tenants: list[str] = []
    while True:
        behind = tenants[-1] if tenants else ""
        tenant = connection.execute(queued.where(jobs.c.tenant_id > behind)).scalar()
        if tenant is None:
            break
        tenants.append(tenant)
    return [name for name in tenants if name > last] + [name for name in tenants if name <= last]


def _first_of(kind: str, tenant: str) -> Any:
    of = (jobs.c.status == JobStatus.QUEUED.value, jobs.c.kind == kind, jobs.c.tenant_id == tenant)
    first = select(jobs.c.number).where(*of).order_by(jobs.c.place, jobs.c.number).limit(1)
    return first.with_for_update(skip_locked=True)
