"""The promises of VectorIndex."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path

import numpy as np

from domain.errors import DomainError
from domain.protocols import VectorIndex
from domain.search import FloatArray, Hit
from fovea.testing.checks import assert_raises, run_beside


class VectorIndexSuite:
    """Inherit and override `make_index`. `tolerance` is how far a score may lie from the exact inner product."""

    tolerance = 1e-5

    def make_index(self, dim: int) -> VectorIndex:
        """Give an empty index of `dim` dimensions."""
        raise NotImplementedError

    def test_an_empty_index_finds_nothing(self) -> None:
        index = self.make_index(4)
        assert (len(index), index.dim) == (0, 4)
        assert index.search(_axis(0), 3) == []

    def test_hits_are_best_first_with_inner_products_as_scores(self) -> None:
        index = self.make_index(2)
        index.add([7, 8, 9], np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32))
        hits = index.search(np.array([1, 0], dtype=np.float32), 3)
        assert [hit.key for hit in hits] == [7, 9, 8]
        np.testing.assert_allclose([hit.score for hit in hits], [1.0, 0.6, 0.0], atol=self.tolerance)

    def test_hits_equal_those_of_brute_force(self) -> None:
        rows = _unit_rows(300, 16, seed=1)
        keys = np.random.default_rng(2).permutation(10_000)[:300].tolist()
        index = self.make_index(16)
        index.add(keys, rows)
        for query in _unit_rows(10, 16, seed=3):
            self._assert_equal(index.search(query, 20), _brute_force(keys, rows, query, 20))

    def test_at_most_k_hits(self) -> None:
        index = self._filled(5)
        assert [len(index.search(_axis(0), k)) for k in (0, 1, 5, 9)] == [0, 1, 5, 5]

    def test_ties_are_ordered_by_key(self) -> None:
        index = self.make_index(4)
        keys = [2**62, 5, 900, 17, 3, 44]
        index.add(keys, np.tile(_axis(1), (6, 1)))
        assert [hit.key for hit in index.search(_axis(1), 4)] == [3, 5, 17, 44]

    def test_many_ties_at_the_last_place_are_ordered_by_key(self) -> None:
        index = self.make_index(4)
        keys = np.random.default_rng(4).permutation(2000).tolist()
        index.add(keys, np.tile(_axis(1), (2000, 1)))
        assert [hit.key for hit in index.search(_axis(1), 10)] == list(range(10))

    def test_adding_a_known_key_replaces_its_row(self) -> None:
        index = self._filled(4)
        index.add([2], _axis(0)[np.newaxis])
        assert len(index) == 4
        assert [hit.key for hit in index.search(_axis(0), 2)] == [0, 2]

    def test_of_equal_keys_in_one_call_the_last_counts(self) -> None:
        index = self.make_index(4)
        index.add([1, 1], np.stack([_axis(0), _axis(3)]))
        assert len(index) == 1
        assert index.search(_axis(3), 1)[0].score > 0.9

    def test_removed_keys_are_not_found_and_unknown_ones_ignored(self) -> None:
        index = self._filled(4)
        index.remove([1, 99])
        index.remove([])
        assert len(index) == 3
        assert sorted(hit.key for hit in index.search(_axis(1), 9)) == [0, 2, 3]

    def test_everything_can_be_removed_and_added_again(self) -> None:
        index = self._filled(4)
        index.remove(range(4))
        assert (len(index), index.search(_axis(0), 9)) == (0, [])
        index.add([2], _axis(2)[np.newaxis])
        assert [hit.key for hit in index.search(_axis(2), 9)] == [2]

    def test_adding_nothing_changes_nothing(self) -> None:
        index = self._filled(4)
        index.add([], np.empty((0, 4), dtype=np.float32))
        assert len(index) == 4

    def test_allowed_restricts_the_hits(self) -> None:
        index = self._filled(4)
        assert [hit.key for hit in index.search(_axis(0), 9, allowed=frozenset([3, 1, 99]))] == [1, 3]
        assert index.search(_axis(0), 9, allowed=[]) == []

    def test_allowed_of_any_size_equals_brute_force(self) -> None:
        rows, keys = _unit_rows(3000, 8, seed=5), list(range(3000))
        index = self.make_index(8)
        index.add(keys, rows)
        query = _unit_rows(1, 8, seed=6)[0]
        for share in (1000, 20, 2, 1):
            allowed = keys[::share]
            self._assert_equal(index.search(query, 15, allowed), _brute_force(keys, rows, query, 15, allowed))

    def test_the_whole_range_of_keys_is_kept(self) -> None:
        index = self.make_index(4)
        index.add([0, 2**63 - 1], np.stack([_axis(0), _axis(1)]))
        assert index.search(_axis(1), 1)[0].key == 2**63 - 1

    def test_bad_vectors_are_refused_and_change_nothing(self) -> None:
        index = self._filled(4)
        for value in (np.nan, np.inf):
            broken = np.stack([_axis(0), np.array([0, value, 0, 0], dtype=np.float32)])
            assert_raises(DomainError, partial(index.add, [0, 9], broken))
            assert_raises(DomainError, partial(index.search, broken[1], 1))
        assert_raises(DomainError, lambda: index.add([9], np.zeros((1, 5), dtype=np.float32)))
        assert_raises(DomainError, lambda: index.add([8, 9], np.zeros((1, 4), dtype=np.float32)))
        assert_raises(DomainError, lambda: index.search(np.zeros(5, dtype=np.float32), 1))
        assert [hit.key for hit in index.search(_axis(0), 9)] == [0, 1, 2, 3]

    def test_the_index_keeps_its_own_copy_of_the_rows(self) -> None:
        index, rows = self.make_index(4), _axis(0)[np.newaxis].copy()
        index.add([1], rows)
        rows[:] = 0
        assert index.search(_axis(0), 1)[0].score > 0.9

    def test_a_saved_index_loads_as_it_was(self, tmp_path: Path) -> None:
        index = self.make_index(8)
        index.add(range(500), _unit_rows(500, 8, seed=7))
        index.remove(range(0, 500, 3))
        index.save(tmp_path / "index")
        loaded = self.make_index(8)
        loaded.add([77_777], _unit_rows(1, 8, seed=8))
        loaded.load(tmp_path / "index")
        assert len(loaded) == len(index)
        for query in _unit_rows(5, 8, seed=9):
            assert loaded.search(query, 30) == index.search(query, 30)

    def test_a_loaded_index_can_be_written(self, tmp_path: Path) -> None:
        self._filled(4).save(tmp_path / "index")
        loaded = self.make_index(4)
        loaded.load(tmp_path / "index")
        loaded.remove([0])
        loaded.add([1, 10], np.stack([_axis(3), _axis(0)]))
        assert len(loaded) == 4
        assert loaded.search(_axis(0), 1)[0].key == 10

    def test_an_empty_index_can_be_saved(self, tmp_path: Path) -> None:
        self.make_index(4).save(tmp_path / "index")
        loaded = self._filled(4)
        loaded.load(tmp_path / "index")
        assert (len(loaded), loaded.search(_axis(0), 1)) == (0, [])

    def test_an_unreadable_file_raises_value_error_and_changes_nothing(self, tmp_path: Path) -> None:
        index, path = self._filled(4), tmp_path / "index"
        index.save(path)
        whole = path.read_bytes()
        for content in (b"", b"nonsense", whole[: len(whole) // 2], whole[:-1]):
            path.write_bytes(content)
            assert_raises(ValueError, lambda: index.load(path))
        assert_raises(ValueError, lambda: index.load(tmp_path / "missing"))
        assert [hit.key for hit in index.search(_axis(0), 9)] == [0, 1, 2, 3]

    def test_a_file_of_another_dimension_raises_value_error(self, tmp_path: Path) -> None:
        self._filled(4).save(tmp_path / "index")
        assert_raises(ValueError, lambda: self.make_index(5).load(tmp_path / "index"))

    def test_searches_during_writes_never_see_half_a_write(self) -> None:
        """Each write moves all keys to another axis: a search finds all of them on the one, or all on the other."""
        index, keys = self.make_index(4), list(range(64))
        states = [np.tile(_axis(axis), (64, 1)) for axis in (0, 1)]
        index.add(keys, states[0])

        def write() -> None:
            for turn in range(1, 60):
                index.add(keys, states[turn % 2])

        def read() -> None:
            hits = index.search(_axis(0), 64)
            assert [hit.key for hit in hits] == keys
            assert len({round(hit.score) for hit in hits}) == 1

        run_beside(write, read)

    def _filled(self, count: int) -> VectorIndex:
        """Keys 0 to `count`, 4 dimensions: the similarity to the first axis falls as the key rises."""
        index = self.make_index(4)
        angle = np.linspace(0, 1, count, dtype=np.float32)
        rows = np.stack([np.cos(angle), np.sin(angle), angle * 0, angle * 0], axis=1)
        index.add(range(count), rows)
        return index

    def _assert_equal(self, hits: list[Hit], expected: list[Hit]) -> None:
        assert [hit.key for hit in hits] == [hit.key for hit in expected]
        scores, exact = ([hit.score for hit in ranking] for ranking in (hits, expected))
        np.testing.assert_allclose(scores, exact, atol=self.tolerance)


def _axis(at: int) -> FloatArray:
    axis: FloatArray = np.eye(4, dtype=np.float32)[at]
    return axis


def _unit_rows(count: int, dim: int, seed: int) -> FloatArray:
    rows: FloatArray = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _brute_force(
    keys: list[int], rows: FloatArray, query: FloatArray, k: int, allowed: Collection[int] | None = None
) -> list[Hit]:
    scores = rows.astype(np.float64) @ query.astype(np.float64)
    inside = [
        Hit(key, float(score)) for key, score in zip(keys, scores, strict=True) if allowed is None or key in allowed
    ]
    return sorted(inside, key=lambda hit: (-hit.score, hit.key))[:k]
