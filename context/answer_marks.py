"""The marks of an answer: read once, spelt one way, and taken out where no evidence has that number.

Of each answer two texts are made: the one that is shown, with regular marks, and a bare one without any, in which
sentences are found and claims are read. Code is left alone: `rents[1]` is no citation.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass

from context.marks import MARKS, numbers_of
from domain.documents import Span

LONGEST_INLINE = 1_000  # characters of code inside a line; a backtick that nothing closes must not hold up a stream
INLINE = re.compile(rf"`[^`\n]{{1,{LONGEST_INLINE}}}`")
CODE = re.compile(rf"```.*?(?:```|\Z)|{INLINE.pattern}", re.DOTALL)
_BETWEEN_MARKS = " \t,，、;；"


@dataclass(frozen=True, slots=True)
class Group:
    """Marks that stand together, at `position` in the bare text."""

    position: int
    marks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MarkedText:
    """An answer as it is shown and without its marks; `removed` counts the marks that did not exist.

    `pieces` are (offset in the bare text, offset in the shown text) where their common stretches begin.
    """

    shown: str
    bare: str
    groups: tuple[Group, ...]
    removed: int
    pieces: tuple[tuple[int, int], ...]

    def shown_span(self, bare: Span) -> Span:
        """A stretch of the bare text in the shown text, with the marks right behind it and without blanks around."""
        start, end = self._shown(bare.start) if bare.start else 0, self._shown_end(bare.end)
        text = self.shown[start:end]
        return Span(start + len(text) - len(text.lstrip()), end - (len(text) - len(text.rstrip())))

    def _shown(self, offset: int) -> int:
        piece = self.pieces[bisect_right(self.pieces, (offset, len(self.shown))) - 1]
        return piece[1] + offset - piece[0]

    def _shown_end(self, offset: int) -> int:
        # Where a mark follows, the piece that begins at `offset` begins behind the mark.
        at = bisect_right(self.pieces, (offset, len(self.shown))) - 1
        if self.pieces[at][0] == offset:
            return self.pieces[at][1]
        return self._shown(offset)


def read_marks(text: str, known: Collection[int]) -> MarkedText:
    """Read the marks of an answer; `known` are the numbers that its evidence has."""
    code = [Span(*match.span()) for match in CODE.finditer(text)]
    shown: list[str] = []
    bare: list[str] = []
    groups: list[Group] = []
    pieces = [(0, 0)]
    removed = position = bare_length = shown_length = 0
    since = ""  # what stands behind the last group: marks that are taken out part nothing
    for match in MARKS.finditer(text):
        while code and code[0].end <= match.start():
            code.pop(0)
        if code and code[0].start <= match.start():
            continue
        before = text[position : match.start()]
        marks = tuple(number for number in numbers_of(match) if number in known)
        removed += len(numbers_of(match)) - len(marks)
        bare.append(before.rstrip(" \t"))
        shown.append((before if marks else bare[-1]) + "".join(f"[{mark}]" for mark in marks))
        bare_length, shown_length = bare_length + len(bare[-1]), shown_length + len(shown[-1])
        pieces.append((bare_length, shown_length))
        since += before
        if marks and groups and not since.strip(_BETWEEN_MARKS):
            groups[-1] = Group(groups[-1].position, tuple(dict.fromkeys((*groups[-1].marks, *marks))))
        elif marks:
            groups.append(Group(bare_length, marks))
        since = "" if marks else since
        position = match.end()
    rest = text[position:]
    return MarkedText("".join((*shown, rest)), "".join((*bare, rest)), tuple(groups), removed, tuple(pieces))
