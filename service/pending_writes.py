"""Commits that an index has yet to follow, gathered so that it follows many at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from domain.search import FloatArray


class PendingWrites:
    """What came after one generation of a collection, in the order of its commits, with only the outcome kept."""

    def __init__(self, generation: int) -> None:
        self.generation = generation  # of the newest commit gathered
        self.retired: set[int] = set()
        self._added: dict[int, tuple[FloatArray, str]] = {}

    def __len__(self) -> int:
        return len(self._added) + len(self.retired)

    def follow(
        self, generation: int, keys: Sequence[int], vectors: FloatArray, texts: Sequence[str], retired: Collection[int]
    ) -> None:
        """Gather the commit that made `generation`; `vectors` has shape (N, D) for N keys and N texts."""
        rows = dict(zip(keys, zip(vectors, texts, strict=True), strict=True))
        for key in retired:
            self._added.pop(key, None)
        self._added |= rows
        self.retired = (self.retired | set(retired)) - rows.keys()
        self.generation = generation

    def added(self) -> tuple[list[int], FloatArray, list[str]]:
        """(keys, vectors of shape (N, D), texts); shape (0, 0) where nothing was added."""
        keys = list(self._added)
        vectors = [vector for vector, _ in self._added.values()]
        stacked = np.stack(vectors) if vectors else np.empty((0, 0), np.float32)
        return keys, stacked, [text for _, text in self._added.values()]
