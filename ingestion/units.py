"""A document as a list of units: the sentences, table rows and line groups that no chunk boundary may divide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from domain.documents import Block, BlockKind, Span
from ingestion.cuts import CountTokens, pieces_of_length, pieces_of_tokens
from ingestion.lines import lines_of, paragraphs, with_marks
from ingestion.sentences import split_sentences

_COUNT_BATCH = 8192  # texts a call, so that a large document does not hold two copies of itself
# A text of over 8 characters a token of the ceiling cannot fit: it is cut, to 4 a token, before it is even counted.
_LONG = 8
_SHORT = 4
# WordPiece calls a word of a million letters one [UNK]; no real text averages more characters a token than this.
_CHARACTERS_A_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Unit:
    """The smallest thing a chunk is made of; `block` is the position of its block among the document's blocks."""

    span: Span
    tokens: int
    kind: BlockKind
    block: int


def units_of(text: str, blocks: Sequence[Block], max_tokens: int, count_tokens: CountTokens) -> list[Unit]:
    """Every non-blank character of `blocks`, in order, as units of at most `max_tokens` tokens each."""
    pieces = list(_pieces(text, blocks, max_tokens))
    counts = _count(text, [span for span, _ in pieces], count_tokens)
    units: list[Unit] = []
    for (span, at), tokens in zip(pieces, counts, strict=True):
        kind = blocks[at].kind
        if tokens <= max_tokens:
            units.append(Unit(span, tokens, kind, at))
        else:
            finer = _refined(text, span, kind, tokens, max_tokens, count_tokens)
            units.extend(Unit(part, size, kind, at) for part, size in finer)
    return units


def _pieces(text: str, blocks: Sequence[Block], max_tokens: int) -> Iterator[tuple[Span, int]]:
    for at, block in enumerate(blocks):
        for span in _natural_units(text, block):
            if len(span) <= _LONG * max_tokens:
                yield span, at
            else:
                yield from ((piece, at) for piece in _long_pieces(text, span, block.kind, max_tokens))


def _natural_units(text: str, block: Block) -> Iterator[Span]:
    start, end = block.span.start, block.span.end
    if block.kind is BlockKind.HEADING:
        yield from with_marks(text, paragraphs(text, start, end))
    elif block.kind is BlockKind.TABLE:
        yield from with_marks(text, lines_of(text, start, end))
    elif block.kind is BlockKind.CODE:
        yield from with_marks(text, paragraphs(text, start, end))
    else:
        yield from split_sentences(text, start, end)


def _long_pieces(text: str, span: Span, kind: BlockKind, max_tokens: int) -> Iterator[Span]:
    parts = lines_of(text, span.start, span.end) if kind is BlockKind.CODE else iter((span,))
    for part in parts:
        if len(part) <= _LONG * max_tokens:
            yield part
        else:
            yield from pieces_of_length(text, part, _SHORT * max_tokens)


def _refined(
    text: str, span: Span, kind: BlockKind, tokens: int, max_tokens: int, count_tokens: CountTokens
) -> list[tuple[Span, int]]:
    if kind is BlockKind.CODE:  # a line group that is too large falls apart into its lines
        parts = list(lines_of(text, span.start, span.end))
        counts = _count(text, parts, count_tokens)
    else:
        parts, counts = [span], [tokens]
    pieces = [
        piece
        for part, size in zip(parts, counts, strict=True)
        for piece in pieces_of_tokens(text, part, size, max_tokens, count_tokens)
    ]
    return list(zip(pieces, _count(text, pieces, count_tokens), strict=True))


def _count(text: str, spans: Sequence[Span], count_tokens: CountTokens) -> list[int]:
    counts: list[int] = []
    for start in range(0, len(spans), _COUNT_BATCH):
        texts = [span.of(text) for span in spans[start : start + _COUNT_BATCH]]
        pairs = zip(texts, count_tokens(texts), strict=True)
        counts.extend(max(count, len(piece) // _CHARACTERS_A_TOKEN) for piece, count in pairs)
    return counts
