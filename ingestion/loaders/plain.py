"""Plain text: the file's own characters, cut into paragraphs at empty lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from domain.documents import Block, BlockKind, LoadedDocument, Span
from ingestion.encoding import decode
from ingestion.loaders.assembly import title_from_name
from ingestion.text_gate import clean, removal_warnings

_CHAPTER = re.compile(
    r"(?:chapter|part|book)\s+(?:\d{1,3}|[ivxlc]{1,6})\b|第[0-9〇零一二三四五六七八九十百千两]{1,6}[章节節回部编編篇卷]",
    re.IGNORECASE,
)
_MAX_HEADING = 80


class PlainTextLoader:
    """Text files. Alone on its line and set off by empty lines, "Chapter 3" or "第三章" is a heading."""

    extensions: tuple[str, ...] = (".txt", ".text", ".log", ".rst", ".org", ".tex", ".srt", ".vtt")
    media_types: tuple[str, ...] = ("text/plain",)

    def load(self, data: bytes, name: str) -> LoadedDocument:
        decoded = decode(data)
        cleaned = clean(decoded.text)
        return LoadedDocument(
            title=title_from_name(name),
            text=cleaned.text,
            media_type="text/plain",
            blocks=paragraph_blocks(cleaned.text),
            metadata={"encoding": decoded.encoding},
            warnings=(*decoded.warnings, *removal_warnings(cleaned.removed)),
        )


def paragraph_blocks(text: str) -> tuple[Block, ...]:
    """The paragraphs of clean text, each without the white space around it."""
    return tuple(_block(text, span) for span in paragraph_spans(text))


def paragraph_spans(text: str) -> Iterator[Span]:
    """Runs of lines between empty lines, stripped; linear in the text."""
    start = None
    end = 0
    for line in line_spans(text):
        content = text[line.start : line.end]
        if content and not content.isspace():
            start = line.start + len(content) - len(content.lstrip()) if start is None else start
            end = line.start + len(content.rstrip())
        elif start is not None:
            yield Span(start, end)
            start = None
    if start is not None:
        yield Span(start, end)


def line_spans(text: str) -> Iterator[Span]:
    r"""The lines of a text without their line ends. A line ends at `\\n` only."""
    position = 0
    while position <= len(text):
        found = text.find("\n", position)
        end = len(text) if found < 0 else found
        yield Span(position, end)
        position = end + 1


def _block(text: str, span: Span) -> Block:
    if len(span) <= _MAX_HEADING and _CHAPTER.match(text, span.start, span.end) and "\n" not in span.of(text):
        return Block(BlockKind.HEADING, span, level=1)
    return Block(BlockKind.PARAGRAPH, span)
