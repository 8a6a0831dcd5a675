"""Marks in an answer that is still being written: what is shown while it streams is what the whole answer will show.

A mark that no evidence has must not flash up and vanish at the end. So text goes on as it comes, except for what may
still turn out to be part of a mark or of code: an open bracket with the blanks before it, and an open backtick.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from context.answer_marks import INLINE, LONGEST_INLINE, read_marks

# A bracket can become a mark within the length of the longest one.
_LONGEST_MARK = 200
_OPEN = re.compile(rf"[\[\uff3b\u3010\u3014][^\]\uff3d\u3011\u3015\n]{{0,{_LONGEST_MARK}}}\Z")
_FENCE = "```"


class MarkStream:
    """Takes an answer in parts and gives it back with regular marks; the parts joined are the text as checked."""

    def __init__(self, known: Iterable[int]) -> None:
        """`known` are the numbers that the evidence has."""
        self._known = frozenset(known)
        self._pending = ""
        self._blanks: list[str] = []  # that came alone: they decide nothing, and there may be very many
        self._in_fence = False

    def feed(self, part: str) -> str:
        """What can be shown now that `part` has come; often less, sometimes more than it."""
        self._blanks.append(part)
        return self._advance() if part.strip(" \t") else ""

    def finish(self) -> str:
        """What was held back, now that nothing follows."""
        self._join()
        rest = self._take(len(self._pending))
        return rest if self._in_fence else read_marks(rest, self._known).shown

    def _advance(self) -> str:
        self._join()
        shown: list[str] = []
        while self._in_fence:
            end = self._pending.find(_FENCE)
            if end < 0:
                kept = len(self._pending) - len(self._pending.rstrip("`"))
                return "".join((*shown, self._take(len(self._pending) - kept)))
            self._in_fence = False
            shown.append(self._take(end + len(_FENCE)))
        settled = self._settled()
        shown.append(read_marks(self._take(settled), self._known).shown)
        if self._pending.startswith(_FENCE):
            self._in_fence = True
            shown.extend((self._take(len(_FENCE)), self._advance()))
        return "".join(shown)

    def _join(self) -> None:
        self._pending += "".join(self._blanks)
        self._blanks.clear()

    def _take(self, length: int) -> str:
        taken, self._pending = self._pending[:length], self._pending[length:]
        return taken

    def _settled(self) -> int:
        """How much of the text, which begins outside of code, no later part can change."""
        text, position, code_end = self._pending, 0, 0
        while (tick := text.find("`", position)) >= 0:
            if text.startswith(_FENCE, tick):
                return tick  # no mark goes on through a fence
            behind = text[tick : tick + LONGEST_INLINE + 2]
            if inline := INLINE.match(text, tick):
                position = code_end = inline.end()
            elif "\n" in behind or (behind.startswith("``") and behind.strip("`")) or len(behind) > LONGEST_INLINE + 1:
                position = tick + 1
            else:
                return self._before(tick, code_end)
        return self._before(len(text), code_end)

    def _before(self, end: int, code_end: int) -> int:
        """The end, or where something begins right before it, behind the last code, that may still become a mark.

        The blanks before it belong to it; there may be very many of them.
        """
        match = _OPEN.search(self._pending, max(code_end, end - 1 - _LONGEST_MARK), end)
        return code_end + len(self._pending[code_end : match.start() if match else end].rstrip(" \t"))
