"""Whose turn it is at the encoder: questions go first, and passages, which never end, have their share of the time.

A question never waits for more than one pass over passages. Passages are never starved: while questions are being
asked they rest after each pass, so that an ingest run (its parsing, storing and indexing between two passes, too) has
its share of the time and no more; then they have the next turn, even before questions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Kind = Literal["question", "passage"]

# A question that was encoded so long ago is answered by now; passages need not make room for it.
_QUESTION_SECONDS = 0.25
_LONGEST_WORK = 0.5  # seconds between two passes that count as work of one run; more is a run that was not there


class Turns:
    """Tells by the clock who is next. While questions are asked, passages get `share` of the time."""

    def __init__(self, share: float, clock: Callable[[], float]) -> None:
        self._share, self._clock = share, clock
        self._last: Kind = "passage"
        self._last_question = clock() - _QUESTION_SECONDS
        self._rest_until = clock()
        self._passages_ended = clock()

    def next(self, questions: bool, passages: bool) -> Kind | None:
        """Whose turn it is of those that wait, and it is theirs then; None where passages rest, or nobody waits."""
        rested = passages and self.rest(questions) <= 0
        if questions:
            self._last = "passage" if rested and self._last == "question" else "question"
        elif rested:
            self._last = "passage"
        else:
            return None
        return self._last

    def rest(self, questions: bool) -> float:
        """Seconds for which passages still leave the processor to the questions that wait or were encoded last."""
        now = self._clock()
        if questions:
            return self._rest_until - now
        return min(self._rest_until, self._last_question + _QUESTION_SECONDS) - now

    def ended(self, kind: Kind, handed_over: float, started: float, questions: bool) -> None:
        """A pass has ended just now; `questions` says whether any wait."""
        now = self._clock()
        if kind == "question":
            self._last_question = now
            return
        beside = min(max(0.0, handed_over - self._passages_ended), _LONGEST_WORK)
        self._passages_ended = now
        if questions or now < self._last_question + _QUESTION_SECONDS:
            self._rest_until = now + (beside + now - started) * (1 / self._share - 1)
