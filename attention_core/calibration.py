"""Scores that mean what they say: maps from scores to chances, and thresholds that keep a promise.

A score ranks; to decide anything by it one needs to know what it is worth. Two maps turn scores into chances, both
fitted on labelled scores and both order-preserving:

    logistic   a line through the log-odds, two numbers: for small samples (Platt 1999; the slope alone is the inverse
               of the "temperature" of Guo et al. 2017)
    isotonic   the best non-decreasing step function, as fine as the data allow (Ayer et al. 1955: neighbours that
               stand in the wrong order are pooled into their mean until none do)

and conformal risk control (Angelopoulos et al. 2022) picks a threshold whose loss on new questions of the same kind
stays below a target on average, without any assumption about the scores: only that the new questions are drawn like
those it was picked on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.errors import DomainError

Numbers = NDArray[np.float64]

_STEPS, _TOLERANCE = 100, 1e-10
_RIDGE = 1e-9  # keeps Newton's step finite where all scores are equal
_LEAST_SLOPE = 1e-3  # a map must keep the order, whatever the data say
_DRAWS, _LEVEL = 2000, 0.95


class Interval(NamedTuple):
    """A mean with the ends of its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


# --- maps ---------------------------------------------------------------------------------------------------------


def logit(chances: ArrayLike) -> Numbers:
    """Log-odds, log(p / (1 - p)), with p kept 1e-6 away from 0 and 1."""
    clipped = np.clip(np.asarray(chances, dtype=np.float64), 1e-6, 1 - 1e-6)
    odds: Numbers = np.log(clipped) - np.log1p(-clipped)
    return odds


def logistic(logits: ArrayLike) -> Numbers:
    """1 / (1 + exp(-x)), the inverse of `logit`."""
    chances: Numbers = 1 / (1 + np.exp(-np.clip(np.asarray(logits, dtype=np.float64), -60.0, 60.0)))
    return chances


def fit_platt(logits: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Slope and intercept of the log-odds: P(label) = logistic(slope * logit + intercept), by maximum likelihood.

    The targets are Platt's: (n1 + 1) / (n1 + 2) for a positive label and 1 / (n0 + 2) for a negative one, which keeps
    the fit finite where a threshold separates the labels perfectly. The slope is at least 0.001: a map never turns
    the order round. Raises DomainError for arrays that are empty or differ in length.
    """
    x, y = _paired(logits, labels)
    targets = _smoothed(y)
    slope, intercept = _newton(np.stack((x, np.ones_like(x)), axis=1), targets)
    if slope >= _LEAST_SLOPE:
        return slope, intercept
    (intercept,) = _newton(np.ones((len(x), 1)), targets, _LEAST_SLOPE * x)
    return _LEAST_SLOPE, intercept


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The T for which P(label) = logistic(logit / T) is most likely; above 1 where the scores are too sure."""
    x, y = _paired(logits, labels)
    (slope,) = _newton(x[:, None], _smoothed(y))
    return 1 / max(slope, _LEAST_SLOPE)


def fit_relative(logits: ArrayLike, best: ArrayLike, labels: ArrayLike) -> tuple[float, float, float]:
    """Platt's fit with a second input: how far a score lies below the `best` one of its question.

    P(label) = logistic(slope * logit + distance * sqrt(best - logit) + intercept). What stands alone at the top is
    worth more than the same score in a crowd of better ones; the root, because the first step down says most. Slope is
    at least 0.001 and distance at most 0, so that the order within a question stays.
    """
    x, y = _paired(logits, labels)
    gap, targets = np.sqrt(np.maximum(_paired(best, labels)[0] - x, 0.0)), _smoothed(y)
    slope, distance, intercept = _newton(np.stack((x, gap, np.ones_like(x)), axis=1), targets)
    if distance <= 0 and slope < _LEAST_SLOPE:
        slope = _LEAST_SLOPE
        distance, intercept = _newton(np.stack((gap, np.ones_like(x)), axis=1), targets, slope * x)
    if distance > 0:
        slope, intercept = fit_platt(x, y)
    return slope, min(distance, 0.0), intercept


def relative_chances(logits: ArrayLike, best: ArrayLike, line: tuple[float, float, float]) -> Numbers:
    """The chances that a line of `fit_relative` gives to scores; `best` is one number or one a score."""
    x = np.asarray(logits, dtype=np.float64)
    gap = np.sqrt(np.maximum(np.asarray(best, dtype=np.float64) - x, 0.0))
    return logistic(line[0] * x + line[1] * gap + line[2])


def _smoothed(labels: Numbers) -> Numbers:
    positive = labels.sum()
    high, low = (positive + 1) / (positive + 2), 1 / (len(labels) - positive + 2)
    targets: Numbers = np.where(labels > 0.5, high, low)
    return targets


def _newton(design: Numbers, targets: Numbers, offset: Numbers | float = 0.0) -> list[float]:
    """Maximum-likelihood coefficients (k,) of a logistic regression on `design` (N, k), by damped Newton steps."""
    beta = np.zeros(design.shape[1])

    def loss(at: Numbers) -> float:
        z = design @ at + offset
        return float(np.mean(np.logaddexp(0.0, z) - targets * z))

    for _ in range(_STEPS):
        chances = logistic(design @ beta + offset)
        gradient = design.T @ (chances - targets) / len(targets)
        curvature = (design * (chances * (1 - chances))[:, None]).T @ design / len(targets)
        step = np.linalg.solve(curvature + _RIDGE * np.eye(len(beta)), gradient)
        size, before = 1.0, loss(beta)
        while loss(beta - size * step) > before and size > 1e-8:  # the loss is convex: a shorter step always helps
            size /= 2
        beta = beta - size * step
        if np.abs(size * step).max() < _TOLERANCE:
            break
    return [float(value) for value in beta]


@dataclass(frozen=True, slots=True)
class IsotonicMap:
    """A non-decreasing map through `knots` (score, chance), ascending: linear between them, level beyond the ends."""

    knots: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        pairs = zip(self.knots, self.knots[1:], strict=False)
        if not self.knots or any(left[0] >= right[0] or left[1] > right[1] for left, right in pairs):
            raise DomainError("An isotonic map needs knots of ascending scores and non-decreasing chances.")

    @classmethod
    def fit(cls, scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> IsotonicMap:
        """The least-squares non-decreasing fit of `labels` to `scores`, by pooling adjacent violators.

        Equal scores count as one with their mean label. A block of pooled scores becomes a level stretch.
        Raises DomainError for arrays that are empty or differ in length, and for weights that are not above 0.

        >>> IsotonicMap.fit([1, 2, 3, 4], [0, 1, 0, 1]).knots    # 2 and 3 stand in the wrong order: their mean is 1/2
        ((1.0, 0.0), (2.0, 0.5), (3.0, 0.5), (4.0, 1.0))
        """
        x, y = _paired(scores, labels)
        w = np.ones_like(x) if weights is None else _paired(scores, weights)[1]
        if (w <= 0).any():
            raise DomainError("The weights of an isotonic fit must be above 0.")
        places, member = np.unique(x, return_inverse=True)
        mass = np.bincount(member, weights=w)
        blocks = _pooled(np.bincount(member, weights=w * y) / mass, mass)
        knots: list[tuple[float, float]] = []
        for first, last, value in blocks:
            knots += [(float(places[at]), value) for at in dict.fromkeys((first, last))]
        return cls(tuple(knots))

    def apply(self, scores: ArrayLike) -> Numbers:
        """The chances of `scores`, of their shape."""
        x, y = np.array(self.knots, dtype=np.float64).T
        chances: Numbers = np.interp(np.asarray(scores, dtype=np.float64), x, y)
        return chances


def _pooled(values: Numbers, mass: NDArray[Any]) -> list[tuple[int, int, float]]:
    """Blocks (first, last, mean) of the pool-adjacent-violators algorithm, their means strictly ascending."""
    blocks: list[tuple[int, int, float, float]] = []
    for at, (value, weight) in enumerate(zip(values.tolist(), mass.tolist(), strict=True)):
        first, last = at, at
        while blocks and blocks[-1][2] >= value:
            first, _, other, heavier = blocks.pop()
            value = (other * heavier + value * weight) / (heavier + weight)
            weight += heavier
        blocks.append((first, last, value, weight))
    return [(first, last, value) for first, last, value, _ in blocks]


# --- how good chances are -----------------------------------------------------------------------------------------


def expected_calibration_error(chances: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """How far chances are from frequencies on average: sum over bins of n_b / n * |mean chance - mean label|.

    Naeini et al. 2015, with bins of equal mass as in Nguyen & O'Connor 2015: among retrieved sentences nearly all
    scores are low, and bins of equal width would be empty but for one. Equal chances share a bin.
    """
    p, y = _paired(chances, labels)
    ordered = np.sort(p)
    edges = np.unique(ordered[np.arange(1, bins) * len(p) // bins])
    member = np.searchsorted(edges, p, side="right")
    gaps = np.abs(np.bincount(member, weights=p) - np.bincount(member, weights=y))
    return float(gaps.sum() / len(p))


def log_loss(chances: ArrayLike, labels: ArrayLike) -> float:
    """Mean of -log of the chance that was given to what happened, chances kept 1e-6 away from 0 and 1."""
    p, y = _paired(chances, labels)
    z = logit(p)
    return float(np.mean(np.logaddexp(0.0, z) - y * z))


def auroc(positive: ArrayLike, negative: ArrayLike) -> float:
    """The chance that a positive scores above a negative, a tie counting half (Mann & Whitney 1947).

    >>> auroc([0.9, 0.4], [0.4, 0.1])   # 1 + 1 + 1/2 + 1 of 4 pairs
    0.875
    """
    above, below = np.asarray(positive, dtype=np.float64), np.sort(np.asarray(negative, dtype=np.float64))
    if not len(above) or not len(below):
        raise DomainError("An AUROC compares at least one positive with at least one negative.")
    wins = np.searchsorted(below, above, side="left") + np.searchsorted(below, above, side="right")
    return float(wins.sum() / (2 * len(above) * len(below)))


def paired_difference(ours: ArrayLike, theirs: ArrayLike, clusters: Sequence[str], seed: int = 0) -> Interval:
    """The mean of `ours - theirs`, question by question, with a bootstrap interval over `clusters`.

    Questions about one document succeed and fail together, so whole documents are drawn (Field & Welsh 2007).
    """
    left, right = _paired(ours, theirs)
    if len(clusters) != len(left):
        raise DomainError(f"{len(left)} values need as many cluster labels, not {len(clusters)}.")
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(member, weights=left - right)
    counts = np.bincount(member).astype(np.float64)
    random = np.random.default_rng(seed)
    means = np.empty(_DRAWS)
    for at in range(_DRAWS):  # one draw at a time: a table of all of them would not fit for many documents
        drawn = random.integers(0, len(names), len(names))
        means[at] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.quantile(means, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(float((left - right).mean()), float(low), float(high))


# --- thresholds ---------------------------------------------------------------------------------------------------


def questions_needed(target: float) -> int:
    """The least number of questions with which a threshold for this target can be given: n >= 1 / target - 1.

    >>> [questions_needed(target) for target in (0.02, 0.05, 0.10)]
    [49, 19, 9]
    """
    if not 0 < target < 1:
        raise DomainError(f"A target is a share between 0 and 1, not {target}.")
    return math.ceil(1 / target - 1 - 1e-9)


def allowed_loss(n: int, target: float) -> float:
    """How many of n questions may lose all of their evidence: n / (n + 1) * loss / n + 1 / (n + 1) <= target, solved.

    >>> round(allowed_loss(99, 0.05), 6)
    4.0
    """
    return target * (n + 1) - 1 + 1e-9


def risk_controlled_threshold(
    needed: Sequence[ArrayLike], target: float, lost_anyway: Sequence[bool] | None = None
) -> float | None:
    """The largest threshold that loses at most `target` of the evidence of a new question, in expectation.

    `needed[i]` holds the scores of the sentences that question i needs, at least one; keeping those >= t loses the
    share loss_i(t) of them that lies below t, which grows with t and is at most 1. By Angelopoulos et al. 2022
    (theorem 1, with B = 1) the expected loss on a new question drawn like these n is at most `target` for the largest
    t with

        n / (n + 1) * mean_i loss_i(t) + 1 / (n + 1) <= target

    `lost_anyway[i]` marks questions that lose all of their evidence whatever t is, because another rule turns them
    away. None where no threshold can promise it: too few questions (see `questions_needed`), or too many lost anyway.
    """
    n = len(needed)
    if n < questions_needed(target):
        return None
    arrays = [np.atleast_1d(np.asarray(scores, dtype=np.float64)) for scores in needed]
    if any(not len(scores) for scores in arrays):
        raise DomainError("Each question needs the score of at least one sentence; leave out those that have none.")
    lost = np.zeros(n, dtype=bool) if lost_anyway is None else np.asarray(lost_anyway, dtype=bool)
    kept = [scores for scores, gone in zip(arrays, lost.tolist(), strict=True) if not gone]
    bound = allowed_loss(n, target) - int(lost.sum())  # of the summed losses of the kept questions
    if bound < 0 or not kept:
        return None
    scores, member = np.unique(np.concatenate(kept), return_inverse=True)
    mass = np.bincount(member, weights=np.concatenate([np.full(len(one), 1 / len(one)) for one in kept]))
    below = np.concatenate(([0.0], np.cumsum(mass)[:-1]))  # lost at t = scores[i]: all that is smaller
    return float(scores[np.flatnonzero(below <= bound)[-1]])


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[Numbers, Numbers]:
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise DomainError(f"Two filled rows of equal length are compared, not shapes {x.shape} and {y.shape}.")
    return x, y
