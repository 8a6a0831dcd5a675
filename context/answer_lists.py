"""Numbered lists and tables of an answer: what a sentence says by the place where it stands.

"2. Lock the door" is wrong where the evidence numbers it 3, and a cell is wrong under another column's header, though
each of the two sentences says word for word what its quote says. A list that numbers anew what it takes from the
evidence keeps the evidence's order and begins at 1; otherwise its numbers must be the evidence's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from context.table_rows import TableRow
from context.wholeness import is_row, is_rule
from domain.documents import Span

_NUMBERED = re.compile(r"[ \t>*-]{0,8}(\d{1,3})[.)、）](?!\d)\s{0,4}")
_CELLS = re.compile(r"\s*\|\s*")
_FIRST = 1
_LABEL = 24  # characters that a label takes at most
_LONGEST_ROW = 2_000  # characters


def number_before(text: str, start: int) -> int | None:
    """The number of the list item that begins, or has just begun, at `start`; None where the line has none.

    >>> number_before("2. Lock the door.", 3), number_before("Lock the door.", 0)
    (2, None)
    """
    line = text.rfind("\n", max(0, start - _LABEL), start) + 1
    match = _NUMBERED.match(text, line) if line or start < _LABEL else None
    return int(match[1]) if match and match.end() >= start else None


class NumberedItem(NamedTuple):
    """An item of an answer's list at its place, with its number there and in the evidence."""

    place: int
    number: int
    own: int


def renumbered(items: Sequence[NumberedItem], begins: int) -> frozenset[int]:
    """The places whose numbers are neither the evidence's nor those of a list in its order.

    `items` are of one list and one evidence, by place; `begins` is the number of the whole list's first item.

    >>> first, second, third = NumberedItem(0, 1, 1), NumberedItem(1, 2, 3), NumberedItem(2, 3, 2)
    >>> sorted(renumbered([first, second], 1)), sorted(renumbered([first, second, third], 1))
    ([], [1, 2])
    """
    if begins == _FIRST and all(left.own < right.own for left, right in pairwise(items)):
        return frozenset()
    return frozenset(item.place for item in items if item.number != item.own)


def headers_of(text: str) -> Mapping[int, str]:
    """Where each row of a table in an answer starts, with the table's header row."""
    found: dict[int, str] = {}
    start, header = 0, ""
    for line in text.split("\n"):
        if not is_rule(line):
            if header and is_row(line):
                found[start] = header
            header = (header or line) if is_row(line) else ""
        start += len(line) + 1
    return found


def row_at(text: str, span: Span, headers: Mapping[int, str]) -> tuple[str, str] | None:
    """(header, row) of the table row that a sentence of an answer is or stands in; None outside of one."""
    end = max(span.start, span.end - 1)
    start = text.rfind("\n", max(0, end - _LONGEST_ROW), end) + 1
    if start not in headers:
        return None
    end = text.find("\n", start)
    return headers[start], text[start : end if end >= 0 else len(text)]


def cells_agree(header: str, row: str, source: TableRow, lent: frozenset[str]) -> bool:
    """True when each cell of an answer's row stands under the header that it has in the source."""
    names, cells = (_CELLS.split(line.strip().strip("|").strip()) for line in (header, row))
    return len(names) == len(cells) and all(
        source.has_pair(name, cell, lent, first=not place)
        for place, (name, cell) in enumerate(zip(names, cells, strict=True))
    )
