"""Near-copies take no places from what else there is.

Fifty copies of one text fill fifty places, and the one document that says otherwise is not even looked at. So of each
group of near-copies (`domain/near_copies.py`) only the first three count. The others are no worse for it, for one of
them may be the one with the right number: they come along on top, as many again as there are places.
"""

from __future__ import annotations

from domain.near_copies import CopyGroups
from domain.search import StoredChunk


class Places:
    """`size` places, given in the order in which chunks come; `kept` are those and the copies on top, best first."""

    def __init__(self, size: int) -> None:
        self.kept: list[StoredChunk] = []
        self._size, self._taken = size, 0
        self._groups = CopyGroups()

    @property
    def free(self) -> int:
        return self._size - self._taken

    def offer(self, chunk: StoredChunk) -> bool:
        """Keep the chunk if there is room; False once every place is taken."""
        if not self.free:
            return False
        if not self._groups.crowds(chunk.chunk.text):
            self._taken += 1
            self.kept.append(chunk)
        elif len(self.kept) - self._taken < self._size:
            self.kept.append(chunk)
        return True
