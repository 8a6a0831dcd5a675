"""Measures of an evaluation: hand-computed numbers, and oracles where there is one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attention_core.calibration import auroc, paired_difference
from domain.documents import Span
from domain.evaluation import Estimate, Limit
from service.evaluation.bootstrap import Bootstrap
from service.evaluation.measures import Overlap, recall_at, span_overlap, tokens_for_recall

NAN = float("nan")
SPANS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(1, 10)), max_size=6)


# -- curves ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "tokens"),
    [
        (0.0, 100),  # nothing is wanted: the smallest budget that was measured
        (0.2, 100),
        (0.4, 150),  # half of the way from .2 to .6
        (0.6, 200),
        (0.7, 300),  # the curve falls to .5 at 250, but what 200 tokens hold, 250 hold too: a third of .6 to .9
        (0.95, math.inf),
    ],
)
def test_the_tokens_for_a_recall_lie_on_the_line_between_two_budgets(wanted, tokens):
    assert tokens_for_recall([100, 200, 250, 400], [0.2, 0.6, 0.5, 0.9], wanted) == pytest.approx(tokens)


def test_the_recall_at_some_tokens_begins_at_nothing_and_ends_level():
    assert recall_at([100, 200], [0.5, 0.9], 0) == 0
    assert recall_at([100, 200], [0.5, 0.9], 175) == pytest.approx(0.8)
    assert recall_at([100, 200], [0.5, 0.9], 5_000) == 0.9
    assert recall_at([100, 90, 200], [0.5, 0.6, 0.9], 150) == pytest.approx(0.75)  # 90 are no fewer than 100


# -- spans -----------------------------------------------------------------------------------------------------------


def test_overlapping_spans_count_once():
    wanted = [("a", Span(0, 10)), ("a", Span(5, 20))]  # 20 characters
    sent = [("a", Span(10, 30)), ("a", Span(15, 40)), ("b", Span(0, 10))]  # 30 and 10
    assert span_overlap(wanted, sent) == Overlap(10 / 20, 10 / 40, 10 / 50)


def test_the_same_place_in_another_document_is_no_hit():
    assert span_overlap([("a", Span(0, 10))], [("b", Span(0, 10))]) == Overlap(0, 0, 0)


def test_sending_nothing_scores_nothing():
    assert span_overlap([("a", Span(0, 10))], []) == Overlap(0, 0, 0)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(SPANS, SPANS)
def test_overlap_equals_that_of_sets_of_characters(wanted, sent):
    gold, own = (
        {(name, at) for name, start, size in side for at in range(start, start + size)} for side in (wanted, sent)
    )
    sides = ([(name, Span(start, start + size)) for name, start, size in side] for side in (wanted, sent))
    shared = len(gold & own)
    expected = (
        shared / len(gold) if gold else 0,
        shared / len(own) if own else 0,
        shared / len(gold | own) if gold | own else 0,
    )
    assert span_overlap(*sides) == pytest.approx(expected)


# -- intervals -------------------------------------------------------------------------------------------------------


def test_a_mean_leaves_out_the_questions_that_a_column_is_not_about():
    means = Bootstrap(["a", "a", "b", "c"]).means({"x": [1.0, NAN, 2.0, NAN], "y": [1, 1, 1, 1]})
    assert means["x"].value == 1.5
    assert means["x"].low == 1 and means["x"].high == 2
    assert means["y"] == Estimate(1, 1, 1)


def test_the_interval_is_that_of_drawing_whole_documents():
    random = np.random.default_rng(3)
    clusters = [f"document {at // 4}" for at in range(80)]
    values = random.random(80) + np.repeat(random.random(20), 4)
    oracle = paired_difference(values, np.zeros(80), clusters)
    own = Bootstrap(clusters).means({"x": values})["x"]
    assert own.value == pytest.approx(oracle.mean)
    assert own.low == pytest.approx(oracle.low, abs=0.02) and own.high == pytest.approx(oracle.high, abs=0.02)


def test_ratios_are_paired():
    """Documents differ ten times in both columns, but their ratio is the same in every draw."""
    plain = np.array([100.0, 1000.0, 300.0, 50.0])
    means = Bootstrap(list("abcd")).means({"plain": plain, "ours": plain / 8})
    factor = means.of(lambda mean: mean["plain"] / mean["ours"])
    assert (factor.value, factor.low, factor.high) == pytest.approx((8, 8, 8))


def test_a_measure_that_is_not_reached_in_some_draws_has_an_open_interval():
    means = Bootstrap(list("abcd")).means({"x": [0, 1, 1, 1]})
    reached = means.of(lambda mean: 10.0 if mean["x"] > 0.3 else math.inf)
    assert reached.low == 10 and reached.high == math.inf
    assert reached.to_dict() == {"value": 10.0, "low": 10.0, "high": None}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, -math.inf]), st.booleans()), min_size=2, max_size=12))
def test_auroc_counts_pairs_with_ties_as_halves(rows):
    scores, positive = [score for score, _ in rows], np.array([flag for _, flag in rows])
    if positive.all() or not positive.any():
        return
    found = Bootstrap([str(at) for at in range(len(rows))]).auroc(scores, positive)
    finite = np.nan_to_num(np.array(scores), neginf=-9)
    assert found.value == pytest.approx(auroc(finite[positive], finite[~positive]))
    assert 0 <= found.low <= found.high <= 1


def test_the_same_questions_give_the_same_intervals():
    one, two = (Bootstrap(list("aabbcd")).means({"x": [1, 0, 0, 1, 1, 0]})["x"] for _ in range(2))
    assert one == two


# -- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "least", "met"), [(0.9, True, True), (0.89, True, False), (0.9, False, True), (0.91, False, False)]
)
def test_a_limit_may_be_touched_but_not_passed(value, least, met):
    assert Limit("x", 0.9, value, least).met is met
