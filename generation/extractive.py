"""Answers by quoting: the best sentences of the evidence, each with its mark. No model, no network, no invention.

The context builder has decided already what supports an answer and whether anything does. What is left is to be brief:
the best sentence, then further ones only while they are nearly as good and say something new.

A quoted sentence may hold what looks like a mark, by accident (a reference list) or by design. Its brackets become
round, so that every bracketed number of an answer is a mark that this generator wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from domain.answers import Usage
from domain.context import Context
from domain.documents import Span
from domain.protocols import TokenCounter
from domain.search import Evidence
from generation.stream import Generation, Outcome

_NEARLY_AS_GOOD = 0.8  # of the best sentence's score; a weaker second sentence is context, not answer
_MOST_SHARED = 0.6  # of a sentence's words; one that shares more with what is quoted adds little
_UNIT = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+")
_CELL = " | "
# A number, or a list of them, in any square bracket: "[1]", "[ 1, 2 ]", "[^1]", "【1†source】".
# Blanks and the remark are bounded, so that no document makes the search slow.
_FOREIGN_MARK = re.compile(
    r"[\[\uff3b\u3010\u3014]"
    r"(\s{0,8}\^?\s{0,8}\d+(?:[\s,\uff0c\u3001;\uff1b\u2013-]{1,8}\d+)*\s{0,8}(?:\u2020[^\]\uff3d\u3011\u3015\n]{0,80})?)"
    r"[\]\uff3d\u3011\u3015]"
)


@dataclass(frozen=True, slots=True)
class _Quote:
    """A sentence that can be quoted, under the mark of its evidence; `header` is the header row of its table."""

    mark: int
    span: Span
    text: str
    score: float
    header: str = ""

    @property
    def units(self) -> frozenset[str]:
        return frozenset(_UNIT.findall(self.text.casefold()))


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
        quotes = choose_quotes(quotable(context.evidence), self._max_sentences)
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


def quotable(evidence: Sequence[Evidence]) -> list[_Quote]:
    """Every sentence of the evidence as a quote, in sending order.

    The header row of a table is no quote of its own, and a heading answers nothing: the sentence behind it has its
    score. Where there are headings alone, they are quoted.
    """
    quotes, headings = list[_Quote](), list[_Quote]()
    for item in evidence:
        promised = 0.0
        for sentence in item.sentences:
            header = _header(item, sentence.span)
            text = item.part(sentence.span).strip()
            if not text or text == header:
                continue
            is_row = (_CELL in text and "\n" not in text) or _leads(item)
            quote = _Quote(item.mark, sentence.span, text, max(sentence.score, promised), header if is_row else "")
            is_heading = _is_heading(item, text)
            (headings if is_heading else quotes).append(quote)
            promised = quote.score if is_heading else 0.0
    return quotes or headings


def _is_heading(item: Evidence, text: str) -> bool:
    """Whether a sentence is the Markdown of a heading, or one of those that the evidence stands under."""
    return text.startswith("#") or text.strip(" #:：").casefold() in {name.casefold() for name in item.heading_path}


def choose_quotes(quotes: Sequence[_Quote], most: int) -> list[_Quote]:
    """At most `most` quotes, best first: nearly as good as the best one, and each with something new to say."""
    chosen: list[_Quote] = []
    for quote in sorted(quotes, key=lambda quote: -quote.score):
        best = chosen[0].score if chosen else quote.score
        if len(chosen) == most or quote.score < best * _NEARLY_AS_GOOD:
            break
        if not any(_shared(quote, other) > _MOST_SHARED for other in chosen):
            chosen.append(quote)
    return chosen


def _header(item: Evidence, sentence: Span) -> str:
    """The header row of a table: what leads the evidence without being a sentence of it, or the first of the rows that
    `sentence` is the last of.
    """
    if _leads(item):
        return item.part(item.spans[0]).strip()
    own = next((span for span in item.spans if span.contains(sentence)), sentence)
    rows: list[str] = []
    for line in reversed(item.part(Span(own.start, sentence.end)).rstrip().split("\n")):
        if _CELL not in line and not line.startswith("|"):
            break
        rows.append(line.strip())
    return rows[-1] if rows and _CELL in rows[-1] else ""


def _leads(item: Evidence) -> bool:
    """Whether the evidence opens with the header row of a table that its sentences continue."""
    return bool(item.spans) and not any(item.spans[0].overlaps(sentence.span) for sentence in item.sentences)


def _shared(quote: _Quote, other: _Quote) -> float:
    return len(quote.units & other.units) / max(1, len(quote.units))


def _written(quotes: Sequence[_Quote]) -> list[str]:
    """The parts of the answer; rows of a table stand on lines of their own under their header."""
    parts = []
    for place, quote in enumerate(quotes):
        row = _without_marks(f"{quote.header}\n{quote.text}" if quote.header else quote.text)
        is_row = _CELL in quote.text
        gap = "" if place == 0 else "\n" if is_row or _CELL in quotes[place - 1].text else " "
        parts.append(f"{gap}{row} [{quote.mark}]")
    return parts


def _without_marks(text: str) -> str:
    """The text with round brackets where it spells a citation: "evil [1]" becomes "evil (1)"."""
    return _FOREIGN_MARK.sub(r"(\1)", text)
