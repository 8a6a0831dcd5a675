"""Tables in the lines of a PDF page: which lines are rows, and which are the column labels above them.

A line that ends in two or more numeric cells is a row; rows that follow each other make a table, together with the
section labels between them. A row of numbers alone belongs to the label above it. The column labels above the first
row (years, "Three Months Ended", units) become the table's header, and a second row of column labels starts a second
table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page. `size` is the height of its characters in points, 0 where it is unknown."""

    text: str
    size: float = 0.0
    left: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    top: float = 0.0
    bold: bool = False


_CURRENCY = r"[$€£¥￥]"
_NUMBER = rf"[-–+]?{_CURRENCY}?\(?{_CURRENCY}?[-–]?\d+(?:,\d+)*(?:\.\d+)?\)?%?\)?(?:\([a-z0-9]\))?"
_CELL = re.compile(rf"(?:{_NUMBER}|[-–—]+%?|N/?[AM]|nm|n/a|\*|x)$", re.IGNORECASE)
_DIGIT_CELL = re.compile(rf"{_NUMBER}x?$")
_YEAR = re.compile(r"(?:FY|CY)?'?(?:19|20)\d\d(?:E|A)?$|FY\d\d$|[1-4]?Q[1-4]?(?:['’]?\d\d)?$|(?:19|20)\d\d年?$")
_SPACE_BEFORE_CELL = re.compile(rf"({_CURRENCY})\s+(?=[\d(—–-])|(?<=\d)\s+(?=%(?:\s|$|\)))|\(\s+(?=\d)")
_LABEL_WORDS = re.compile(
    r"\b(?:ended|ending|months?|weeks?|quarters?|fiscal|years?|january|february|march|april|may|june|july|august|"
    r"september|october|november|december|unaudited|audited|change|increase|decrease|percent(?:age)?|total|amount|millions?|thousands?|"
    r"as of|actual|average|number|per share|shares?|value)\b|%|年|季度|单位|單位|合计|合計|金额|金額",
    re.IGNORECASE,
)
BULLET = re.compile(r"(?:[•·●○◦▪■□‣⁃➢✓\uf0b7\uf0a7]|[-–—*](?=\s)|\(?(?:\d{1,2}|[a-z]|[ivx]{1,5})[.)](?=\s))\s*")
SENTENCE_END = re.compile(r"[.!?:;。！？：；…][\"'”’」』)）\]]*$")
DIGITS = re.compile(r"\d+")

_MAX_LABEL = 120  # a longer line between two rows is prose
_MAX_LABEL_LINES = 3  # rows further apart than that belong to two tables
_MAX_HEADER_LINES = 16  # narrow columns break "January 28, 2023" into three lines each


@dataclass(frozen=True, slots=True)
class TableLines:
    """A table: the first `header_lines` of `lines` are its column labels."""

    lines: list[str]
    header_lines: int


def cells_of(text: str) -> list[str]:
    """The numeric cells at the end of a line, left to right; a dash counts as an empty cell.

    >>> cells_of("Purchases of property, plant and equipment (PP&E) (1,577) (1,373) (1,420)")
    ['(1,577)', '(1,373)', '(1,420)']
    >>> cells_of("Net income $ 5,363 $ 4,869")
    ['$5,363', '$4,869']
    """
    tokens = _tokens(text)
    cells: list[str] = []
    while tokens and _CELL.match(tokens[-1]):
        cells.append(tokens.pop())
    return cells[::-1] if any(_DIGIT_CELL.match(cell) for cell in cells) else []


def is_row(text: str) -> bool:
    """True for a label with at least two numeric cells, and for a line of numbers."""
    return len(cells_of(text)) >= 2


def is_column_labels(text: str) -> bool:
    """True for a row of years or periods, such as "(Millions) 2018 2017 2016"."""
    tokens = text.split()
    years = [token for token in tokens if _YEAR.match(token.strip("(),*"))]
    cells = cells_of(text)
    return len(years) >= 2 and all(_YEAR.match(cell.strip("(),*")) for cell in cells) and len(tokens) <= 20


def parts_of(lines: Sequence[Line]) -> Iterator[TableLines | list[Line]]:
    """Cut a page into tables and runs of other lines, in order."""
    prose: list[Line] = []
    index = 0
    while index < len(lines):
        end = _table_end(lines, index)
        if end == index:
            prose.append(lines[index])
            index += 1
            continue
        labels = _take_section_labels(prose)
        header = _take_header(prose)
        if prose:
            yield prose
            prose = []
        yield from _tables([*header, *labels, *(line.text for line in lines[index:end])], len(header))
        index = end
    if prose:
        yield prose


def _table_end(lines: Sequence[Line], start: int) -> int:
    """One past the last line of the table that begins at `start`; `start` when none begins there."""
    if not is_row(lines[start].text):
        return start
    rows, end, index = 0, start, start
    while index < len(lines) and index - end <= _MAX_LABEL_LINES:
        text = lines[index].text
        if is_row(text):
            rows, end = rows + 1, index + 1
        elif len(cells_of(text)) == 1 and len(text) <= _MAX_LABEL and not SENTENCE_END.search(text) and end == index:
            end = index + 1
        elif not _may_be_label(lines[index]):
            break
        index += 1
    # A lone row is a table when nothing in it reads as a sentence: "Total 5 6", not "... from 2017 to 2018 2".
    return end if rows >= 2 or len(cells_of(lines[start].text)) >= 3 else start


def _may_be_label(line: Line) -> bool:
    return len(line.text) <= _MAX_LABEL and not re.search(r"[.!?。！？]$", line.text) and not BULLET.match(line.text)


def _take_section_labels(prose: list[Line]) -> list[str]:
    """Take lines such as "Assets" between a row of column labels and the first row; none without such a row."""
    for count in range(1, min(_MAX_LABEL_LINES, len(prose) - 1) + 1):
        if is_column_labels(prose[-count - 1].text):
            labels = prose[-count:]
            if any(not _may_be_label(line) or is_column_labels(line.text) for line in labels):
                return []
            del prose[-count:]
            return [line.text for line in labels]
    return []


def _take_header(prose: list[Line]) -> list[str]:
    """Take the column labels off the end of the lines above a table."""
    header: list[str] = []
    while prose and len(header) < _MAX_HEADER_LINES and _is_header_line(prose[-1]):
        header.insert(0, prose.pop().text)
    return header


def _is_header_line(line: Line) -> bool:
    text = line.text
    if len(text) > _MAX_LABEL or re.search(r"[.!?;。！？；]$", text) or BULLET.match(text):
        return False
    words = text.split()
    return (bool(_LABEL_WORDS.search(text)) and len(words) <= 16) or all(DIGITS.match(word) for word in words)


def _tables(lines: list[str], header_lines: int) -> Iterator[TableLines]:
    """Split at rows of column labels below data; join a row of bare numbers to the label above it."""
    current: list[str] = []
    header, has_data = header_lines, False
    for index, text in enumerate(lines):
        labels = is_column_labels(text)
        if labels and has_data:
            carried = _pop_labels(current)
            yield TableLines(current, header)
            current, header, has_data = [*carried, text], len(carried) + 1, False
        elif labels and index >= header_lines:
            current.append(text)
            header = len(current)
        elif current and len(current) > header and _is_bare(text) and not cells_of(current[-1]):
            current[-1] = f"{current[-1]} {text}"
            has_data = True
        else:
            current.append(text)
            has_data = has_data or (index >= header_lines and is_row(text))
    if current:
        yield TableLines(current, header if header < len(current) else 0)


def _pop_labels(lines: list[str]) -> list[str]:
    """Take the lines above a second header that are part of it, such as "Three Months Ended"."""
    taken: list[str] = []
    while len(lines) > 1 and not cells_of(lines[-1]) and _LABEL_WORDS.search(lines[-1]) and len(taken) < 3:
        taken.insert(0, lines.pop())
    return taken


def _is_bare(text: str) -> bool:
    """True for a line of numbers without a label."""
    return len(cells_of(text)) == len(_tokens(text)) >= 2


def _tokens(text: str) -> list[str]:
    """The words of a line, a currency or percent sign joined to its number."""
    return _SPACE_BEFORE_CELL.sub(lambda match: match.group(1) or match.group().strip(), text).split()
