"""The text gate for an answer that is still being written: what streams is what the whole answer will be.

The gate (`ingestion/text_gate.py`) drops characters that nobody can see and composes accents, so a letter depends on
its neighbours: an accent may come in the next part, a joiner is judged by both its sides. A text can be cut without
any effect on the gate right before a character that joins nothing to its left: ASCII, or a Chinese character. What
stands behind the last such place waits for more.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# Not the line feed: a carriage return before it is half of one line end.
_JOINS_NOTHING = re.compile(r"[\t\x20-\x7e\u3001\u3002\u3400-\u4dbf\u4e00-\u9fff\uff01-\uff5e]")


class CleanStream:
    """Takes a text in parts and gives it back cleaned; the parts joined are the whole text cleaned."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        """`clean` is the gate for a whole text."""
        self._clean = clean
        self._pending = ""

    def feed(self, part: str) -> str:
        """What is settled now that `part` has come."""
        seen = len(self._pending)  # behind its first character it holds no place to cut
        self._pending += part
        for place in range(len(self._pending) - 1, max(seen, 1) - 1, -1):
            if _JOINS_NOTHING.match(self._pending, place):
                settled, self._pending = self._pending[:place], self._pending[place:]
                return self._clean(settled)
        return ""

    def finish(self) -> str:
        """What was held back, now that nothing follows."""
        rest, self._pending = self._pending, ""
        return self._clean(rest)
