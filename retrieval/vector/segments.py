"""Blocks of rows that a search may read while a write goes on.

A `Segment` is immutable. The `Tail` is the writer's: it appends rows to buffers and hands out segments that see only
the rows there were at that moment, so a later append never reaches into what a reader holds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import faiss
import numpy as np
from numpy.typing import NDArray

from domain.search import FloatArray
from retrieval.vector.rows import KeyArray

BoolArray = NDArray[np.bool_]
RowArray = NDArray[np.int64]

# Below this many rows, gathering them costs less than asking FAISS to skip all the others.
_GATHER_ROWS = 512


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """`keys` (n,), `rows` (n, D), and `alive` (n,), False where a row was removed or replaced.

    `order` sorts the keys; `index` holds the rows for FAISS, and `rows` is then a view of its memory. Both are None in
    the segment of a tail, which is too small, and too often renewed, to be worth either.
    """

    keys: KeyArray
    rows: FloatArray
    alive: BoolArray
    live: int
    order: RowArray | None = None
    index: faiss.IndexFlatIP | None = None

    @classmethod
    def sealed(cls, keys: KeyArray, rows: FloatArray) -> Segment:
        """A segment with all its rows alive, copied into a FAISS index."""
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(rows)
        view = faiss.rev_swig_ptr(index.get_xb(), rows.size).reshape(rows.shape)
        return cls(keys, view, np.ones(len(keys), dtype=bool), len(keys), np.argsort(keys), index)

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, keys: KeyArray) -> RowArray:
        """The rows, alive, of those `keys` (sorted, unique) that are here."""
        if self.order is None or len(keys) > len(self.keys):
            rows = np.flatnonzero(_in_sorted(self.keys, keys))
        else:
            at = np.searchsorted(self.keys, keys, sorter=self.order)
            rows = self.order[np.minimum(at, len(self.order) - 1)]
            rows = rows[self.keys[rows] == keys]
        return rows[self.alive[rows]]

    def without(self, keys: KeyArray) -> Segment:
        """A segment with `keys` (sorted, unique) buried; the same one when it has none of them."""
        rows = self.find(keys)
        if not len(rows):
            return self
        alive = self.alive.copy()
        alive[rows] = False
        return replace(self, alive=alive, live=self.live - len(rows))

    def living(self) -> tuple[KeyArray, FloatArray]:
        """Keys and rows that are alive: views where all are, else copies."""
        if self.live == len(self):
            return self.keys, self.rows
        return self.keys[self.alive], self.rows[self.alive]

    def nominate(self, query: FloatArray, count: int, allowed: KeyArray | None) -> Nominees:
        """The `count` best, or more, of the rows that are alive and, if given, in `allowed` (sorted, unique)."""
        rows = np.flatnonzero(self.alive) if allowed is None else self.find(allowed)
        if self.index is None or len(rows) <= max(count, _GATHER_ROWS):
            return self._score(query, rows)
        eligible = np.zeros(len(self), dtype=bool)
        eligible[rows] = True
        # Always with a selector, also where every row is eligible: without one, FAISS 1.15 splits a single query over
        # OpenMP threads, and on a machine with other work that was measured 4 times slower than one thread alone.
        mask = np.packbits(eligible, bitorder="little")
        params = faiss.SearchParameters()
        params.sel = selector = faiss.IDSelectorBitmap(len(mask), faiss.swig_ptr(mask))
        scores, found = self.index.search(query[np.newaxis], count, params=params)
        del selector, mask  # FAISS held bare pointers to both
        real = found[0] >= 0  # FAISS pads missing hits with -1
        return Nominees(self, found[0][real], scores[0][real], complete=False)

    def nominate_all(self, query: FloatArray, allowed: KeyArray | None) -> Nominees:
        """All rows that are alive and, where it is given, in `allowed`."""
        return self._score(query, np.flatnonzero(self.alive) if allowed is None else self.find(allowed))

    def _score(self, query: FloatArray, rows: RowArray) -> Nominees:
        few = 2 * len(rows) < len(self)  # then copying them out is cheaper than scoring all
        scores = self.rows[rows] @ query if few else (self.rows @ query)[rows]
        return Nominees(self, rows, scores, complete=True)


@dataclass(frozen=True, slots=True, eq=False)
class Nominees:
    """Rows of one segment with float32 scores; `complete` when no eligible row was left out."""

    segment: Segment
    rows: RowArray
    scores: FloatArray
    complete: bool


class Tail:
    """Where the writer appends: buffers of a fixed capacity, of which only the first `used` rows mean something."""

    def __init__(self, dim: int, capacity: int) -> None:
        self._keys = np.empty(capacity, dtype=np.int64)
        self._rows = np.empty((capacity, dim), dtype=np.float32)  # the system gives pages as they are written
        self._alive = np.zeros(capacity, dtype=bool)
        self._used = 0

    @property
    def room(self) -> int:
        return len(self._keys) - self._used

    def append(self, keys: KeyArray, rows: FloatArray) -> None:
        """Add at most `room` rows."""
        end = self._used + len(keys)
        self._keys[self._used : end] = keys
        self._rows[self._used : end] = rows
        self._alive[self._used : end] = True
        self._used = end

    def bury(self, keys: KeyArray) -> None:
        """Mark `keys` (sorted, unique) as removed; the rows stay, a reader may be at them."""
        self._alive[: self._used] &= ~_in_sorted(self._keys[: self._used], keys)

    def segment(self) -> Segment:
        """What is here now, as a segment that later appends do not touch."""
        alive = self._alive[: self._used].copy()
        return Segment(self._keys[: self._used], self._rows[: self._used], alive, int(np.count_nonzero(alive)))


def _in_sorted(values: KeyArray, wanted: KeyArray) -> BoolArray:
    """For each value whether it is in `wanted` (sorted), shape of `values`."""
    if not len(wanted):
        return np.zeros(len(values), dtype=bool)
    at = np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)
    found: BoolArray = wanted[at] == values
    return found
