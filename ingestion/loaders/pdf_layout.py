"""What the lines of PDF pages are: headings, paragraphs, list items, rows of tables.

The steps, page by page:

1. Running headers and footers go: lines in the first or last two of a page that most pages repeat (digits aside).
2. A line that ends in two or more numeric cells, or consists of numbers, is a row. Rows that follow each other make a
   table, together with the section labels between them. A row of numbers alone belongs to the label above it.
3. The column labels above the first row (years, "Three Months Ended", units) become the table's header. A second row of
   column labels starts a second table.
4. Lines that are larger or bolder than the body are headings; sizes rank the levels.
5. What is left is prose: lines are joined into paragraphs until a gap, an indent, a bullet or a short last line ends
   one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from domain.documents import BlockKind
from ingestion.loaders.assembly import TextAssembler
from ingestion.loaders.pdf_tables import BULLET, DIGITS, SENTENCE_END, Line, TableLines, cells_of, parts_of

_SECTION = re.compile(
    r"(?:item|part|note|section|chapter|appendix|exhibit)\s+[\dIVXA-H]+[A-Z]?\b[.:—–-]?\s*\S*"
    r"|第[0-9一二三四五六七八九十百]+[章节節条條部]",
    re.IGNORECASE,
)
_WIDE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\u3000-\u303f]")
_EDGE_LINES = 2
_MIN_PAGES_FOR_RUNNING = 5
_RUNNING_SHARE = 0.6
_MAX_HEADING = 140


def add_pages(assembler: TextAssembler, pages: Sequence[Sequence[Line]]) -> None:
    """Add the pages to the document, numbered from 1."""
    pages = without_running_lines(pages)
    levels = HeadingLevels.of(pages)
    for number, lines in enumerate(pages, start=1):
        assembler.start_page(number)
        for part in parts_of(lines):
            if isinstance(part, TableLines):
                assembler.add_table_text(part.lines, part.header_lines)
            else:
                _add_prose(assembler, part, levels)


# --- running headers and footers ---


def without_running_lines(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Pages without the lines that most of them repeat at their edge, and without page numbers standing alone there."""
    counts: Counter[str] = Counter()
    filled = [page for page in pages if page]
    for page in filled:
        counts.update({_shape(line) for line in _edges(page)})
    if len(filled) < _MIN_PAGES_FOR_RUNNING:
        return [list(page) for page in pages]
    running = {shape for shape, count in counts.items() if count >= _RUNNING_SHARE * len(filled)}
    return [_strip_edges(page, running) for page in pages]


def _edges(page: Sequence[Line]) -> Sequence[Line]:
    return [*page[:_EDGE_LINES], *page[max(_EDGE_LINES, len(page) - _EDGE_LINES) :]]


def _shape(line: Line) -> str:
    return DIGITS.sub("#", line.text.lower())


def _strip_edges(page: Sequence[Line], running: set[str]) -> list[Line]:
    # From the outside in and only at the edges: the same words in the middle of a page are text. A row never goes.
    lines = list(page)
    for end in (0, -1):
        for _ in range(_EDGE_LINES):
            if lines and _shape(lines[end]) in running and len(cells_of(lines[end].text)) < 2:
                lines.pop(end)
    return lines


# --- headings ---


@dataclass(frozen=True, slots=True)
class HeadingLevels:
    """The sizes that headings of this document have, largest first, and the size of its body."""

    body: float
    sizes: tuple[float, ...]
    body_is_bold: bool

    @classmethod
    def of(cls, pages: Sequence[Sequence[Line]]) -> HeadingLevels:
        """Body is the size with the most characters; sizes above 1.15 times it are those of headings."""
        weight: Counter[float] = Counter()
        bold = total = 0
        for page in pages:
            for line in page:
                weight[line.size] += len(line.text)
                total += len(line.text)
                bold += len(line.text) if line.bold else 0
        body = max(weight, key=lambda size: weight[size], default=0.0)
        larger = sorted((size for size in weight if body and size > 1.15 * body), reverse=True)
        return cls(body, _ranks(larger), bold * 2 > total)

    def level(self, line: Line) -> int:
        """1 for the largest headings; 0 for a line that is none."""
        text = line.text
        if (
            len(text) > _MAX_HEADING
            or not any(ch.isalpha() for ch in text)
            or text.endswith((",", ";", ".", "，", "。"))
        ):
            return 0
        for rank, size in enumerate(self.sizes, start=1):
            if line.size >= size:
                return min(rank, 3)
        stands_out = line.bold and not self.body_is_bold and (line.size >= 0.9 * self.body)
        if stands_out and (text[0].isupper() or text[0].isdigit() or _WIDE.match(text)):
            return min(len(self.sizes), 3) + 1
        return min(len(self.sizes), 3) + 1 if _SECTION.fullmatch(text) and not SENTENCE_END.search(text) else 0


def _ranks(sizes: Sequence[float]) -> tuple[float, ...]:
    """Sizes within a point of each other are one rank; a rank is named by its smallest size."""
    ranks: list[float] = []
    anchor = 0.0
    for size in sizes:
        if ranks and anchor - size <= 1.0:
            ranks[-1] = size
        else:
            ranks.append(size)
            anchor = size
    return tuple(ranks)


# --- prose ---


def _add_prose(assembler: TextAssembler, lines: Sequence[Line], levels: HeadingLevels) -> None:
    width = max((line.right for line in lines), default=0.0)
    run: list[Line] = []
    for line in lines:
        level = levels.level(line)
        if level:
            _add_paragraph(assembler, run)
            run = []
            _add_heading(assembler, line, level)
        elif run and _starts_paragraph(run, line, width):
            _add_paragraph(assembler, run)
            run = [line]
        else:
            run.append(line)
    _add_paragraph(assembler, run)


def _add_heading(assembler: TextAssembler, line: Line, level: int) -> None:
    assembler.add(BlockKind.HEADING, line.text, level=level)


def _add_paragraph(assembler: TextAssembler, lines: Sequence[Line]) -> None:
    if lines:
        text = join_lines([line.text for line in lines])
        kind = BlockKind.LIST_ITEM if BULLET.match(text) else BlockKind.PARAGRAPH
        assembler.add(kind, text)


def _starts_paragraph(run: Sequence[Line], line: Line, width: float) -> bool:
    above = run[-1]
    if BULLET.match(line.text) or _is_leader(line.text):
        return True
    if not (above.size and line.size):
        return bool(SENTENCE_END.search(above.text)) and len(above.text) < 60
    gap = above.bottom - line.top
    if gap > 0.7 * line.size or gap < -3 * line.size or abs(above.size - line.size) > 0.15 * line.size:
        return True  # an empty line, a new column, or another kind of text
    is_short = above.right < 0.85 * width
    return is_short and (bool(SENTENCE_END.search(above.text)) or above.right < 0.6 * width)


def _is_leader(text: str) -> bool:
    """True for a line of a table of contents: words, dots, page number."""
    return bool(re.search(r"\.{4,}\s*\d+$", text))


def join_lines(lines: Sequence[str]) -> str:
    """Join the lines of a paragraph: by a space, or by nothing between Chinese characters and after a hyphen.

    >>> join_lines(["long-", "term debt", "and"])
    'long-term debt and'
    """
    text = lines[0] if lines else ""
    for line in lines[1:]:
        wide = bool(text and _WIDE.match(text[-1]) and _WIDE.match(line))
        hyphen = len(text) > 1 and text[-1] == "-" and text[-2].isalpha() and line[:1].islower()
        text += line if wide or hyphen else f" {line}"
    return text
