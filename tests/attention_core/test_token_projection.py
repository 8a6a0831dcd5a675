"""PCA against cases with a known answer, and the files it is shipped in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attention_core.projection import (
    WEIGHTS,
    Projection,
    fit_projection,
    load_projection,
    save_projection,
    shipped_dense_floor,
    shipped_projection,
    unit_rows,
)
from domain.errors import ConfigurationError, DomainError
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


def test_a_saved_projection_comes_back_to_half_precision(tmp_path: Path) -> None:
    projection, path = fit_projection(cloud(), 2), tmp_path / "weights" / "toy-2.safetensors"
    save_projection(projection, path, {"encoder": "toy"})
    back = load_projection(path)
    np.testing.assert_allclose(back.matrix, projection.matrix, atol=1e-3)
    assert shipped_projection("toy/fingerprint/torch", path.parent) is not None
    assert shipped_projection("toy-large", path.parent) is None
    assert shipped_dense_floor("toy", path.parent) is None
    assert shipped_dense_floor("multilingual-e5-small") == 0.75


@pytest.mark.parametrize("damage", ["weights", "manifest", "missing"])
def test_a_damaged_projection_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "toy.safetensors"
    save_projection(fit_projection(cloud(), 2), path, {"encoder": "toy"})
    if damage == "weights":
        path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    elif damage == "manifest":
        path.with_suffix(".json").write_text("{}")
    else:
        path.unlink()
    with pytest.raises(ConfigurationError, match="projection"):
        load_projection(path)


def test_every_shipped_projection_matches_its_manifest_and_is_described() -> None:
    files = sorted(WEIGHTS.glob("*.safetensors"))
    card = (WEIGHTS / "README.md").read_text(encoding="utf-8")
    assert files
    for path in files:
        projection = load_projection(path)
        np.testing.assert_allclose(projection.matrix.T @ projection.matrix, np.eye(projection.dim), atol=2e-3)
        assert path.name in card
