"""The stretches of one evidence that an answer may quote, and which of them supports a claim."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from context.support import Claim, Source, overlap, supports
from context.wholeness import leans_on_predecessor
from domain.documents import CELL_SEPARATOR, Span
from domain.search import Evidence

_LONGEST_QUOTE = 3  # sentences in a row; a longer quote proves less


class Quotable:
    """One evidence, prepared when it is first cited: every stretch that can be quoted, ready for comparison."""

    def __init__(self, item: Evidence) -> None:
        self.evidence = item
        self._around = "\n".join([item.title, *item.heading_path]), _header(item)

    @cached_property
    def windows(self) -> list[tuple[Span, Source]]:
        return [
            (span, Source(self.evidence.part(span), *self._around, before)) for span, before in _windows(self.evidence)
        ]

    def source(self, span: Span) -> Source:
        """The window of a span."""
        return next(source for own, source in self.windows if own == span)

    @cached_property
    def whole(self) -> Source:
        return Source(self.evidence.text, *self._around)

    def supporting(self, claim: Claim) -> Span | None:
        """The shortest window that supports the claim; None when none does."""
        return min((span for span, source in self.windows if supports(claim, source)), key=len, default=None)

    def nearest(self, claim: Claim) -> Span:
        """The window that shares most with a claim that it does not support."""
        return max(self.windows, key=lambda window: (overlap(claim, window[1]), -len(window[0])))[0]


def _windows(item: Evidence) -> list[tuple[Span, str]]:
    """Stretches of the evidence that can be quoted: a sentence, with those before it that it leans on.

    Each with the sentence before it in the same stretch of the document.

    Sentences that do not lean on each other are never one quote: the number of one and the subject of the other would
    together "support" what neither says.
    """
    windows = []
    for span in item.spans:
        inside = [sentence.span for sentence in item.sentences if span.contains(sentence.span)] or [span]
        for last in range(len(inside)):
            first = last
            windows.append((inside[last], _before(item, inside, last)))
            while first and last - first + 1 < _LONGEST_QUOTE and leans_on_predecessor(item.part(inside[first])):
                first -= 1
                windows.append((Span(inside[first].start, inside[last].end), _before(item, inside, first)))
    return windows


def _before(item: Evidence, inside: Sequence[Span], place: int) -> str:
    return item.part(inside[place - 1]) if place else ""


def _header(item: Evidence) -> str:
    """The header row of the table that the evidence is part of; empty for prose."""
    first = item.part(item.spans[0]).split("\n", 1)[0] if item.spans else ""
    return first if CELL_SEPARATOR in first else ""
