"""PCA against cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from attention_core.projection import Projection, fit_projection, unit_rows
from domain.errors import DomainError
from domain.search import FloatArray


def cloud(n: int = 500) -> FloatArray:
    """Points around (5, 0, 0, 0) that vary by 3 along the second axis, 1 along the fourth, .1 elsewhere."""
    spread = np.array([0.1, 3.0, 0.1, 1.0])
    rows: FloatArray = (np.array([5.0, 0, 0, 0]) + np.random.default_rng(0).normal(size=(n, 4)) * spread).astype("f4")
    return rows


def test_the_axes_are_those_of_largest_variance_in_order() -> None:
    projection = fit_projection(cloud(), 2)
    np.testing.assert_allclose(projection.mean, [5, 0, 0, 0], atol=0.4)
    np.testing.assert_allclose(projection.matrix.T, [[0, 1, 0, 0], [0, 0, 0, 1]], atol=0.05)


def test_axes_are_orthonormal_and_do_not_depend_on_the_order_of_rows() -> None:
    rows = cloud()
    projection, again = fit_projection(rows, 3), fit_projection(rows[::-1], 3)
    np.testing.assert_allclose(projection.matrix.T @ projection.matrix, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(projection.matrix, again.matrix, atol=1e-5)


def test_all_axes_keep_every_cosine_of_the_centred_vectors() -> None:
    rows = cloud(20)
    projection = fit_projection(rows, 4)
    centred = unit_rows(rows - rows.mean(axis=0))
    projected = projection.apply(rows)
    np.testing.assert_allclose(projected @ projected.T, centred @ centred.T, atol=1e-4)


def test_applying_centres_projects_and_rescales() -> None:
    projection = Projection(np.array([1.0, 0.0], np.float32), np.array([[0.0], [1.0]], np.float32))
    assert projection.apply(np.array([[1.0, -4.0], [9.0, 2.0], [3.0, 0.0]], np.float32)).tolist() == [[-1], [1], [0]]


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(DomainError, match="width 4"):
        fit_projection(cloud(), 2).apply(np.zeros((1, 3), np.float32))


@pytest.mark.parametrize(("rows", "dim"), [(1, 2), (10, 5), (10, 0)])
def test_fitting_more_axes_than_there_can_be_is_refused(rows: int, dim: int) -> None:
    with pytest.raises(DomainError, match="Cannot fit"):
        fit_projection(cloud(rows), dim)
