"""Which units go into one chunk.

A section is divided into as many chunks as bring each near the target, and all of them near the same size, so that no
long chunk is followed by a tail of ten tokens. Each end is the cheapest place between half of the wanted size and the
ceiling; it costs its distance from the wanted size, as a share of it, plus what the place itself is worth: the end
of a paragraph is free, the middle of one is not, and a heading stays with what it introduces wherever that is possible.
One pass, each unit looked at a bounded number of times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from domain.documents import BlockKind
from ingestion.units import Unit

_IN_PARAGRAPH = 0.2
_BETWEEN_ITEMS = 0.1
_BETWEEN_ROWS = 0.1
_IN_LONG_CODE = 0.2
_AFTER_LEAD_IN = 0.4  # "The following apply:" belongs to its list
_AFTER_TABLE_HEAD = 0.5
_KEEP_TOGETHER = 2.0  # a heading and its text; a code block that fits
_SMALLEST = 0.5  # of the wanted size


def pack(text: str, units: Sequence[Unit], target_tokens: int, max_tokens: int) -> Iterator[Sequence[Unit]]:
    """Divide the units of one section into groups of about `target_tokens` and at most `max_tokens` tokens, in order.

    A single unit larger than `max_tokens` stands alone.
    """
    penalties = _penalties(text, units, max_tokens)
    rest, start = sum(unit.tokens for unit in units), 0
    while start < len(units):
        end = len(units)
        parts = max(1, math.ceil(rest / max_tokens), round(rest / target_tokens))
        if parts > 1:
            end = _best_end(units, start, rest / parts, max_tokens, penalties)
        yield units[start:end]
        rest -= sum(unit.tokens for unit in units[start:end])
        start = end


def _best_end(units: Sequence[Unit], start: int, wanted: float, max_tokens: int, penalties: Sequence[float]) -> int:
    best, best_cost, size = start + 1, math.inf, 0
    for end in range(start + 1, len(units) + 1):
        size += units[end - 1].tokens
        if size > max_tokens and end > start + 1:
            break
        cost = abs(size - wanted) / wanted + penalties[end]
        if cost < best_cost and (size >= _SMALLEST * wanted or best_cost == math.inf):
            best, best_cost = end, cost
    return best


def _penalties(text: str, units: Sequence[Unit], max_tokens: int) -> list[float]:
    """What ending a chunk before unit `i` costs, for i = 0 .. len(units)."""
    sizes: dict[int, int] = {}
    first: dict[int, int] = {}
    for index, unit in enumerate(units):
        sizes[unit.block] = sizes.get(unit.block, 0) + unit.tokens
        first.setdefault(unit.block, index)
    inner = [
        _between(text, before, after, sizes[before.block] <= max_tokens, first[before.block] == index)
        for index, (before, after) in enumerate(pairwise(units))
    ]
    return [0.0, *inner, 0.0]


def _between(text: str, before: Unit, after: Unit, fits: bool, is_first: bool) -> float:
    """The cost of a cut between two neighbours: `fits` and `is_first` speak of the block that `before` is in."""
    if before.kind is BlockKind.HEADING:
        return _KEEP_TOGETHER
    if before.block != after.block:
        if after.kind is not BlockKind.HEADING and text[before.span.end - 1] in ":：":
            return _AFTER_LEAD_IN
        return _BETWEEN_ITEMS if before.kind is after.kind is BlockKind.LIST_ITEM else 0.0
    if before.kind is BlockKind.TABLE:
        return _AFTER_TABLE_HEAD if is_first else _BETWEEN_ROWS
    if before.kind is BlockKind.CODE:
        return _KEEP_TOGETHER if fits else _IN_LONG_CODE
    return _IN_PARAGRAPH
