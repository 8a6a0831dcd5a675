"""A linear map that keeps what tells tokens apart and drops the rest: centre, then the first principal axes.

The vectors of one encoder crowd in a narrow cone: for multilingual-e5-small the mean of all tokens has length 0.78,
so any two tokens look alike to a cosine. Subtracting that mean spreads them, and the directions of largest variance
then carry nearly all of what a dot product between question and text can see: 128 of 384 dimensions rank as well
as all of them, at a third of the bytes. PCA is fitted once per encoder, on any few thousand texts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.errors import DomainError
from domain.search import FloatArray

_EPSILON = 1e-12


def unit_rows(vectors: NDArray[np.floating[Any]]) -> FloatArray:
    """Scale each row to length 1; a zero row stays zero. Shape (T, D) in and out."""
    rows = np.asarray(vectors, dtype=np.float32)
    norms = np.sqrt(np.einsum("td,td->t", rows, rows))
    unit: FloatArray = rows / np.maximum(norms, _EPSILON)[:, None]
    return unit


@dataclass(frozen=True, slots=True)
class Projection:
    """`mean` (D,) and `matrix` (D, d) with orthonormal columns, both float32."""

    mean: FloatArray
    matrix: FloatArray

    def __post_init__(self) -> None:
        if self.mean.ndim != 1 or self.matrix.ndim != 2 or len(self.mean) != len(self.matrix):
            raise DomainError(
                f"A projection needs mean (D,) and matrix (D, d), not {self.mean.shape}, {self.matrix.shape}."
            )

    @property
    def width(self) -> int:
        """D, the width of the vectors that go in."""
        return int(self.matrix.shape[0])

    @property
    def dim(self) -> int:
        """d, the width of those that come out."""
        return int(self.matrix.shape[1])

    @property
    def digest(self) -> str:
        """Eight hex digits that change with any number of the projection."""
        return hashlib.sha256(self.mean.tobytes() + self.matrix.tobytes()).hexdigest()[:8]

    def apply(self, vectors: FloatArray) -> FloatArray:
        """Centre, project and rescale: (T, D) -> (T, d), unit rows. Raises DomainError for another width."""
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise DomainError(
                f"The projection takes rows of width {self.width}, got an array of shape {vectors.shape}."
            )
        return unit_rows((vectors - self.mean) @ self.matrix)


def fit_projection(vectors: FloatArray, dim: int) -> Projection:
    """Find the `dim` directions in which token vectors differ most (PCA). `vectors` has shape (N, D), N >= 2.

    Each axis points to where its largest entry is positive, which makes the result independent of the solver's
    choice of sign. A few ten thousand tokens of mixed text are plenty; the cost is one D x D eigenproblem.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2 or not 1 <= dim <= rows.shape[1]:
        raise DomainError(f"Cannot fit {dim} axes to an array of shape {rows.shape}; it needs 2 rows and dim <= width.")
    mean = rows.mean(axis=0)
    centred = rows - mean
    _, axes = np.linalg.eigh(centred.T @ centred)  # ascending eigenvalues
    axes = axes[:, ::-1][:, :dim]
    peaks = axes[np.abs(axes).argmax(axis=0), np.arange(dim)]
    axes = axes * np.where(peaks < 0, -1.0, 1.0)
    return Projection(mean.astype(np.float32), np.ascontiguousarray(axes, dtype=np.float32))
