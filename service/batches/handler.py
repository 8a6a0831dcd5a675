"""Works a batch off: a few questions at a time, each result committed when it is there.

A kill costs what was under way, nothing that was answered: the next worker asks for what has no result. After some
seconds a batch lets others of its kind have a turn, so that a long one holds up nobody for long.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial

from domain.answers import Answer
from domain.batches import BatchForm, BatchItem, ItemResult
from domain.errors import ConfigurationError, GenerationError, NotFound, QuotaExceeded, UsageError
from domain.job_protocols import BatchWork
from domain.jobs import ErrorInfo, Job, Turn
from service.batches.asking import Answering, Askers
from service.batches.columns import answer_columns
from service.batches.spending import Spending
from service.bound_engine import cost_of
from service.completions import completion
from service.lanes import Hold, Outcome

_AHEAD = 200  # items read at a time
_BELIEVED_SECONDS = 1.0
_OF_THE_ITEM = (GenerationError, UsageError, NotFound, QuotaExceeded)  # what else is raised, the whole batch would meet


class BatchHandler:
    """Runs batch jobs. `engine_of` gives the engine that a job may use, and is asked again every `believed_seconds`,
    for the right to ask may be taken away meanwhile; `observe` hears every answer.
    """

    def __init__(
        self,
        work: BatchWork,
        engine_of: Callable[[Job], Answering],
        *,
        side_by_side: int = 4,
        turn_seconds: float = 10.0,
        believed_seconds: float = _BELIEVED_SECONDS,
        observe: Callable[[Answer], None] = lambda answer: None,
    ) -> None:
        self._work, self._engine_of = work, engine_of
        self._side_by_side, self._turn_seconds, self._believed_seconds = side_by_side, turn_seconds, believed_seconds
        self._observe = observe

    def __call__(self, job: Job, hold: Hold) -> Outcome:
        spending = Spending(job.payload["max_total_tokens"], *self._work.spent(job))
        askers = Askers(lambda: hold.lost)
        turn = _BatchTurn(job, hold, self._work, spending, askers, self._observe)
        permission = _Permission(partial(self._engine_of, job), self._believed_seconds)
        try:
            ended = turn.run(permission, self._side_by_side, time.monotonic() + self._turn_seconds)
        except BaseException:
            askers.cancel()
            raise
        if ended is None and spending.exhausted:
            self._work.close_rest(job, spending.error)
        return ended


class _Permission:
    """The engine that a batch may use, looked up anew once the last look is older than `seconds`."""

    def __init__(self, look_up: Callable[[], Answering], seconds: float) -> None:
        self._look_up, self._seconds = look_up, seconds
        self._engine, self._since = look_up(), time.monotonic()

    def engine(self) -> Answering:
        """Raises what the look-up raises where nothing may be asked any more."""
        if time.monotonic() - self._since >= self._seconds:
            self._engine, self._since = self._look_up(), time.monotonic()
        return self._engine


class _BatchTurn:
    """One turn of one batch."""

    def __init__(
        self,
        job: Job,
        hold: Hold,
        work: BatchWork,
        spending: Spending,
        askers: Askers,
        observe: Callable[[Answer], None],
    ) -> None:
        self._job, self._hold, self._work = job, hold, work
        self._spending, self._askers, self._observe = spending, askers, observe
        self._form = BatchForm(job.payload["form"])
        self._ahead: deque[BatchItem] = deque()

    def run(self, permission: _Permission, side_by_side: int, deadline: float) -> Turn | None:
        """Ask until nothing is left that may be asked (None), the process ends, or the turn is over. Raises JobLost."""
        over = got_on = False  # a turn that got nowhere is not over: else two batches could hand it to each other
        while True:
            self._hold.check()
            over = over or (got_on and time.monotonic() > deadline and self._hold.is_awaited())
            if not (over or self._hold.stopping):
                self._fill(permission, side_by_side)
            if not len(self._askers):
                break
            answered = self._askers.next()
            if answered is not None:
                self._record(*answered)
                got_on = True
        if not self._read_ahead() or self._spending.exhausted:
            return None
        return Turn.STOPPED if self._hold.stopping else Turn.OVER

    def _fill(self, permission: _Permission, side_by_side: int) -> None:
        """Have as many questions under way as there is room for."""
        free = side_by_side - len(self._askers)
        for _ in range(self._spending.room(len(self._askers), free)):
            item = self._next()
            if item is None:
                return
            self._askers.ask(permission.engine(), item)

    def _next(self) -> BatchItem | None:
        """The next item to ask; those that cannot be asked get their error at once."""
        while self._read_ahead():
            item = self._ahead.popleft()
            if item.error is None:
                return item
            self._work.record(self._job, item, ItemResult(item.ordinal, error=item.error, asked=False))
        return None

    def _read_ahead(self) -> bool:
        if not self._ahead:
            waiting = self._work.waiting(self._job, _AHEAD + len(self._askers))
            self._ahead.extend(item for item in waiting if not self._askers.holds(item))
        return bool(self._ahead)

    def _record(self, item: BatchItem, answer: Answer | Exception) -> None:
        if isinstance(answer, Answer):
            result = self._result(item, answer)
            self._spending.add(result.tokens)
            self._work.record(self._job, item, result)
            self._observe(answer)
        elif isinstance(answer, _OF_THE_ITEM) and not isinstance(answer, ConfigurationError):
            error, spent = ErrorInfo(answer.code, answer.message), answer.spent_tokens
            self._spending.add(spent)  # a model that broke off is paid for as well
            self._work.record(self._job, item, ItemResult(item.ordinal, error=error, prompt_tokens=spent))
        else:
            raise answer

    def _result(self, item: BatchItem, answer: Answer) -> ItemResult:
        content = completion(answer) if self._form is BatchForm.OPENAI else answer_columns(answer)
        cost = cost_of(answer)
        return ItemResult(item.ordinal, content, cost.prompt_tokens, cost.completion_tokens)
