"""From tokens to sentences to chunks: reductions over ragged segments of a flat array.

All tokens of all candidates lie in one array, one after the other; `segments` (N,) names the segment of each row and
ascends. No padding, so a batch of short and long texts costs what its tokens cost and a text's scores cannot depend
on its neighbours in the batch. A segment without rows gets the reduction's `empty` value.

Maximum, sum and log-sum-exp are associative: reducing tokens to sentences and those to chunks gives what reducing
tokens to chunks gives. That is why one pass serves every grain.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Segments: TypeAlias = NDArray[np.int64]
Values: TypeAlias = NDArray[np.floating[Any]]


def _reduce(ufunc: np.ufunc, values: Values, segments: Segments, n_segments: int, empty: float) -> Values:
    reduced = np.full((n_segments, *values.shape[1:]), empty, dtype=values.dtype)
    if len(values):
        firsts = np.flatnonzero(np.diff(segments, prepend=-1))  # rows at which a new segment begins
        reduced[segments[firsts]] = ufunc.reduceat(values, firsts, axis=0)
    return reduced


def segment_max(values: Values, segments: Segments, n_segments: int, empty: float = -np.inf) -> Values:
    """The largest row entry of each segment: (N, ...) -> (n_segments, ...).

    >>> segment_max(np.array([1.0, 5.0, 3.0]), np.array([0, 0, 2]), 3, empty=0.0).tolist()
    [5.0, 0.0, 3.0]
    """
    return _reduce(np.maximum, values, segments, n_segments, empty)


def segment_sum(values: Values, segments: Segments, n_segments: int) -> Values:
    """The sum of each segment's rows: (N, ...) -> (n_segments, ...); 0 for an empty one.

    >>> segment_sum(np.array([1.0, 5.0, 3.0]), np.array([0, 0, 2]), 3).tolist()
    [6.0, 0.0, 3.0]
    """
    return _reduce(np.add, values, segments, n_segments, 0.0)


def segment_logsumexp(values: Values, segments: Segments, n_segments: int) -> Values:
    """log(sum(exp)) of each segment, a maximum that also counts the runners-up; -inf for an empty segment.

    Two equal rows give their value + ln 2:

    >>> segment_logsumexp(np.array([3.0, 3.0, 7.0]), np.array([0, 0, 1]), 2).round(4).tolist()
    [3.6931, 7.0]
    """
    peaks = segment_max(values, segments, n_segments)
    # -inf - -inf would be NaN; where a whole segment is -inf, subtracting 0 gives the right -inf.
    shift = np.where(np.isfinite(peaks), peaks, 0.0).astype(values.dtype)
    total = segment_sum(np.exp(values - shift[segments]), segments, n_segments)
    with np.errstate(divide="ignore"):  # log 0 = -inf is the answer for an empty segment
        return np.log(total) + shift


def segment_softmax(logits: Values, null: float) -> Values:
    """Weights of every row against all rows and a null key: (N, Q) -> (N, Q), each column sums to less than 1.

    The null key is a place to look at when nothing fits. What a column lacks to 1 is its mass: with it, weak matches
    everywhere do not look like a find.

    >>> segment_softmax(np.array([[0.0], [0.0]]), null=0.0).round(4).ravel().tolist()
    [0.3333, 0.3333]
    """
    if not len(logits):
        return logits
    peak = np.maximum(logits.max(axis=0), null)  # (Q,)
    weights = np.exp(logits - peak)
    shares: Values = weights / (weights.sum(axis=0) + np.exp(null - peak))
    return shares


def neighbour_max(values: Values, groups: Segments) -> Values:
    """For each row the larger of the rows before and after it in the same group; -inf where it stands alone.

    values: (S, ...), reduced entry by entry; groups: (S,), ascending.

    >>> neighbour_max(np.array([1.0, 5.0, 3.0, 9.0]), np.array([0, 0, 0, 1])).tolist()
    [5.0, 3.0, 5.0, -inf]
    """
    largest = np.full_like(values, -np.inf)
    first, second = _joined_pairs(groups)
    largest[second] = values[first]
    largest[first] = np.maximum(largest[first], values[second])
    return largest


def _joined_pairs(groups: Segments) -> tuple[Segments, Segments]:
    """Row numbers (P,), (P,) of neighbours that share a group."""
    first = np.flatnonzero(groups[1:] == groups[:-1])
    return first, first + 1
