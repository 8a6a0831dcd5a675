"""Many questions side by side, their answers in order: what every door's batch does.

Who is told to come back later comes back later: a run of thousands of questions does not end because a server was busy
for a moment, or because a minute's quota was used up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from domain.answers import Answer
from domain.errors import ConfigurationError, FoveaError, GenerationError, NotFound, UsageError
from service.patience import Patience

PATIENCE_SECONDS = 300.0  # without a single answer
_WORKERS = 4  # questions in flight: a remote model answers them side by side
_OF_THE_RUN = (ConfigurationError, NotFound)  # would meet every question alike


def ask_all(
    ask: Callable[[str], Answer], questions: Iterable[str], patience: Patience | None = None
) -> Iterator[Answer | FoveaError]:
    """Answers in the order of the questions, a few asked side by side; a question that fails gives its error instead.

    Raises what is no fault of a question: an unknown collection, another encoder, a database or a server that is away,
    or that is busy for longer than `patience`.
    """
    patience, over = patience or Patience(PATIENCE_SECONDS), Event()

    def one(question: str) -> Answer | FoveaError:
        while True:
            try:
                answer = ask(question)
            except _OF_THE_RUN:
                raise
            except FoveaError as error:
                wait = patience.wait_for(error)
                if wait is None or over.wait(wait):
                    return _in_its_place(error)
            else:
                patience.answered()
                return answer

    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="fovea-batch")
    try:
        pending: deque[Future[Answer | FoveaError]] = deque()
        for question in questions:
            pending.append(pool.submit(one, question))
            if len(pending) >= 2 * _WORKERS:  # bounded: never more answers in memory than in flight
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        over.set()
        pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C, only what is being asked is waited for


def _in_its_place(error: FoveaError) -> FoveaError:
    """An error of one question; any other is raised, for the whole run."""
    if isinstance(error, UsageError | GenerationError):
        return error
    raise error
