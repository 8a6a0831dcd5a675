"""What is read and stored: documents, their blocks, and the chunks cut from them.

Every offset, everywhere in the product, counts characters into `Document.text`. That one rule is what
makes a citation checkable: `document.text[span.start:span.end]` is the quote, always.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from domain.errors import DomainError

CELL_SEPARATOR = " | "  # between the cells of a row, as loaders write tables; by it a row is known again


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range of characters, `start <= i < end`.

    >>> Span(2, 5).of("abcdefg")
    'cde'
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise DomainError(f"Span({self.start}, {self.end}) is not a range: 0 <= start <= end must hold.")

    def __len__(self) -> int:
        return self.end - self.start

    def of(self, text: str) -> str:
        """The characters of `text` that this span covers."""
        return text[self.start : self.end]

    def contains(self, other: Span) -> bool:
        return self.start <= other.start and other.end <= self.end

    def overlaps(self, other: Span) -> bool:
        """True when the two share at least one character."""
        return self.start < other.end and other.start < self.end

    def shifted(self, by: int) -> Span:
        return Span(self.start + by, self.end + by)

    def to_dict(self) -> dict[str, int]:
        return {"start": self.start, "end": self.end}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Span:
        """The span of an object that has a start and an end, whatever else it has."""
        return cls(data["start"], data["end"])


def with_span(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an object whose span stands in its JSON as "start" and "end": these two become `span`."""
    return {"span": Span.from_dict(data)} | {name: data[name] for name in data if name not in ("start", "end")}


def merge_spans(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Sort spans and join those that touch or overlap, so that the result is disjoint and ascending.

    >>> merge_spans([Span(5, 9), Span(0, 3), Span(2, 4)])
    (Span(start=0, end=4), Span(start=5, end=9))
    """
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return tuple(merged)


class BlockKind(StrEnum):
    """What a stretch of a document is; the chunker treats each kind in its own way."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    TABLE = "table"  # one line a row; `Block.header` is its header row
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Block:
    """One structural unit that a loader recognised; a document's blocks are disjoint and ascending.

    `level` is the depth of a heading (1 is the outermost) and 0 for every other kind.
    `header` is the header row of a table, a span inside `span`.
    """

    kind: BlockKind
    span: Span
    level: int = 0
    header: Span | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Page `number` (from 1) covers `span` of the document's text."""

    number: int
    span: Span


def page_of(pages: Sequence[Page], offset: int) -> int | None:
    """The number of the page that holds the character at `offset`; None where the format has no pages."""
    number = None
    for page in pages:
        if page.span.start > offset:
            break
        number = page.number
    return number


@dataclass(frozen=True, slots=True)
class LoadedDocument:
    """What a loader makes of one file: text and structure, before it has an identity in a collection.

    `warnings` are sentences for the user about what was lost, for example undecodable bytes.
    """

    title: str
    text: str
    media_type: str
    blocks: tuple[Block, ...] = ()
    pages: tuple[Page, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a collection, complete with its text.

    `content_hash` is the sha256 of the bytes it was read from. `recipe` names how text and chunks were made
    from them (loader and chunker settings): the same hash under the same recipe need not be read again.
    """

    id: str
    source: str
    title: str
    text: str
    media_type: str
    content_hash: str
    recipe: str = ""
    blocks: tuple[Block, ...] = ()
    pages: tuple[Page, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """A document without its text: what search results and listings carry."""

    id: str
    source: str
    title: str
    media_type: str = "text/plain"
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Sentence:
    """The `ordinal`-th sentence (from 0) of a chunk: a sentence of prose, a row of a table, a line group of code.

    `is_row` marks the rows of the table whose header is `Chunk.header`: only under it do they say what they say.
    """

    ordinal: int
    span: Span
    is_row: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of one document, cut on sentence ends: the unit of retrieval.

    `text == document.text[span]`. `sentences` are disjoint, ascending and inside `span`; together they hold every word
    of it. `header` is the header row of the chunk's table: inside `span`, or before it in a chunk that continues one.
    `pages` are those that the chunk touches, clipped to `span`. `key` is the int64 that the indexes store.
    """

    id: str
    key: int
    document_id: str
    ordinal: int
    span: Span
    text: str
    sentences: tuple[Sentence, ...]
    heading_path: tuple[str, ...] = ()
    token_count: int = 0
    header: Span | None = None
    header_text: str = ""
    pages: tuple[Page, ...] = ()

    def sentence_text(self, sentence: Sentence) -> str:
        return self.text[sentence.span.start - self.span.start : sentence.span.end - self.span.start]

    def passage(self, title: str) -> Passage:
        """What the encoder reads of this chunk: where it stands (title, headings, table header), then its text."""
        trail = [part for part in (title, *self.heading_path) if part]
        lead = " / ".join(dict.fromkeys(trail))
        header = self.header_text if self.header is not None and self.header.end <= self.span.start else ""
        return Passage(text=self.text, lead="\n".join(part for part in (lead, header) if part))


@dataclass(frozen=True, slots=True)
class Passage:
    """A text to encode and the `lead` that gives it context: the lead is read by the encoder, its tokens are not
    kept.
    """

    text: str
    lead: str = ""


def document_id(tenant: str, collection: str, source: str) -> str:
    """A document's id: the same source in the same collection keeps its id from version to version."""
    return "doc-" + _digest(tenant, collection, source)[:20]


def text_source(title: str, text: str) -> str:
    """The source of a text that came without one, the same through every door: what it says is its identity."""
    return "text-" + _digest(title, text)[:20]


def chunk_id(document: str, content_hash: str, recipe: str, ordinal: int) -> str:
    """A chunk's id: the same bytes cut by the same recipe give the same ids, on any machine and in any order."""
    return f"{document}-{_digest(content_hash, recipe)[:8]}-{ordinal}"


def chunk_key(chunk_id: str) -> int:
    """The positive int64 under which the indexes know a chunk."""
    return int(_digest(chunk_id)[:16], 16) & 0x7FFF_FFFF_FFFF_FFFF


def _digest(*parts: str) -> str:
    # The separator cannot occur in a part that went through the text gate, so ("ab", "c") and ("a", "bc") differ.
    # A file name that is no UTF-8 arrives with lone surrogates.
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
