"""How one answer is ended from another thread, while its own thread waits for the model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from domain.answers import Answer
from domain.errors import GenerationCancelled


@dataclass(slots=True)
class Course:
    """How far an answer has come, for who has to pay for one that is broken off.

    `model_asked` once the model's call for it has begun: from then on it costs what only its end tells. `spent_tokens`
    are those known before: a follow-up may have been made standalone by a model.
    """

    model_asked: bool = False
    spent_tokens: int = 0


class Cancellation:
    """Ends one answer: what runs for it says how it is stopped, and how far it has come."""

    def __init__(self) -> None:
        self.course = Course()
        self._lock = threading.Lock()
        self._cancelled = False
        self._stop: Callable[[], None] = lambda: None

    def cancel(self) -> None:
        """Stop what runs, from any thread. Returns at once, and is harmless when called again."""
        with self._lock:
            self._cancelled, stop = True, self._stop
        stop()

    def stops(self, stop: Callable[[], None]) -> None:
        """From now on `cancel` calls `stop`; at once where it was called already."""
        with self._lock:
            self._stop, cancelled = stop, self._cancelled
        if cancelled:
            stop()

    def check(self) -> None:
        """Raise GenerationCancelled where nobody waits for the answer any more."""
        if self._cancelled:
            raise GenerationCancelled("The answer was cancelled.")


class AnswerStream(Iterator[str | Answer]):
    """An answer's text in parts, then the Answer.

    `close` ends it from the thread that reads it, `cancel` from any other: a read that waits then raises
    GenerationCancelled.
    """

    def __init__(self, start: Callable[[Cancellation], Iterator[str | Answer]]) -> None:
        self._cancellation = Cancellation()
        self._parts = start(self._cancellation)

    def __next__(self) -> str | Answer:
        return next(self._parts)

    @property
    def course(self) -> Course:
        """How far the answer has come by now."""
        return self._cancellation.course

    def cancel(self) -> None:
        """End the answer and the model's call behind it. Returns at once."""
        self._cancellation.cancel()

    def close(self) -> None:
        """End the answer and wait until the model's connection is closed. Safe to call more than once."""
        self.cancel()  # what runs is also known to the cancellation: letting go of the iterator would not end it
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()
