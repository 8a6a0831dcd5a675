"""Texts that say nearly the same, found among fifty in a millisecond or two.

A text is the set of its shingles: three words in a row, or three Han characters. Case, punctuation, white space and
digits are no part of it, for they are what a copy is varied by at no cost. Two texts are near-copies when they share
four fifths of the larger set (Broder 1997, "On the resemblance and containment of documents"). Each text is compared
with the first of each group, so the order of the texts decides who is first, and nothing else.

Near-copies are not equal: one number or name may be the whole difference. Who drops one for being a copy may drop the
only true one; they are told apart here to be counted together, and up to three of a group count like any other text.
"""

from __future__ import annotations

import re
from collections import Counter

_COUNTED_COPIES = 3  # as many as a reader needs to see that several documents say so

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_UNIT = re.compile(rf"[{_HAN}]|[^\W\d_{_HAN}]+")
_SHARED = 0.8
_LEAST_SHINGLES = 4  # of less nobody can say that it is copied: titles, labels, rows of numbers

_ENGLISH = str.maketrans({code: chr(code).lower() if chr(code).isalpha() else " " for code in range(128)})

Shingles = frozenset[tuple[str, str, str]]


class CopyGroups:
    """Numbers the groups of near-copies among the texts that it is shown, and counts those that crowd out others."""

    def __init__(self) -> None:
        self._firsts: list[Shingles] = []
        self._seen: set[tuple[str, str, str]] = set()
        self._shown: Counter[int] = Counter()

    def crowds(self, text: str) -> bool:
        """Count a text; True where three of its group were counted before it."""
        group = self.group_of(text)
        self._shown[group] += 1
        return self._shown[group] > _COUNTED_COPIES

    def group_of(self, text: str) -> int:
        """The group of a text: that of the text it is a near-copy of, the first such one; else a new group."""
        shingles = _shingles(text)
        # A text that shares too little with all of them together shares too little with each: most end here.
        if len(shingles) >= _LEAST_SHINGLES and len(shingles & self._seen) >= _SHARED * len(shingles):
            for group, first in enumerate(self._firsts):
                if len(first & shingles) >= _SHARED * max(len(first), len(shingles)):
                    return group
        self._seen |= shingles
        self._firsts.append(shingles)
        return len(self._firsts) - 1


def _shingles(text: str) -> Shingles:
    units = _units(text)
    return frozenset(zip(units, units[1:], units[2:], strict=False))


def _units(text: str) -> list[str]:
    if text.isascii():  # the same ten times as fast
        return text.translate(_ENGLISH).split()
    return _UNIT.findall(text.casefold())
