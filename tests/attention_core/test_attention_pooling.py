"""Segment reductions against loops over the segments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_core.pooling import neighbour_max, segment_logsumexp, segment_max, segment_softmax, segment_sum


@st.composite
def ragged(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Values (N, 2), ascending segment ids (N,), number of segments; some segments are empty."""
    sizes = draw(st.lists(st.integers(0, 4), min_size=1, max_size=6))
    segments = np.repeat(np.arange(len(sizes)), sizes)
    seed = draw(st.integers(0, 2**16))
    return np.random.default_rng(seed).normal(size=(len(segments), 2)), segments, len(sizes)


@settings(max_examples=60, deadline=None)
@given(ragged())
def test_reductions_equal_loops_and_fill_empty_segments(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    values, segments, n_segments = case
    largest = segment_max(values, segments, n_segments, empty=-7.0)
    total = segment_sum(values, segments, n_segments)
    soft = segment_logsumexp(values, segments, n_segments)
    for segment in range(n_segments):
        rows = values[segments == segment]
        np.testing.assert_allclose(largest[segment], rows.max(axis=0) if len(rows) else [-7.0, -7.0])
        np.testing.assert_allclose(total[segment], rows.sum(axis=0))
        expected = np.log(np.exp(rows).sum(axis=0)) if len(rows) else [-np.inf, -np.inf]
        np.testing.assert_allclose(soft[segment], expected)


@settings(max_examples=40, deadline=None)
@given(ragged(), st.data())
def test_two_steps_give_what_one_step_gives(case: tuple[np.ndarray, np.ndarray, int], data: st.DataObject) -> None:
    values, sentences, n_sentences = case
    chunk_of = np.sort(data.draw(st.lists(st.integers(0, 2), min_size=n_sentences, max_size=n_sentences)))
    for reduce in (segment_max, segment_logsumexp, segment_sum):
        direct = reduce(values, chunk_of[sentences], 3)
        by_sentence = reduce(reduce(values, sentences, n_sentences), chunk_of, 3)
        np.testing.assert_allclose(by_sentence, direct, atol=1e-12)


def test_logsumexp_of_large_values_stays_finite() -> None:
    soft = segment_logsumexp(np.array([1e4, 1e4, -np.inf]), np.array([0, 0, 1]), 2)
    assert soft.tolist() == [pytest.approx(1e4 + np.log(2)), -np.inf]


def test_softmax_weights_and_the_null_key_share_one_mass() -> None:
    logits = np.array([[np.log(2.0), -50.0], [np.log(5.0), -50.0]])
    weights = segment_softmax(logits, null=np.log(3.0))
    np.testing.assert_allclose(weights[:, 0], [0.2, 0.5])  # 2, 5 and the null key's 3 of 10
    assert weights[:, 1].sum() < 1e-20  # nothing fits: all the mass is the null key's
    assert segment_softmax(np.zeros((0, 4)), null=0.0).shape == (0, 4)


def test_neighbours_are_taken_inside_the_group_and_column_by_column() -> None:
    values = np.array([[1.0, 9.0], [2.0, 8.0], [3.0, 7.0], [4.0, 6.0]])
    found = neighbour_max(values, np.array([0, 0, 0, 1]))
    assert found.tolist() == [[2, 8], [3, 9], [2, 8], [-np.inf, -np.inf]]
