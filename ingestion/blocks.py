"""A document's blocks, made ready for cutting.

Loaders mark the text worth finding; what they leave unmarked between two blocks is one of two things. Marks without a
word (a list bullet, a fence, a rule) belong to a block: to the next one when they stand on its line, else to the one
before. Words that no block claims (a hidden comment, front matter) were left out on purpose: no chunk may reach across
them, because its text would carry them along. A plain text has no blocks at all: it becomes its paragraphs, and no
heading is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from domain.documents import Block, BlockKind, Span
from ingestion.lines import has_word, paragraphs


def block_runs(text: str, blocks: Sequence[Block]) -> list[list[Block]]:
    """The blocks in runs: in a run every non-blank character belongs to a block, between runs stand unclaimed words.

    `kind`, `level` and `header` are kept; spans grow over the wordless marks around them. Blank blocks are dropped and
    blocks that overlap an earlier one or reach beyond the text are clipped. Linear in the text.
    """
    runs: list[list[Block]] = []
    position = 0
    for block in _usable(text, blocks):
        gap = Span(position, block.span.start)
        if not runs or has_word(gap.of(text)):
            runs.append([block])
        else:
            own = _start_of_marks(text, gap)
            runs[-1][-1] = _reaching(runs[-1][-1], text, own)
            runs[-1].append(replace(block, span=Span(own, block.span.end)))
        position = block.span.end
    if runs and not has_word(text[position:]):
        runs[-1][-1] = _reaching(runs[-1][-1], text, len(text))
    return runs


def _usable(text: str, blocks: Sequence[Block]) -> Iterator[Block]:
    if not blocks:
        yield from (Block(BlockKind.PARAGRAPH, span) for span in paragraphs(text))
        return
    position = 0
    for block in blocks:
        start, end = max(block.span.start, position), min(block.span.end, len(text))
        if text[start:end].strip():
            yield replace(block, span=Span(start, end))
            position = end


def _start_of_marks(text: str, gap: Span) -> int:
    """Where, in a gap without words, the marks begin that stand on the line of the block behind it."""
    line = max(gap.start, text.rfind("\n", gap.start, gap.end) + 1)
    return gap.end - len(text[line : gap.end].lstrip())


def _reaching(block: Block, text: str, end: int) -> Block:
    """The block, grown to the last character before `end` that is not blank."""
    tail = text[block.span.end : end].rstrip()
    return replace(block, span=Span(block.span.start, block.span.end + len(tail))) if tail else block
