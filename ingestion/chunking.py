"""Chunks: about 200 tokens, cut on sentence ends, never across a heading, with exact offsets.

    blocks -> units (sentences, rows, line groups, with token counts) -> sections -> groups -> chunks

200 tokens is where retrieval by sentence vector is best with the encoders in use, and it leaves room under their limit
of 512 for the title and headings that the encoder reads before the text. Offsets are never searched for: every step
carries spans, so a text that repeats itself cannot be mistaken for its copy.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from domain.documents import Block, BlockKind, Chunk, Document, Page, Sentence, Span, chunk_id, chunk_key
from domain.errors import ConfigurationError
from ingestion.blocks import block_runs
from ingestion.cuts import CountTokens
from ingestion.packing import pack
from ingestion.sections import merge_small, sections_of
from ingestion.units import Unit, units_of

_VERSION = 3
_HEADER_SHARE = 0.5  # of max_tokens: a longer table header would leave the encoder no room for the rows


class StructureChunker:
    """Cuts a document along its headings, paragraphs, lists, tables and code; implements `domain.protocols.Chunker`.

    `count_tokens` gives the number of tokens of each text of a batch, without special tokens. `tokenizer` names it and
    goes into `recipe`, because another tokenizer cuts elsewhere. A chunk holds about `target_tokens` and at most
    `max_tokens`, as the sum over its sentences; only a single character that alone costs more could exceed it.
    """

    def __init__(
        self, count_tokens: CountTokens, target_tokens: int = 200, max_tokens: int = 256, tokenizer: str = ""
    ) -> None:
        if not 1 <= target_tokens <= max_tokens:
            raise ConfigurationError(
                f"Chunks of {target_tokens} tokens with a ceiling of {max_tokens} cannot be cut: "
                "set 1 <= target_tokens <= max_tokens."
            )
        self._count_tokens = count_tokens
        self._target_tokens = target_tokens
        self._max_tokens = max_tokens
        self.recipe = "-".join(filter(None, (f"structure{_VERSION}", f"{target_tokens}", f"{max_tokens}", tokenizer)))

    def split(self, document: Document) -> tuple[Chunk, ...]:
        """The chunks of `document` in order; every non-blank character of its blocks is in exactly one of them.

        A document without blocks is cut along its paragraphs. Empty for a blank text.
        """
        text = document.text
        runs = block_runs(text, document.blocks)
        blocks = [block for run in runs for block in run]
        units = units_of(text, blocks, self._max_tokens, self._count_tokens)
        sections = merge_small(sections_of(text, runs, units), self._target_tokens)
        headers = self._headers(text, blocks)
        page_starts = [page.span.start for page in document.pages]
        chunks: list[Chunk] = []
        for section in sections:
            for group in pack(text, section.units, self._target_tokens, self._max_tokens):
                table = _table_of(group, headers)
                pages = _clipped(document.pages, page_starts, Span(group[0].span.start, group[-1].span.end))
                chunks.append(self._chunk(document, len(chunks), group, section.path, table, pages))
        return tuple(chunks)

    def _chunk(
        self,
        document: Document,
        ordinal: int,
        group: Sequence[Unit],
        path: tuple[str, ...],
        table: Table | None,
        pages: tuple[Page, ...],
    ) -> Chunk:
        span = Span(group[0].span.start, group[-1].span.end)
        header = table.header if table else None
        own_id = chunk_id(document.id, document.content_hash, self.recipe, ordinal)
        return Chunk(
            id=own_id,
            key=chunk_key(own_id),
            document_id=document.id,
            ordinal=ordinal,
            span=span,
            text=span.of(document.text),
            sentences=tuple(
                Sentence(position, unit.span, table is not None and table.has_row(unit))
                for position, unit in enumerate(group)
            ),
            heading_path=path,
            token_count=sum(unit.tokens for unit in group),
            header=header,
            header_text=header.of(document.text) if header else "",
            pages=pages,
        )

    def _headers(self, text: str, blocks: Sequence[Block]) -> dict[int, Span]:
        """The header rows of tables that are short enough to be repeated, by the position of their block."""
        found = {
            at: block.header
            for at, block in enumerate(blocks)
            if block.kind is BlockKind.TABLE and block.header and len(block.header) <= 8 * self._max_tokens
        }
        counts = self._count_tokens([span.of(text) for span in found.values()]) if found else []
        fitting = (count <= _HEADER_SHARE * self._max_tokens for count in counts)
        return {at: span for (at, span), fits in zip(found.items(), fitting, strict=True) if fits}


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a header row, by the position of its block."""

    block: int
    header: Span

    def has_row(self, unit: Unit) -> bool:
        return unit.block == self.block and self.header.end <= unit.span.start


def _table_of(group: Sequence[Unit], headers: dict[int, Span]) -> Table | None:
    """The table whose rows are in the chunk; where a chunk holds rows of two, the first."""
    tables = (Table(unit.block, headers[unit.block]) for unit in group if unit.block in headers)
    return next((table for table in tables if any(map(table.has_row, group))), None)


def _clipped(pages: Sequence[Page], starts: Sequence[int], span: Span) -> tuple[Page, ...]:
    """The pages that `span` touches, cut to it."""
    first = max(0, bisect_right(starts, span.start) - 1)
    touched: list[Page] = []
    for page in pages[first : bisect_right(starts, span.end - 1)]:
        start, end = max(page.span.start, span.start), min(page.span.end, span.end)
        if start < end:
            touched.append(Page(page.number, Span(start, end)))
    return tuple(touched)
