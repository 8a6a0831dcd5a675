"""Runs jobs in the background: uploads become documents, batches get their answers, after the request was answered.

A job that was acknowledged is durable; a worker only has to be somewhere. It claims a job, tenant by tenant, hands it
to the handler of its kind, and marks it ready or failed. While it works, a keeper thread shows signs of life for it;
where they stop, another worker takes the job over, and a process that starts again takes its own jobs back at once.
What a worker writes for a job that it has lost (cancelled, or taken over) is refused by the database.

Each handler has a thread of its own, so that an upload never waits behind a long batch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from domain.errors import StorageError
from domain.job_protocols import BatchStore, BatchWork, JobSource
from domain.jobs import Turn
from service.batches.none import NoBatches
from service.lanes import FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS, Handler, Hold, Lane

log = structlog.get_logger("fovea.worker")

_HEARTBEAT_SECONDS = 10.0
_LOOK_SECONDS = 1.0  # so soon a worker notices that its job was cancelled elsewhere


@dataclass(frozen=True, slots=True)
class Work:
    """What workers take their jobs from, and where batches (a tenant's) and their results go; None where nowhere."""

    source: JobSource
    batches_of: Callable[[str], BatchStore] = lambda _: NoBatches()
    batches: BatchWork | None = None


class JobWorker:
    """Works through the queue, each kind of job in a thread of its own. `handlers` maps a kind to what runs it.

    `observe` hears of each job that has ended: its kind, and "ready" or "failed".
    """

    def __init__(
        self,
        source: JobSource,
        handlers: Mapping[str, Handler],
        *,
        poll_seconds: float = 1.0,
        heartbeat_seconds: float = _HEARTBEAT_SECONDS,
        look_seconds: float = _LOOK_SECONDS,
        observe: Callable[[str, str], None] = lambda kind, result: None,
    ) -> None:
        self._source = source
        self._poll_seconds, self._heartbeat_seconds = poll_seconds, heartbeat_seconds
        self._look_seconds = look_seconds
        self._stopping = threading.Event()
        self._ended = threading.Event()  # the keeper's: it outlives the lanes, which need its signs of life to the end
        self._noticed = threading.Event()
        self._lanes = [Lane(source, handlers, takes, self._stopping, observe) for takes in _shares(list(handlers))]
        self._wakes = [threading.Event() for _ in self._lanes]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Put back what a killed process left running, then work in the background. Raises StorageError."""
        back = self._source.requeue_own()
        if back:
            log.info("jobs_requeued", count=back)
        runs = [(self._run, pair) for pair in zip(self._lanes, self._wakes, strict=True)]
        # Daemons: a parse that outlasts `stop` must not keep the process alive; its job was put back.
        self._threads = [threading.Thread(target=run, args=of, name="fovea-worker", daemon=True) for run, of in runs]
        keeper = threading.Thread(target=self._keep, name="fovea-worker-keeper", daemon=True)
        for thread in (*self._threads, keeper):
            thread.start()

    def wake(self) -> None:
        """Say that there is a new job, so that it need not wait for the next look at the queue."""
        for event in self._wakes:
            event.set()

    def notice(self) -> None:
        """Say that a job was cancelled, so that whoever works on it need not wait to find out."""
        self._noticed.set()

    def stop(self, timeout_seconds: float = 20.0) -> bool:
        """Finish the jobs in hand and take no other; those that do not end in time are put back, and it is False."""
        self._stopping.set()
        self.wake()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._ended.set()
        self._noticed.set()
        late = [hold for lane in self._lanes if (hold := lane.hold) is not None]
        for hold in late:
            self._put_back(hold)
        return not late

    @property
    def alive(self) -> bool:
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def run_one(self) -> bool:
        """Claim and run one job in this thread; False where the queue is empty. Raises StorageError."""
        return any(lane.run_one() for lane in self._lanes)

    def _put_back(self, hold: Hold) -> None:
        hold.let_go()
        try:
            self._source.release(hold.job, Turn.STOPPED)
        except StorageError as error:  # the next start finds it
            log.warning("job_not_put_back", job=hold.job.id, reason=str(error))

    def _run(self, lane: Lane, wake: threading.Event) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            wake.clear()
            try:
                busy, troubled = lane.run_one(), lane.troubled
            except Exception as error:  # the thread must outlive whatever the database does
                log.warning("queue_unavailable", reason=str(error))
                busy = troubled = True
            if troubled:
                self._stopping.wait(pause)
            elif not busy:
                wake.wait(self._poll_seconds)
            pause = min(2 * pause, LAST_PAUSE_SECONDS) if troubled else FIRST_PAUSE_SECONDS

    def _keep(self) -> None:
        """Show signs of life, notice what was cancelled, and take over from workers that died."""
        looks = max(1, round(self._heartbeat_seconds / self._look_seconds))
        turn = 0
        while not self._ended.is_set():
            try:
                self._look(beating=turn % looks == 0)
            except Exception as error:  # the next look may do better; a lease outlasts two of them
                log.warning("queue_unavailable", reason=str(error))
            turn += 1
            self._noticed.wait(self._look_seconds)
            self._noticed.clear()

    def _look(self, beating: bool) -> None:
        holds = {hold.job.id: hold for lane in self._lanes if (hold := lane.hold) is not None and not hold.lost}
        held = [hold.job for hold in holds.values()]
        gone = self._source.beat(held) if beating else self._source.lost(held)
        for job in gone:
            holds[job.id].let_go()
        if beating and (back := self._source.take_over()):
            log.warning("jobs_taken_over", count=back)
            self.wake()


def _shares(kinds: Sequence[str]) -> list[Callable[[str], bool]]:
    """What each lane takes: a kind each. The first one also takes the kinds that nobody knows, and fails them."""

    def first(kind: str) -> bool:
        return kind not in kinds[1:]

    def only(own: str) -> Callable[[str], bool]:
        return lambda kind: kind == own

    return [first, *map(only, kinds[1:])]
