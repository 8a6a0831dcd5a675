"""Metrics of ranking and evidence, with bootstrap intervals clustered by document.

Questions about one document succeed and fail together, so the bootstrap draws whole documents (Field & Welsh 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attention_core.calibration import Interval

_DRAWS, _MEDIAN_DRAWS = 1000, 2000
_ENDS = [0.025, 0.975]  # of a 95 % interval


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, or what else was estimated, with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def points(gain: Estimate | Interval) -> str:
    """A difference of two shares in percentage points, with its sign and interval."""
    return f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def estimate(values: Sequence[float], clusters: Sequence[str], seed: int = 0) -> Estimate:
    """The mean of `values` with a bootstrap interval over `clusters` (one label a value)."""
    return between(float(np.mean(np.asarray(values, float))), drawn_means(values, clusters, _DRAWS, seed))


def median_estimate(values: Sequence[float], seed: int = 0) -> Estimate:
    """The median of `values` with a bootstrap interval over them."""
    numbers = np.asarray(values, float)
    drawn = np.random.default_rng(seed).integers(0, len(numbers), (_MEDIAN_DRAWS, len(numbers)))
    return between(float(np.median(numbers)), np.median(numbers[drawn], axis=1))


def drawn_means(values: ArrayLike, clusters: Sequence[str], draws: int, seed: int = 0) -> NDArray[np.float64]:
    """Means (draws,) of values of which whole clusters are drawn; one label a value."""
    labels, member = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(member, weights=np.asarray(values, float), minlength=len(labels))
    counts = np.bincount(member, minlength=len(labels)).astype(float)
    drawn = np.random.default_rng(seed).integers(0, len(labels), (draws, len(labels)))
    means: NDArray[np.float64] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return means


def between(value: float, drawn: ArrayLike) -> Estimate:
    """`value` with the interval that holds 95 % of what was drawn."""
    low, high = np.quantile(np.asarray(drawn, float), _ENDS)
    return Estimate(value, float(low), float(high))
