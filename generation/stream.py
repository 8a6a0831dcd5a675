"""What `generate` returns: the answer's parts, and beside them how the answer ended.

The account belongs to one answer, so it lives on the iterator and never on the generator, which all threads share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from domain.answers import Usage


@dataclass(slots=True)
class Outcome:
    """Filled in while an answer arrives; complete once its iterator is exhausted."""

    begun: bool = False
    usage: Usage | None = None
    finish_reason: str | None = None
    model: str | None = None


class Generation(Iterator[str]):
    """An answer in parts. Read `usage`, `model`, `truncated` and `filtered` once the last part has come.

    Closing it early, or dropping it, ends the work behind it: an upstream call is cancelled.
    """

    def __init__(self, parts: Iterator[str], outcome: Outcome, cancel: Callable[[], None] = lambda: None) -> None:
        self._parts = parts
        self._outcome = outcome
        self._cancel = cancel

    def __next__(self) -> str:
        return next(self._parts)

    def close(self) -> None:
        """Stop the answer. Safe to call more than once."""
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()

    def cancel(self) -> None:
        """End the answer from another thread, also while its next part is waited for; that wait then raises
        GenerationCancelled. Returns at once.
        """
        self._cancel()

    @property
    def model(self) -> str | None:
        """The model that answered, where several could; None where there is only one."""
        return self._outcome.model

    @property
    def begun(self) -> bool:
        """The model has produced something, be it reasoning that nobody sees: from then on it is paid for."""
        return self._outcome.begun

    @property
    def usage(self) -> Usage | None:
        """Tokens as the model's server counted them; None where it did not say."""
        return self._outcome.usage

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped, in OpenAI's words: stop, length, content_filter ..."""
        return self._outcome.finish_reason

    @property
    def truncated(self) -> bool:
        """The answer was cut off at its longest permitted length."""
        return self._outcome.finish_reason == "length"

    @property
    def filtered(self) -> bool:
        """The model's operator withheld a part of the answer."""
        return self._outcome.finish_reason == "content_filter"
