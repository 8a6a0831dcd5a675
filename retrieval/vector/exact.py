"""Brute force: every row is scored, every score is exact. The oracle, and good enough for some ten thousand rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from domain.search import FloatArray, Hit
from retrieval.vector.rows import KeyArray, best_hits, checked_keys, checked_query, checked_rows, inner_products
from retrieval.vector.snapshot import read_snapshot, write_snapshot


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The content at one moment; never changed, only replaced."""

    keys: KeyArray  # (N,)
    rows: FloatArray  # (N, D)


class ExactVectorIndex:
    """A VectorIndex in two arrays. A write copies them, so it costs time in proportion to the whole index."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._content = self._empty()
        self._writer = Lock()

    def __len__(self) -> int:
        return len(self._content.keys)

    def add(self, keys: Sequence[int], vectors: FloatArray) -> None:
        added, rows = checked_rows(keys, vectors, self.dim)
        with self._writer:
            kept = self._without(added)
            self._content = _Rows(np.concatenate([kept.keys, added]), np.concatenate([kept.rows, rows]))

    def remove(self, keys: Collection[int]) -> None:
        with self._writer:
            self._content = self._without(checked_keys(keys))

    def search(self, vector: FloatArray, k: int, allowed: Collection[int] | None = None) -> list[Hit]:
        content, query = self._content, checked_query(vector, self.dim)
        keys, rows = content.keys, content.rows
        if allowed is not None:
            inside = np.isin(keys, checked_keys(allowed))
            keys, rows = keys[inside], rows[inside]
        return best_hits(keys, inner_products(rows, query), max(k, 0))

    def save(self, path: Path) -> None:
        content = self._content
        write_snapshot(path, self.dim, [(content.keys, content.rows)])

    def load(self, path: Path) -> None:
        empty = self._empty()
        batches = [(empty.keys, empty.rows), *read_snapshot(path, self.dim)]
        with self._writer:
            self._content = _Rows(*(np.concatenate(column) for column in zip(*batches, strict=True)))

    def _without(self, keys: KeyArray) -> _Rows:
        content = self._content
        kept = ~np.isin(content.keys, keys)
        return _Rows(content.keys[kept], content.rows[kept])

    def _empty(self) -> _Rows:
        return _Rows(np.empty(0, dtype=np.int64), np.empty((0, self.dim), dtype=np.float32))
