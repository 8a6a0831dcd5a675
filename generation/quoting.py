"""What of the evidence can be quoted as an answer, and what must stand above it for a reader to understand it.

    heading                  answers nothing: what is behind it has its score; so does a line without a full stop that
                             says nothing but words of the question
    "... were as follows:"   nor does a line that ends with a colon or is a question, or the title of a list: what
                             stands right behind it has its score, or the best row of the table that it announces, and
                             is quoted under it; so are all items of a list, where none has a better one
    list item                a quote; items of one list are written on lines of their own, in its order
    column labels            "Six Months Ended", "2018 2017": the best of the rows has their score, and each is quoted
                             under them, without which it says nothing
    row                      a quote, under its labels

Rows and labels are those that a loader has marked. Elsewhere a run of lines of cells is a table, its first line the
labels, and so is a run of lines that end in figures, below lines that can be labels. What was not sent cannot be
quoted: a row whose labels are not in the evidence stands alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from domain.documents import CELL_SEPARATOR, Span
from domain.list_items import list_around, list_behind, promises
from domain.search import Evidence
from generation.table_lines import is_numeric_row, may_be_label, names_periods

Kind: TypeAlias = Literal["heading", "announcement", "label", "row", "line"]

_UNIT = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+")
_ENDS = (".", "!", "。", "！")
_NEAR = 120  # characters between an announcement and the labels of its table: a line of units or of a title at most


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence that can be quoted, under the mark of its evidence. `above` are the lines that it is read under."""

    mark: int
    span: Span
    text: str
    score: float
    above: tuple[str, ...] = ()
    is_row: bool = False
    of_list: Span | None = None  # the list that it is an item of

    @property
    def words(self) -> list[str]:
        """In lower case; each Han character is one."""
        return _UNIT.findall(self.text.casefold())

    @property
    def units(self) -> frozenset[str]:
        return frozenset(self.words)


def quotable(evidence: Sequence[Evidence], question: str) -> list[Quote]:
    """Every sentence of the evidence that can answer, in sending order; where there is none, what announces one."""
    quotes, others = list[Quote](), list[Quote]()
    asked = frozenset(_UNIT.findall(question.casefold()))
    for item in evidence:
        reading = _Reading(item, asked)
        quotes += reading.answers()
        others += reading.others
    return quotes or others


class _Reading:
    """One piece of evidence, read from its first sentence to its last."""

    def __init__(self, item: Evidence, asked: frozenset[str]) -> None:
        self.others: list[Quote] = []  # headings, announcements and labels
        self._item, self._asked = item, asked
        self._sentences = [one for one in item.sentences if item.part(one.span).strip()]
        self._texts = [item.part(one.span).strip() for one in self._sentences]
        self._marked = item.header if item.header and any(own.contains(item.header) for own in item.spans) else None
        self._kinds = self._find_kinds()
        self._lists = self._find_lists()
        self._answers: list[Quote] = []
        self._promised = 0.0  # the score of the heading before
        self._announcement: Quote | None = None
        self._tables: dict[
            Span, list[tuple[int, float]]
        ] = {}  # by its first line above: rows, and what it lends to them

    def answers(self) -> list[Quote]:
        for place in range(len(self._sentences)):
            self._read(place)
        for rows in self._tables.values():
            best = max((place for place, _ in rows), key=lambda place: self._answers[place].score)
            score = max(self._answers[best].score, *(lent for _, lent in rows))
            self._answers[best] = replace(self._answers[best], score=score)
        return self._answers

    def _read(self, place: int) -> None:
        sentence, kind = self._sentences[place], self._kinds[place]
        score = sentence.score if kind == "label" else max(sentence.score, self._promised)
        quote = Quote(self._item.mark, sentence.span, self._texts[place], score)
        if kind not in ("row", "line"):
            self.others.append(quote)
        if kind in ("heading", "announcement"):
            self._announcement = quote if kind == "announcement" else None
        elif kind == "row":
            self._answers.append(self._row(quote, place))
        elif kind == "line":
            self._answers.append(self._line(quote, place))
        if kind != "label":
            self._promised = score if kind == "heading" else 0.0

    def _row(self, quote: Quote, place: int) -> Quote:
        """A row under its labels, and under what announces it or its table: they lend to the best of the rows."""
        above = self._labels_over(place)
        lent = [one.score for one in self._sentences if any(span.overlaps(one.span) for span in above)]
        said = self._announcement
        first = above[0].start if above else quote.span.start
        if said and (self._adjoin(said.span, quote.span) or (above and 0 <= first - said.span.end <= _NEAR)):
            above = sorted([said.span, *above])
            lent.append(said.score)
        if above:
            self._tables.setdefault(above[0], []).append((len(self._answers), max(lent, default=0.0)))
        texts = [self._item.part(span).strip() for span in above] or [_first_of_run(self._item, quote.span)]
        return replace(quote, above=tuple(filter(None, texts)), is_row=True)

    def _labels_over(self, place: int) -> list[Span]:
        """The marked labels, or those above the rows that stand together; and those right above this row."""
        first = place
        while first and self._kinds[first - 1] in ("row", "label") and self._touch(first - 1):
            first -= 1
        top = first
        while top < place and self._kinds[top] == "label":
            top += 1
        own = place
        while own and self._kinds[own - 1] == "label" and self._touch(own - 1):
            own -= 1
        spans = {self._sentences[at].span for at in (*range(first, top), *range(own, place))}
        if self._marked and self._sentences[place].is_row:
            spans = {span for span in spans if not self._marked.overlaps(span)} | {self._marked}
        return sorted(spans)

    def _line(self, quote: Quote, place: int) -> Quote:
        """A sentence, under the announcement that it stands right behind; an item of a list, under that of the list."""
        said, own = self._announcement, self._lists.get(place)
        if own is None or place == own[-1]:
            self._announcement = None
        if own is not None:
            quote = replace(quote, of_list=self._span(own))
        if said is None or not self._adjoin(said.span, self._sentences[own.start if own else place].span):
            return quote
        lends = own is None or said.score > max(self._sentences[at].score for at in own)
        return replace(quote, score=max(quote.score, said.score if lends else 0.0), above=(said.text,))

    def _find_lists(self) -> dict[int, range]:
        """The list of each place that is in one, of lists whose items all were sent and stand together."""
        found: dict[int, range] = {}
        place = 0
        while place < len(self._sentences):
            own = list_around(self._texts, place) or range(place, place + 1)
            if len(own) > 1 and all(self._touch(at) for at in own[:-1]):
                found |= dict.fromkeys(own, own)
            place = own.stop  # a list is read once, however long it is
        return found

    def _span(self, places: range) -> Span:
        return Span(self._sentences[places.start].span.start, self._sentences[places[-1]].span.end)

    def _find_kinds(self) -> list[Kind]:
        kinds: list[Kind] = []
        for place in reversed(range(len(self._sentences))):
            kinds.insert(0, self._kind(place, kinds[0] if kinds else None))
        return kinds

    def _kind(self, place: int, behind: Kind | None) -> Kind:
        """What a sentence is; `behind` is what the next one is."""
        sentence, text = self._sentences[place], self._texts[place]
        if self._is_heading(text):
            return "heading"
        if (self._marked and self._marked.overlaps(sentence.span)) or text == _first_of_run(self._item, sentence.span):
            return "label"
        if promises(text) or (list_behind(self._texts, place) is not None and self._touch(place)):
            return "announcement"
        if names_periods(text):
            return "label"
        if _is_in_cells(text) or _leads(self._item) or is_numeric_row(text):
            return "row"
        over_numbers = behind == "label" or (behind == "row" and is_numeric_row(self._texts[place + 1]))
        if over_numbers and may_be_label(text) and self._touch(place):
            return "label"
        if sentence.is_row:
            return "row"
        return "heading" if self._only_names_what_is_asked(text) else "line"

    def _touch(self, place: int) -> bool:
        """Whether nothing but blanks stands between a sentence and the next one."""
        return self._adjoin(self._sentences[place].span, self._sentences[place + 1].span)

    def _adjoin(self, first: Span, second: Span) -> bool:
        own = any(item.contains(first) and item.contains(second) for item in self._item.spans)
        return own and first.end <= second.start and not self._item.part(Span(first.end, second.start)).strip()

    def _is_heading(self, text: str) -> bool:
        """Whether it is the Markdown of a heading, or one of those that the evidence stands under."""
        names = {name.casefold() for name in self._item.heading_path}
        return text.startswith("#") or text.strip(" #:：").casefold() in names

    def _only_names_what_is_asked(self, text: str) -> bool:
        words = _UNIT.findall(text.casefold())
        return bool(words) and not text.endswith(_ENDS) and self._asked.issuperset(words)


def _is_in_cells(text: str) -> bool:
    return CELL_SEPARATOR in text and "\n" not in text


def _first_of_run(item: Evidence, sentence: Span) -> str:
    """The labels of a table that no loader has marked: what leads the evidence without being a sentence of it, or the
    first of the lines of cells that `sentence` is the last of.
    """
    if _leads(item):
        return item.part(item.spans[0]).strip()
    own = next((span for span in item.spans if span.contains(sentence)), sentence)
    rows: list[str] = []
    for line in reversed(item.part(Span(own.start, sentence.end)).rstrip().split("\n")):
        if CELL_SEPARATOR not in line and not line.startswith("|"):
            break
        rows.append(line.strip())
    return rows[-1] if rows and CELL_SEPARATOR in rows[-1] else ""


def _leads(item: Evidence) -> bool:
    """Whether the evidence opens with the labels of a table that its sentences continue."""
    return bool(item.spans) and not any(item.spans[0].overlaps(sentence.span) for sentence in item.sentences)
