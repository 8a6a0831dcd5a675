"""Intervals of everything from the same resamples: whole documents are drawn, with repeats.

Questions about one document succeed and fail together, so the bootstrap draws documents, not questions (Field & Welsh
2007). All measures of a run see the same draws. That makes their differences and ratios paired: the interval of "12
times fewer tokens" comes from the ratio in each draw, not from the ends of two intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from attention_core.calibration import Numbers
from domain.evaluation import Estimate

_DRAWS, _LEVEL = 2000, 0.95
_CELLS = 4_000_000  # counts held at a time: 32 MB

Means = Mapping[str, float]


class Bootstrap:
    """Resamples of Q questions by their clusters, one label a question."""

    def __init__(self, clusters: Sequence[str], seed: int = 0) -> None:
        names, self._member = np.unique(np.asarray(clusters), return_inverse=True)
        self._size, self._seed = len(names), seed

    def means(self, columns: Mapping[str, Sequence[float] | Numbers]) -> Resampled:
        """The mean of each column (Q,), in the data and in every draw; NaN marks questions that it is not about."""
        table = np.array([columns[name] for name in columns], dtype=np.float64).T.reshape(len(self._member), -1)
        counted = ~np.isnan(table)
        sums, sizes = self._summed(np.where(counted, table, 0.0)), self._summed(counted.astype(np.float64))
        with np.errstate(invalid="ignore"):  # a draw may hold none of the questions of a column: 0 / 0 is NaN
            drawn = np.concatenate([(times @ sums) / (times @ sizes) for times in self._counts()])
            own = sums.sum(axis=0) / sizes.sum(axis=0)
        return Resampled(tuple(columns), own, drawn)

    def auroc(self, scores: Sequence[float] | Numbers, positive: NDArray[np.bool_]) -> Estimate:
        """The chance that a positive scores above a negative, a tie counting half; needs one of each at least."""
        levels, rank = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
        member, n_levels = self._member, len(levels)

        def one(times: Numbers) -> float:
            weight = times[member]
            wins = np.bincount(rank, weights=weight * positive, minlength=n_levels)
            losses = np.bincount(rank, weights=weight * ~positive, minlength=n_levels)
            below = np.cumsum(losses) - losses / 2
            pairs = wins.sum() * losses.sum()
            return float(wins @ below / pairs) if pairs else float("nan")

        drawn = np.array([one(times) for chunk in self._counts() for times in chunk])
        return estimate(one(np.ones(self._size)), drawn)

    def _summed(self, table: Numbers) -> Numbers:
        """Rows summed by cluster: (Q, M) -> (C, M)."""
        sums = np.zeros((self._size, table.shape[1]))
        np.add.at(sums, self._member, table)
        return sums

    def _counts(self) -> Iterator[Numbers]:
        """How often each cluster is drawn: arrays (draws, C), 2000 draws in all, the same at each call."""
        random = np.random.default_rng(self._seed)
        step = max(1, min(_DRAWS, _CELLS // self._size))
        for start in range(0, _DRAWS, step):
            draws = min(step, _DRAWS - start)
            yield random.multinomial(self._size, np.full(self._size, 1 / self._size), size=draws).astype(np.float64)


class Resampled:
    """Means of named columns, in the data and in every draw."""

    def __init__(self, names: Sequence[str], own: Numbers, drawn: Numbers) -> None:
        self._names, self._own, self._drawn = tuple(names), own, drawn

    def __getitem__(self, name: str) -> Estimate:
        at = self._names.index(name)
        return estimate(float(self._own[at]), self._drawn[:, at])

    def of(self, measure: Callable[[Means], float]) -> Estimate:
        """A measure that is made of several means, computed in each draw."""
        drawn = np.array([measure(dict(zip(self._names, row, strict=True))) for row in self._drawn.tolist()])
        return estimate(measure(dict(zip(self._names, self._own.tolist(), strict=True))), drawn)


def estimate(value: float, drawn: Numbers) -> Estimate:
    """A value with the ends of its interval: draws that stand at 2.5 and 97.5 %, so that infinite ones may occur."""
    low, high = np.nanquantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], method="nearest")
    return Estimate(value, float(low), float(high))
