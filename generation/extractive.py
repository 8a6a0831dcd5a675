"""Answers by quoting: the best sentences of the evidence, each with its mark. No model, no network, no invention.

The context builder has decided already what supports an answer and whether anything does. What is left is to be brief:
the best sentence, then further ones while they have a fair chance beside it and say something new. A model would read
all of the evidence and find the answer in the second sentence; a reader of quotes needs to see it.

A quoted sentence may hold what looks like a mark, by accident (a reference list) or by design. Its brackets become
round, so that every bracketed number of an answer is a mark that this generator wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate

from domain.answers import Usage
from domain.context import Context
from domain.documents import Span
from domain.list_items import is_list_item
from domain.protocols import TokenCounter
from generation.quoting import Quote, quotable
from generation.stream import Generation, Outcome

FAIR_CHANCE = 0.1  # of the best sentence's score; docs/benchmarks.md has what other shares find, and at what length
_NEARLY_AS_GOOD = 0.8  # the same beside or for a row of a table: the next one speaks of something else
_MOST_SHARED = 0.6  # of a sentence's words; one that shares more with what is quoted adds little
# A number, or a list of them, in any square bracket: "[1]", "[ 1, 2 ]", "[^1]", "【1†source】".
# Blanks and the remark are bounded, so that no document makes the search slow.
_FOREIGN_MARK = re.compile(
    r"[\[\uff3b\u3010\u3014]"
    r"(\s{0,8}\^?\s{0,8}\d+(?:[\s,\uff0c\u3001;\uff1b\u2013-]{1,8}\d+)*\s{0,8}(?:\u2020[^\]\uff3d\u3011\u3015\n]{0,80})?)"
    r"[\]\uff3d\u3011\u3015]"
)


class ExtractiveGenerator:
    """The default generator. Stateless; equal contexts give equal answers."""

    model = "extractive"

    def __init__(
        self,
        counter: TokenCounter,
        *,
        max_sentences: int = 3,
        context_window: int = 32_768,
        max_output_tokens: int = 1_024,
    ) -> None:
        """`context_window` bounds the prompt that is accounted for, although no model reads it."""
        self.context_window = context_window
        self.max_output_tokens = max_output_tokens
        self._counter = counter
        self._max_sentences = max_sentences

    def generate(self, context: Context) -> Generation:
        """The answer, a sentence a part; the context's abstention when it holds no evidence."""
        outcome = Outcome()
        return Generation(self._parts(context, outcome), outcome)

    def count_tokens(self, text: str) -> int:
        """Tokens in the counter that was given."""
        return self._counter.count(text)

    def _parts(self, context: Context, outcome: Outcome) -> Iterator[str]:
        quotes = choose_quotes(quotable(context.evidence, context.question), self._max_sentences)
        written = _written(quotes) if quotes else [context.abstention]
        short = self._within(written, context.bill.reserve or self.max_output_tokens)
        yield from short
        outcome.finish_reason = "stop" if len(short) == len(written) else "length"
        outcome.usage = Usage(prompt_tokens=0, completion_tokens=self.count_tokens("".join(short)))

    def _within(self, written: list[str], most: int) -> list[str]:
        """The first parts, `most` tokens long together; the first of them always, since half a quote is none."""
        sizes = accumulate(self.count_tokens(part) for part in written)
        return [
            part for place, (part, size) in enumerate(zip(written, sizes, strict=True)) if not place or size <= most
        ]


def choose_quotes(quotes: Sequence[Quote], most: int, fair_chance: float = FAIR_CHANCE) -> list[Quote]:
    """At most `most` quotes, best first: each with a fair chance beside the best one, and with something new to say.

    Items of one list count as one quote, and stand together in the order of the list.
    """
    chosen: list[Quote] = []
    first: dict[tuple[int, Span], int] = {}  # of each list and of each other sentence, in the order of their best
    for quote in sorted(quotes, key=lambda quote: -quote.score):
        best = chosen[0] if chosen else quote
        least = best.score * (_NEARLY_AS_GOOD if best.is_row or quote.is_row else fair_chance)
        has_room = _whole(quote) in first or len(first) < most
        if has_room and quote.score >= least and not _said(quote, chosen):
            chosen.append(quote)
            first.setdefault(_whole(quote), len(first))
    return sorted(chosen, key=lambda quote: (first[_whole(quote)], quote.span.start))


def _whole(quote: Quote) -> tuple[int, Span]:
    """What a quote is a part of: the list that it is an item of, else itself."""
    return quote.mark, quote.of_list or quote.span


def _said(quote: Quote, chosen: Sequence[Quote]) -> bool:
    return any(_shared(quote, other) > _MOST_SHARED for other in chosen if not _in_one_list(quote, other))


def _in_one_list(quote: Quote, other: Quote) -> bool:
    return quote.of_list is not None and _whole(quote) == _whole(other)


def _shared(quote: Quote, other: Quote) -> float:
    return len(quote.units & other.units) / max(1, len(quote.units))


def _written(quotes: Sequence[Quote]) -> list[str]:
    """The parts of the answer; rows of a table and items of a list stand on lines of their own under what announces
    them, which is said once.
    """
    parts = []
    for place, quote in enumerate(quotes):
        before = quotes[place - 1] if place else None
        above = () if before and (before.mark, before.above) == (quote.mark, quote.above) else quote.above
        row = _without_marks("\n".join((*above, quote.text)))
        apart = any(one.is_row or one.above or one.of_list for one in (quote, before) if one)
        if before and _in_one_list(quote, before) and not is_list_item(quote.text):
            apart = False  # the rest of an item
        gap = "" if before is None else "\n" if apart else " "
        parts.append(f"{gap}{row} [{quote.mark}]")
    return parts


def _without_marks(text: str) -> str:
    """The text with round brackets where it spells a citation: "evil [1]" becomes "evil (1)"."""
    return _FOREIGN_MARK.sub(r"(\1)", text)
