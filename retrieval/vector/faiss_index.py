"""The default vector index: FAISS flat inner product, exact, in memory, searchable while it is written.

Rows live in segments of some ten thousand. A segment is immutable once it is published; a search takes the current
tuple of segments once and works on that, so it needs no lock and sees the state before or after a write, never
between. A write builds a new tuple and swaps it in with one assignment:

* new rows go to a tail buffer, and when that is full it is sealed into a segment with a FAISS index of its own;
* removed and replaced rows are masked, on a copy of the segment's mask;
* a segment with more dead rows than living ones is dissolved: its living rows move to the tail.

So a write costs time in proportion to what it writes, memory is at most twice what the living rows need, and there is
never a second copy of more than one segment, which matters at a million rows (1.5 GB at 384 dimensions).

A search lets FAISS nominate rows in float32 and then scores the few that can be among the best exactly, in the way
that `rows.inner_products` describes. Results are equal to those of `ExactVectorIndex`, ties included.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from domain.search import FloatArray, Hit
from retrieval.vector.rows import (
    KeyArray,
    best_hits,
    checked_keys,
    checked_query,
    checked_rows,
    inner_products,
    row_norms,
)
from retrieval.vector.segments import Nominees, Segment, Tail
from retrieval.vector.snapshot import read_snapshot, write_snapshot

# 25 MB at 384 dimensions: a sealing step of some milliseconds, and 61 segments at a million rows.
_SEGMENT_ROWS = 16_384
# Nominated beyond k, so that near-ties at the k-th place seldom force a segment to be scored in full.
_SPARE = 16
# Unit roundoff of float32, doubled for the order of summation: |float32 product - exact| <= D * this * |q| * |row|.
_ROUNDOFF = 2.0**-23


@dataclass(frozen=True, slots=True, eq=False)
class _Content:
    """What a search sees. `reach` bounds the length of every row."""

    segments: tuple[Segment, ...] = ()
    reach: float = 0.0
    size: int = 0


class FaissVectorIndex:
    """A VectorIndex on FAISS. Searches of many segments share `threads` threads, in FAISS's native code."""

    def __init__(self, dim: int, *, threads: int = 2, segment_rows: int = _SEGMENT_ROWS) -> None:
        self.dim = dim
        self._segment_rows = segment_rows
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="vector-search") if threads > 1 else None
        self._threads = threads
        self._writer = Lock()
        self._sealed: list[Segment] = []  # the writer's own, as is the tail
        self._tail = Tail(dim, segment_rows)
        self._content = _Content()

    def __len__(self) -> int:
        return self._content.size

    def add(self, keys: Sequence[int], vectors: FloatArray) -> None:
        """Add or replace rows. Time: that of the rows, plus a key look-up in each segment."""
        added, rows = checked_rows(keys, vectors, self.dim)
        if not len(added):
            return
        with self._writer:
            self._bury(np.sort(added))
            self._append(added, rows)
            self._publish(max(self._content.reach, float(row_norms(rows).max())))

    def remove(self, keys: Collection[int]) -> None:
        buried = np.unique(checked_keys(keys))
        with self._writer:
            self._bury(buried)
            self._publish(self._content.reach)

    def search(self, vector: FloatArray, k: int, allowed: Collection[int] | None = None) -> list[Hit]:
        content, query = self._content, checked_query(vector, self.dim)
        wanted = None if allowed is None else np.unique(checked_keys(allowed))
        if k <= 0 or not content.size or (wanted is not None and not len(wanted)):
            return []
        nominees = self._nominate(content.segments, query, k + _SPARE, wanted)
        slack = 2 * self.dim * _ROUNDOFF * float(np.linalg.norm(query)) * content.reach
        return _best(_close(nominees, query, k, slack, wanted), query, k)

    def save(self, path: Path) -> None:
        """Stream the living rows of this moment into one file; searches and writes may go on meanwhile."""
        write_snapshot(path, self.dim, [segment.living() for segment in self._content.segments])

    def load(self, path: Path) -> None:
        fresh = FaissVectorIndex(self.dim, segment_rows=self._segment_rows)
        reach = 0.0
        for keys, rows in read_snapshot(path, self.dim):
            fresh._append(keys, rows)
            reach = max(reach, float(row_norms(rows).max()))
        with self._writer:
            self._sealed, self._tail = fresh._sealed, fresh._tail
            self._publish(reach)

    def close(self) -> None:
        """End the search threads. A search after this uses its caller's."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def _bury(self, keys: KeyArray) -> None:
        self._sealed = [segment.without(keys) for segment in self._sealed]
        self._tail.bury(keys)
        sparse = [segment for segment in self._sealed if 2 * segment.live < len(segment)]
        self._sealed = [segment for segment in self._sealed if 2 * segment.live >= len(segment)]
        for segment in sparse:
            self._append(*segment.living())

    def _append(self, keys: KeyArray, rows: FloatArray) -> None:
        while len(keys):
            if not self._tail.room:
                self._roll_over()
            count = min(self._tail.room, len(keys))
            self._tail.append(keys[:count], rows[:count])
            keys, rows = keys[count:], rows[count:]

    def _roll_over(self) -> None:
        """Begin a new tail: seal the old one's living rows, or carry them over when they are few."""
        full, self._tail = self._tail.segment(), Tail(self.dim, self._segment_rows)
        if 2 * full.live > self._segment_rows:
            self._sealed.append(Segment.sealed(*full.living()))
        else:
            self._tail.append(*full.living())

    def _publish(self, reach: float) -> None:
        segments = tuple(segment for segment in (*self._sealed, self._tail.segment()) if segment.live)
        self._content = _Content(segments, reach, sum(segment.live for segment in segments))

    def _nominate(
        self, segments: Sequence[Segment], query: FloatArray, count: int, allowed: KeyArray | None
    ) -> list[Nominees]:
        def of(share: Iterable[Segment]) -> list[Nominees]:
            return [segment.nominate(query, count, allowed) for segment in share]

        pool = self._pool
        if pool is None or len(segments) < 2 * self._threads:  # some 30,000 rows: handing over costs more than it saves
            return of(segments)
        shares = [segments[start :: self._threads] for start in range(self._threads)]
        return [nominees for share in pool.map(of, shares) for nominees in share]


def _close(
    nominees: Sequence[Nominees], query: FloatArray, k: int, slack: float, allowed: KeyArray | None
) -> list[Nominees]:
    """Cut the nominees to those that can be among the `k` best, having made sure that none such is missing.

    `slack` is twice the error of a float32 score: a row that far below the k-th best float32 score cannot be among
    the best by exact score. Where FAISS stopped above that line, the segment may hold more, and is scored in full.
    """
    scores = np.concatenate([one.scores for one in nominees])
    line = float(np.partition(scores, len(scores) - k)[len(scores) - k]) - slack if len(scores) > k else -np.inf
    cut = []
    for one in nominees:
        cut_short = not one.complete and len(one.scores) and float(one.scores.min()) >= line
        whole = one.segment.nominate_all(query, allowed) if cut_short else one
        near = whole.scores >= line
        cut.append(Nominees(whole.segment, whole.rows[near], whole.scores[near], complete=True))
    return cut


def _best(nominees: Sequence[Nominees], query: FloatArray, k: int) -> list[Hit]:
    keys = np.concatenate([one.segment.keys[one.rows] for one in nominees])
    scores = np.concatenate([inner_products(one.segment.rows[one.rows], query) for one in nominees])
    return best_hits(keys, scores, k)
