import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import DomainError
from domain.search import Hit
from retrieval.vector import segments
from retrieval.vector.exact import ExactVectorIndex
from retrieval.vector.faiss_index import FaissVectorIndex

_DIM = 4
# Components of -1, 0 and 1 give many exact ties, which random floats never would.
_COARSE = st.lists(st.integers(-1, 1), min_size=_DIM, max_size=_DIM)
_KEYS = st.integers(0, 60)


def unit_rows(count, dim, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


_ADD = st.tuples(st.just("add"), st.lists(st.tuples(_KEYS, _COARSE), max_size=25))
_REMOVE = st.tuples(st.just("remove"), st.sets(_KEYS, max_size=30))
_SEARCH = st.tuples(st.just("search"), st.tuples(_COARSE, st.integers(0, 70), st.none() | st.sets(_KEYS)))
_RELOAD = st.tuples(st.just("reload"), st.none())


def apply(index, operation, value, path):
    """Run one step on an index; the answer of a search, and the index to go on with."""
    if operation == "add":
        index.add([key for key, _ in value], np.array([row for _, row in value], dtype=np.float32).reshape(-1, _DIM))
    elif operation == "remove":
        index.remove(value)
    elif operation == "search":
        row, k, allowed = value
        return index.search(np.array(row, dtype=np.float32), k, allowed)
    else:
        index.save(path)
        index.load(path)
    return len(index)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(_ADD, _REMOVE, _SEARCH, _RELOAD), max_size=25), st.integers(1, 12))
def test_any_sequence_of_operations_gives_what_brute_force_gives(tmp_path_factory, operations, segment_rows):
    folder = tmp_path_factory.mktemp("indexes")
    exact, fast = ExactVectorIndex(_DIM), FaissVectorIndex(_DIM, segment_rows=segment_rows)
    for operation, value in [*operations, ("search", ([1, 0, 1, -1], 70, None))]:
        expected = apply(exact, operation, value, folder / "exact")
        assert apply(fast, operation, value, folder / "fast") == expected


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 80), st.sampled_from([None, 2, 5, 40]))
def test_large_segments_searched_by_faiss_give_what_brute_force_gives(seed, k, share):
    """Enough rows a segment that FAISS nominates; rows repeat, so ties cross the k-th place."""
    rows = unit_rows(2500, 8, seed)[np.random.default_rng(seed).integers(0, 900, 2500)]
    keys = np.random.default_rng(seed + 1).permutation(5000)[:2500].tolist()
    exact, fast = ExactVectorIndex(8), FaissVectorIndex(8, segment_rows=1000)
    for index in (exact, fast):
        index.add(keys, rows)
        index.remove(keys[::7])
    allowed = None if share is None else set(keys[::share])
    query = unit_rows(1, 8, seed + 2)[0]
    assert fast.search(query, k, allowed) == exact.search(query, k, allowed)


def test_faiss_is_asked_and_not_only_the_fallback(monkeypatch):
    calls = []
    plain = segments.Segment.nominate_all
    monkeypatch.setattr(segments.Segment, "nominate_all", lambda *given: calls.append(given) or plain(*given))
    index = FaissVectorIndex(16, segment_rows=1000)
    index.add(range(2000), unit_rows(2000, 16))
    found = [one for one in index._content.segments if one.index is not None]
    nominees = found[0].nominate(unit_rows(1, 16, 5)[0], 20, None)
    assert (len(nominees.rows), nominees.complete) == (20, False)
    index.search(unit_rows(1, 16, 5)[0], 10)
    assert calls == []  # no ties: FAISS's nominees were enough


def test_ties_beyond_what_faiss_nominates_are_ordered_by_key():
    index = FaissVectorIndex(4, segment_rows=1000)
    keys = list(range(3000, 0, -1))
    index.add(keys, np.tile(np.eye(4, dtype=np.float32)[2], (3000, 1)))
    assert [hit.key for hit in index.search(np.eye(4, dtype=np.float32)[2], 50)] == list(range(1, 51))


def test_vectors_need_not_be_of_unit_length():
    rows = unit_rows(3000, 8, 1) * np.geomspace(1e-6, 1e6, 3000, dtype=np.float32)[:, np.newaxis]
    exact, fast = ExactVectorIndex(8), FaissVectorIndex(8, segment_rows=1000)
    for index in (exact, fast):
        index.add(range(3000), rows)
    for query in unit_rows(5, 8, 2) * 1e3:
        assert fast.search(query, 40) == exact.search(query, 40)


def test_a_segment_with_more_dead_rows_than_living_ones_is_dissolved():
    index = FaissVectorIndex(8, segment_rows=100)
    index.add(range(1000), unit_rows(1000, 8))
    index.remove([key for key in range(1000) if key % 10])
    held = sum(len(one) for one in index._content.segments)
    assert len(index) == 100
    assert held <= 2 * 100 + 100  # twice the living rows, and one tail
    assert sorted(hit.key for hit in index.search(unit_rows(1, 8, 3)[0], 1000)) == list(range(0, 1000, 10))


def test_replacing_the_same_rows_for_ever_does_not_grow_the_index():
    index, rows = FaissVectorIndex(8, segment_rows=50), unit_rows(120, 8)
    for _ in range(40):
        index.add(range(120), rows)
    assert len(index) == 120
    assert sum(len(one) for one in index._content.segments) <= 2 * 120 + 50


def test_a_search_keeps_its_state_while_the_rows_under_it_are_replaced():
    index = FaissVectorIndex(8, segment_rows=64)
    index.add(range(200), unit_rows(200, 8, 1))
    before, query = index._content, unit_rows(1, 8, 9)[0]
    hits = index.search(query, 200)
    copies = [(one.keys.copy(), one.rows.copy(), one.alive.copy()) for one in before.segments]
    for seed in range(5):
        index.add(range(0, 200, 2), unit_rows(100, 8, 10 + seed))
        index.remove(range(1, 200, 7))
    assert index.search(query, 200) != hits
    for one, (keys, rows, alive) in zip(before.segments, copies, strict=True):
        assert (one.keys == keys).all() and (one.rows == rows).all() and (one.alive == alive).all()


def test_writers_in_several_threads_lose_nothing():
    index, rows = FaissVectorIndex(8, segment_rows=64), unit_rows(4000, 8)

    def write(start):
        for at in range(start, start + 1000, 20):
            index.add(range(at, at + 20), rows[at : at + 20])

    threads = [threading.Thread(target=write, args=(start,)) for start in range(0, 4000, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(index) == 4000
    assert sorted(hit.key for hit in index.search(rows[0], 4000)) == list(range(4000))


def test_a_closed_index_still_answers_on_the_callers_thread():
    index = FaissVectorIndex(8, threads=2, segment_rows=16)
    index.add(range(200), unit_rows(200, 8))
    hits = index.search(unit_rows(1, 8, 2)[0], 10)
    index.close()
    index.close()
    assert index.search(unit_rows(1, 8, 2)[0], 10) == hits


@pytest.mark.parametrize("key", [2**63, -(2**63) - 1, "seven", None])
def test_a_key_that_is_no_int64_is_refused(key):
    with pytest.raises(DomainError, match="64 bits"):
        FaissVectorIndex(2).add([key], np.ones((1, 2), dtype=np.float32))


def test_scores_do_not_depend_on_where_a_row_stands():
    row = unit_rows(1, 37, 4)
    index = FaissVectorIndex(37, segment_rows=900)
    index.add(range(2500), np.tile(row, (2500, 1)))
    hits = index.search(unit_rows(1, 37, 6)[0], 3)
    assert hits == [Hit(key, hits[0].score) for key in range(3)]
