"""Putting a document's text together piece by piece, with the offsets of every piece.

Each piece goes through the text gate before it is placed, so the offsets are those of the final text. Blocks are
separated by an empty line, the items of one list by a line end; nothing joins across a separator under NFC.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from domain.documents import CELL_SEPARATOR, Block, BlockKind, LoadedDocument, Page, Span
from ingestion.text_gate import clean, removal_warnings

_SPACES = re.compile(r"\s+")
_MAX_TITLE = 255


class TextAssembler:
    """Collects blocks in reading order and gives the LoadedDocument they make."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._pages: list[tuple[int, int]] = []  # (number, index of the page's first block)
        self._removed: Counter[str] = Counter()

    def add(self, kind: BlockKind, text: str, level: int = 0) -> None:
        """Append a block; text that is blank after the gate is left out."""
        self._place(kind, self._clean(text).strip(), level, header_length=0)

    def add_table(self, rows: Sequence[str], has_header: bool = True) -> None:
        """Append a table, one line a row; the first row is its header row. Blank rows are left out."""
        self.add_table_text([row for row in rows if row.strip()], header_lines=1 if has_header else 0)

    def add_table_text(self, lines: Sequence[str], header_lines: int) -> None:
        """Append a table whose first `header_lines` lines (0 for none) are its header row."""
        cleaned = [_one_line(self._clean(line)) for line in lines]
        header = len("\n".join(line for line in cleaned[:header_lines] if line))
        self._place(BlockKind.TABLE, "\n".join(line for line in cleaned if line), 0, header)

    def start_page(self, number: int) -> None:
        """Say that what is added from now on stands on page `number` (from 1)."""
        self._pages.append((number, len(self._blocks)))

    @property
    def is_empty(self) -> bool:
        return not self._blocks

    def document(
        self,
        title: str,
        media_type: str,
        metadata: Mapping[str, Any] | None = None,
        warnings: Sequence[str] = (),
    ) -> LoadedDocument:
        """Everything added so far as one document; `title` and text in `metadata` pass the gate too."""
        return LoadedDocument(
            title=tidy_title(title),
            text="".join(self._parts),
            media_type=media_type,
            blocks=tuple(self._blocks),
            pages=tuple(self._page_spans()),
            metadata=clean_metadata(metadata or {}),
            warnings=(*warnings, *removal_warnings(self._removed)),
        )

    def _clean(self, text: str) -> str:
        cleaned = clean(text)
        self._removed.update(cleaned.removed)
        return cleaned.text

    def _place(self, kind: BlockKind, text: str, level: int, header_length: int) -> None:
        if not text:
            return
        if self._blocks:
            both_items = kind is self._blocks[-1].kind is BlockKind.LIST_ITEM
            self._append("\n" if both_items else "\n\n")
        start = self._length
        self._append(text)
        header = Span(start, start + header_length) if header_length else None
        self._blocks.append(Block(kind, Span(start, self._length), level, header))

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def _page_spans(self) -> list[Page]:
        ends = [first for _, first in self._pages[1:]] + [len(self._blocks)]  # an extra end where there are no pages
        return [
            Page(number, Span(self._blocks[first].span.start, self._blocks[end - 1].span.end))
            for (number, first), end in zip(self._pages, ends, strict=False)
            if end > first  # a page without text has no place in the text
        ]


def join_cells(cells: Sequence[str]) -> str:
    """One row of a table on one line: cells by CELL_SEPARATOR, empty cells at the end left out."""
    flat = [_one_line(cell) for cell in cells]
    while flat and not flat[-1]:
        flat.pop()
    return CELL_SEPARATOR.join(flat)


def tidy_title(title: str) -> str:
    """A title fit for display: clean, on one line, at most 255 characters."""
    return _one_line(clean(title).text)[:_MAX_TITLE]


def title_from_name(name: str) -> str:
    r"""The file's name without folders and extension; "Untitled" when nothing is left.

    >>> title_from_name("C:\\\\docs\\\\report.final.pdf")
    'report.final'
    """
    base = PurePosixPath(name.replace("\\", "/")).name
    stem = PurePosixPath(base).stem or base
    return tidy_title(stem) or "Untitled"


def clean_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with its text through the gate and without empty values."""
    cleaned = {key: clean(value).text.strip() if isinstance(value, str) else value for key, value in metadata.items()}
    return {key: value for key, value in cleaned.items() if value not in (None, "", [])}


def _one_line(text: str) -> str:
    return _SPACES.sub(" ", text).strip()
