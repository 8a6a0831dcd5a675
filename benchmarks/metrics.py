"""Metrics of ranking and evidence, with bootstrap intervals clustered by document.

Questions about one document succeed and fail together, so the bootstrap draws whole documents (Field & Welsh 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_DRAWS = 1000
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def recall_at(rank: int | None, k: int) -> float:
    """1 where the gold is among the first `k`; `rank` counts from 1, None = not found."""
    return float(rank is not None and rank <= k)


def reciprocal_rank(rank: int | None, k: int = 10) -> float:
    """1 / rank, 0 behind `k`."""
    return 1.0 / rank if rank is not None and rank <= k else 0.0


def estimate(values: Sequence[float], clusters: Sequence[str], seed: int = 0) -> Estimate:
    """The mean of `values` with a bootstrap interval over `clusters` (one label a value)."""
    numbers = np.asarray(values, float)
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(index, weights=numbers, minlength=len(names))
    counts = np.bincount(index, minlength=len(names)).astype(float)
    draws = np.random.default_rng(seed).integers(0, len(names), (_DRAWS, len(names)))
    means = sums[draws].sum(1) / counts[draws].sum(1)
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Estimate(float(numbers.mean()), float(low), float(high))
