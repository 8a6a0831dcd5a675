"""Checks and arithmetic that every vector index shares, so that two of them agree to the last bit.

FAISS computes in float32 and in an order of its own, so its scores differ in the last digits from one machine, or one
place in the index, to the next. It therefore only *nominates* rows here; the score that a caller sees, and that decides
ties, is always `inner_products`: float64, summed row by row in a fixed order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from domain.errors import DomainError
from domain.search import FloatArray, Hit

KeyArray = NDArray[np.int64]
ScoreArray = NDArray[np.float64]

# The product of two vectors this long still fits a float32, with room for the sum.
MAX_NORM = 1e18


def checked_keys(keys: Collection[int]) -> KeyArray:
    """Keys as int64, in the order given. Raises DomainError for a key that is no int64."""
    try:
        return np.fromiter(keys, dtype=np.int64, count=len(keys))
    except (OverflowError, TypeError, ValueError) as error:
        raise DomainError(f"Keys must be integers of 64 bits: {error}.") from error


def checked_rows(keys: Sequence[int], vectors: FloatArray, dim: int) -> tuple[KeyArray, FloatArray]:
    """Keys, shape (N,), and rows, shape (N, dim), float32; of rows under one key the last is kept.

    Raises DomainError for a wrong shape, a NaN or infinity, or a row longer than `MAX_NORM`.
    """
    wanted, rows = checked_keys(keys), np.ascontiguousarray(vectors, dtype=np.float32)
    if rows.shape != (len(wanted), dim):
        raise DomainError(f"{len(wanted)} keys need vectors of shape ({len(wanted)}, {dim}); got {rows.shape}.")
    norms = row_norms(rows)
    if not np.all(norms <= MAX_NORM):  # False for NaN, too
        worst = int(np.flatnonzero(~(norms <= MAX_NORM))[0])
        raise DomainError(
            f"Vector {worst}, key {wanted[worst]}, is not finite or longer than {MAX_NORM:g}; embed it anew."
        )
    last = {int(key): row for row, key in enumerate(wanted)}
    if len(last) == len(wanted):
        return wanted, rows
    kept = np.array(sorted(last.values()), dtype=np.int64)
    return wanted[kept], rows[kept]


def checked_query(vector: FloatArray, dim: int) -> FloatArray:
    """A query, shape (dim,), float32. Raises DomainError as `checked_rows` does."""
    query = np.ascontiguousarray(vector, dtype=np.float32)
    if query.shape != (dim,):
        raise DomainError(f"The index holds vectors of {dim} dimensions; the query has the shape {query.shape}.")
    if not float(np.linalg.norm(query.astype(np.float64))) <= MAX_NORM:
        raise DomainError(f"The query vector is not finite or longer than {MAX_NORM:g}; embed the question anew.")
    return query


def row_norms(rows: FloatArray) -> ScoreArray:
    """Euclidean length of each row, shape (N,), in float64 and without a float64 copy of the rows."""
    norms: ScoreArray = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    return norms


def inner_products(rows: FloatArray, query: FloatArray) -> ScoreArray:
    """The score of each row, shape (N,): exact to about 1e-15, and equal for equal rows wherever they stand.

    A BLAS product would be faster but sums differently at the edge of a block, so equal rows could get unequal scores.
    """
    wide = query.astype(np.float64)
    scores: ScoreArray = (rows.astype(np.float64) * wide).sum(axis=1)
    return scores


def best_hits(keys: KeyArray, scores: ScoreArray, k: int) -> list[Hit]:
    """The `k` best, best first, ties by ascending key."""
    order = np.lexsort((keys, -scores))[:k]
    return [Hit(int(keys[at]), float(scores[at])) for at in order]
