"""Markdown: the file's own text, with the block structure that markdown-it-py finds in it.

Only the block rules run; they map each block to a range of lines, and lines map to offsets. A heading's span is its
words without the marks, so that heading paths read well. Comments and front matter are in the text but in no block.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from domain.documents import Block, BlockKind, LoadedDocument, Span
from ingestion.encoding import decode
from ingestion.loaders.assembly import tidy_title, title_from_name
from ingestion.loaders.plain import line_spans, paragraph_blocks
from ingestion.text_gate import clean, removal_warnings

_MAX_PARSED = 10_000_000  # characters; the parser takes about a second a million on a slow core
_FRONT_MATTER = re.compile(r"---[ \t]*\n(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|$)")
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE)
_HEADING_MARKS = re.compile(r"^[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)*#{1,6}(?:[ \t]+|$)")
_CLOSING_MARKS = re.compile(r"(?:[ \t]+#+)?[ \t]*$")


class MarkdownLoader:
    """Markdown with CommonMark blocks and tables."""

    extensions: tuple[str, ...] = (".md", ".markdown", ".mkd", ".mdx", ".qmd")
    media_types: tuple[str, ...] = ("text/markdown", "text/x-markdown")

    def load(self, data: bytes, name: str) -> LoadedDocument:
        decoded = decode(data)
        cleaned = clean(decoded.text)
        warnings = [*decoded.warnings, *removal_warnings(cleaned.removed)]
        if len(cleaned.text) > _MAX_PARSED:
            blocks = paragraph_blocks(cleaned.text)
            warnings.append(
                "The Markdown file is over 10 million characters and was read as plain paragraphs; split it."
            )
        else:
            blocks = tuple(markdown_blocks(cleaned.text))
        return LoadedDocument(
            title=_title(cleaned.text, blocks) or title_from_name(name),
            text=cleaned.text,
            media_type="text/markdown",
            blocks=blocks,
            metadata={"encoding": decoded.encoding},
            warnings=tuple(warnings),
        )


def markdown_blocks(text: str) -> list[Block]:
    """The blocks of clean Markdown, disjoint and ascending."""
    front = _FRONT_MATTER.match(text)
    body_start = front.end() if front else 0
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    lines = [span.shifted(body_start) for span in line_spans(text[body_start:])]
    return _Structure(text, lines).blocks(parser.parse(text[body_start:]))


class _Structure:
    def __init__(self, text: str, lines: list[Span]) -> None:
        self._text = text
        self._lines = lines
        self._blocks: list[Block] = []

    def blocks(self, tokens: list[Token]) -> list[Block]:
        items: list[bool] = []  # for each open list item: does its first block still carry the item's mark?
        for token in tokens:
            if token.type == "list_item_open":
                items.append(True)
            elif token.type == "list_item_close":
                items.pop()
            elif token.map and self._place(token, in_list=bool(items)) and items:
                items[-1] = False
        return self._blocks

    def _place(self, token: Token, in_list: bool) -> bool:
        first, last = token.map or (0, 0)
        if token.type == "heading_open":
            self._add(BlockKind.HEADING, self._heading_span(token, first, last), level=int(token.tag[1]))
        elif token.type == "paragraph_open":
            self._add(BlockKind.LIST_ITEM if in_list else BlockKind.PARAGRAPH, self._span(first, last))
        elif token.type in ("fence", "code_block"):
            self._add(BlockKind.CODE, self._span(first, last))
        elif token.type == "table_open":
            self._add(BlockKind.TABLE, self._span(first, last), header=self._span(first, first + 1))
        elif token.type == "html_block" and not token.content.lstrip().startswith("<!--"):
            self._add(BlockKind.PARAGRAPH, self._span(first, last))
        else:
            return False
        return True

    def _add(self, kind: BlockKind, span: Span, level: int = 0, header: Span | None = None) -> None:
        # A block that starts before the last one ended would be a fault of the line map; never let it out.
        if len(span) and (not self._blocks or span.start >= self._blocks[-1].span.end):
            self._blocks.append(Block(kind, span, level, header))

    def _span(self, first: int, last: int) -> Span:
        start, end = self._lines[first].start, self._lines[min(last, len(self._lines)) - 1].end
        content = self._text[start:end]
        start += len(content) - len(content.lstrip())
        return Span(start, max(start, start + len(content.strip())))

    def _heading_span(self, token: Token, first: int, last: int) -> Span:
        """The words of a heading: without `#` marks, or without the line of `=` or `-` below it."""
        if token.markup.startswith("#"):
            line = self._lines[first]
            content = line.of(self._text)
            marks = _HEADING_MARKS.match(content)
            begin = marks.end() if marks else 0
            closing = _CLOSING_MARKS.search(content, begin)
            return Span(line.start + begin, line.start + (closing.start() if closing else len(content)))
        return self._span(first, max(first + 1, last - 1))


def _title(text: str, blocks: tuple[Block, ...]) -> str:
    front = _FRONT_MATTER.match(text)
    named = _FRONT_TITLE.search(front.group()) if front else None
    if named:
        return tidy_title(named.group(1).strip().strip("\"'"))
    first = next((block for block in blocks if block.kind is BlockKind.HEADING and block.level == 1), None)
    return tidy_title(first.span.of(text)) if first else ""
