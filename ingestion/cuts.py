"""Cutting what is too long to be one sentence: a line of 50 MB, a list without a full stop, a minified script.

A cut falls on the best mark in the second half of the allowed length: a line end, else a clause mark (；，, ; :), else
white space, else wherever the length runs out. Each piece then counts as a sentence of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence

from domain.documents import Span

CountTokens = Callable[[Sequence[str]], list[int]]

_MARKS = (re.compile(r"\n"), re.compile(r"[；，、：]|[;,:|](?=\s)|\t"), re.compile(r"\s"))
_FILL = 0.9  # of the ceiling: pieces aimed at the ceiling itself would overshoot half of the time


def pieces_of_length(text: str, span: Span, length: int) -> Iterator[Span]:
    """Consecutive pieces of `span` of at most `length` (>= 1) characters, without surrounding white space.

    >>> [piece.of("one two three") for piece in pieces_of_length("one two three", Span(0, 13), 8)]
    ['one two', 'three']
    """
    start = span.start
    while start < span.end:
        end = span.end if span.end - start <= length else _cut(text, start, start + length)
        piece = text[start:end]
        kept = piece.strip()
        if kept:
            begin = start + len(piece) - len(piece.lstrip())
            yield Span(begin, begin + len(kept))
        start = end


def pieces_of_tokens(text: str, span: Span, tokens: int, max_tokens: int, count_tokens: CountTokens) -> list[Span]:
    """Consecutive pieces of `span`, which holds `tokens` tokens, of at most `max_tokens` each.

    A single character is never divided, however many tokens it costs.
    """
    if tokens <= max_tokens or len(span) <= 1:
        return [span]
    length = max(1, math.ceil(len(span) / math.ceil(tokens / (_FILL * max_tokens))))
    pieces = list(pieces_of_length(text, span, min(length, len(span) - 1)))
    counts = count_tokens([piece.of(text) for piece in pieces])
    found = (pieces_of_tokens(text, *pair, max_tokens, count_tokens) for pair in zip(pieces, counts, strict=True))
    return [piece for group in found for piece in group]


def _cut(text: str, start: int, end: int) -> int:
    for mark in _MARKS:
        matches = list(mark.finditer(text, start + (end - start) // 2, end))
        if matches:
            return matches[-1].end()
    return end
