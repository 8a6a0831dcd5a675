"""Ranges such as "1038-40", "2 to 5 mm", "from 2000 to 2005", 1月至3月: two ends that are one statement.

"In 2000 the rate was 18 %" is not what "from 2000 to 2005" says, though its number stands there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from context.facts import Fact, Located, located_facts
from context.measures import end_of_measure
from context.numerals import compatible

_JOINED = re.compile(r"\s?[-\u2013\u2014\u2212~]\s?|\s(?:to|until|through)\s|\s?[至到]\s?")
_BETWEEN = re.compile(r"\bbetween (?:[€£$¥]\s?)?\Z", re.IGNORECASE)
_AND = re.compile(r"\sand\s(?:[€£$¥]\s?)?")
_NEAR = 12  # characters before a number in which "between" can stand


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    pairs: frozenset[tuple[Fact, Fact]]
    alone: frozenset[Fact]


class Ranges:
    """The ranges of a text, and its numbers and dates that are no end of one."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _read(self) -> _Read:
        plain = compatible(self._text)
        found = located_facts(plain)
        pairs = [(left, right) for left, right in pairwise(found) if _is_range(plain, left, right)]
        ends = {end for pair in pairs for end in pair}
        alone = frozenset(fact.fact for fact in found if fact not in ends)
        return _Read(frozenset((left.fact, right.fact) for left, right in pairs), alone)

    def cut_from(self, source: Ranges) -> bool:
        """True when this text has one end of a range of the source, and neither the range nor another such number."""
        lost = source._read.pairs - self._read.pairs
        ends = frozenset(end for pair in lost for end in pair)
        return bool((self._read.alone & ends) - source._read.alone)

    def joins_apart(self, source: Ranges) -> bool:
        """True when this text makes a range of two numbers that are none in the source: "5 to 10" of "5 and 10"."""
        made = self._read.pairs - source._read.pairs
        return any(left in source._read.alone and right in source._read.alone for left, right in made)


def _is_range(plain: str, left: Located, right: Located) -> bool:
    end = end_of_measure(plain, left.end) if left.is_amount else left.end
    between = plain[end : right.start]
    if _JOINED.fullmatch(between):
        return True
    return bool(_AND.fullmatch(between) and _BETWEEN.search(plain[max(0, left.start - _NEAR) : left.start]))
