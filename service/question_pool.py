"""Many questions side by side, their answers in order: what every door's batch does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from domain.answers import Answer
from domain.errors import ConfigurationError, FoveaError, GenerationError, NotFound, UsageError

_WORKERS = 4  # questions in flight: a remote model answers them side by side
_OF_THE_RUN = (ConfigurationError, NotFound)  # would meet every question alike


def ask_all(ask: Callable[[str], Answer], questions: Iterable[str]) -> Iterator[Answer | FoveaError]:
    """Answers in the order of the questions, a few asked side by side; a question that fails gives its error instead.

    Raises what is no fault of a question: an unknown collection, another encoder, a database or a server that is away.
    """

    def one(question: str) -> Answer | FoveaError:
        try:
            return ask(question)
        except _OF_THE_RUN:
            raise
        except (UsageError, GenerationError) as error:
            return error

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
        pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C, only what is being asked is waited for
