"""Which supported sentences of an answer stand under another number or header than what they quote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from context.answer_lists import NumberedItem, cells_agree, headers_of, number_before, renumbered, row_at
from context.quotable import Quotable
from domain.answers import Citation
from domain.documents import Span


def misplaced_in(
    bare: str,
    spans: Sequence[Span],
    checked: Sequence[tuple[list[Citation], bool | None]],
    quotables: Mapping[int, Quotable],
) -> frozenset[int]:
    """The places of the supported sentences whose number or header is not their quote's (context/answer_lists.py).

    `spans` are the sentences of the bare text, `checked` their citations and whether each is supported.
    """
    headers = headers_of(bare)
    found: set[int] = set()
    lists: list[tuple[int, dict[int, list[NumberedItem]]]] = []  # (first number, items by mark)
    last = 0
    for place, (span, (citations, supported)) in enumerate(zip(spans, checked, strict=True)):
        row = row_at(bare, span, headers) if supported else None
        number = number_before(bare, span.start)
        if row and not _is_row_of(row, citations, quotables):
            found.add(place)
        if number is None:
            continue
        if number < last or not lists:
            lists.append((number, {}))
        last = number
        for citation in citations:
            own = number_before(citation.quote, 0)
            if supported and own is not None:
                lists[-1][1].setdefault(citation.mark, []).append(NumberedItem(place, number, own))
    return frozenset(found).union(*(renumbered(items, first) for first, by_mark in lists for items in by_mark.values()))


def _is_row_of(row: tuple[str, str], citations: Sequence[Citation], quotables: Mapping[int, Quotable]) -> bool:
    """Whether a row of an answer has its cells under the headers of its quote; True where no quote is a row."""
    sources = [quotables[citation.mark].source(citation.span) for citation in citations if citation.verified]
    rows = [(source.row, source.lent) for source in sources if source.row]
    return not rows or any(cells_agree(*row, own, lent) for own, lent in rows)
