"""Maps and thresholds: hand-computed values, oracles, and the promises that they keep on simulated data."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_core.calibration import (
    IsotonicMap,
    auroc,
    expected_calibration_error,
    fit_platt,
    fit_relative,
    fit_temperature,
    log_loss,
    logistic,
    logit,
    paired_difference,
    questions_needed,
    relative_chances,
    risk_controlled_threshold,
)
from domain.errors import DomainError

CHANCES = st.floats(0, 1, allow_nan=False)
LABELLED = st.lists(st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), min_size=1, max_size=40)


# -- logistic --------------------------------------------------------------------------------------------------------


def test_log_odds_of_three_quarters_are_the_logarithm_of_three():
    np.testing.assert_allclose(logit([0.5, 0.75, 0.25]), [0, math.log(3), -math.log(3)], atol=1e-12)
    np.testing.assert_allclose(logistic(logit([0.1, 0.9])), [0.1, 0.9])
    assert np.isfinite(logit([0.0, 1.0])).all()


def test_platt_recovers_the_line_that_made_the_labels():
    random = np.random.default_rng(1)
    logits = random.normal(0, 2, 40_000)
    labels = random.random(40_000) < logistic(0.5 * logits - 1.5)
    slope, intercept = fit_platt(logits, labels)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert intercept == pytest.approx(-1.5, abs=0.05)


def test_platt_of_one_score_gives_the_smoothed_share_of_positives():
    slope, intercept = fit_platt([0.0, 0.0, 0.0, 0.0], [1, 0, 0, 0])
    # Targets 2/3 for the positive and 1/5 for each of three negatives: their mean is 0.31667.
    assert float(logistic(intercept)) == pytest.approx((2 / 3 + 3 / 5) / 4, abs=1e-6)
    assert slope > 0


def test_platt_stays_finite_where_a_threshold_separates_the_labels():
    slope, intercept = fit_platt([-2, -1, 1, 2], [0, 0, 1, 1])
    assert 0 < slope < 10
    assert intercept == pytest.approx(0, abs=1e-6)


def test_a_map_never_turns_the_order_round():
    slope, intercept = fit_platt([1, 2, 3, 4] * 25, [1, 1, 0, 0] * 25)
    assert slope == 1e-3
    np.testing.assert_allclose(logistic(intercept + slope * 2.5), 0.5, atol=0.01)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_says_how_much_too_sure_the_scores_are(temperature):
    random = np.random.default_rng(2)
    truth = random.normal(0, 1.5, 60_000)
    labels = random.random(60_000) < logistic(truth)
    assert fit_temperature(temperature * truth, labels) == pytest.approx(temperature, rel=0.04)


@pytest.mark.parametrize("fit", [fit_platt, fit_temperature, IsotonicMap.fit, log_loss, expected_calibration_error])
@pytest.mark.parametrize(("scores", "labels"), [([], []), ([0.5], [1, 0]), ([[0.5]], [[1]])])
def test_what_cannot_be_paired_is_refused(fit, scores, labels):
    with pytest.raises(DomainError, match="equal length"):
        fit(scores, labels)


# -- isotonic --------------------------------------------------------------------------------------------------------


def test_neighbours_in_the_wrong_order_are_pooled_into_their_mean():
    # 3 > 1 pools to 2; 2, 2 and 5 stand in order.
    fit = IsotonicMap.fit([1, 2, 3, 4], [3, 1, 2, 5])
    assert fit.knots == ((1, 2), (3, 2), (4, 5))
    np.testing.assert_allclose(fit.apply([0, 1, 2.5, 3, 3.5, 4, 9]), [2, 2, 2, 2, 3.5, 5, 5])


def test_a_pool_that_falls_below_its_left_neighbour_goes_on_pooling():
    # 0.9, 0.8 pool to 0.85; 0.1 pulls the three to 0.6; the first 0.2 stays below.
    assert IsotonicMap.fit([1, 2, 3, 4], [0.2, 0.9, 0.8, 0.1]).knots == (
        (1, 0.2),
        (2, pytest.approx(0.6)),
        (4, pytest.approx(0.6)),
    )


def test_weights_count_as_repetitions():
    weighted = IsotonicMap.fit([1, 2, 3], [1, 0, 1], [3, 1, 2])
    repeated = IsotonicMap.fit([1, 1, 1, 2, 3, 3], [1, 1, 1, 0, 1, 1])
    assert weighted.knots == repeated.knots == ((1, 0.75), (2, 0.75), (3, 1))


def test_equal_scores_are_one_place_with_their_mean_label():
    assert IsotonicMap.fit([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0]).knots == ((0.5, 0.25),)
    assert IsotonicMap.fit([0.2, 0.2, 0.7], [1, 0, 1]).knots == ((0.2, 0.5), (0.7, 1))


def test_constant_labels_give_a_level_map():
    assert IsotonicMap.fit([0.1, 0.5, 0.9], [0, 0, 0]).knots == ((0.1, 0), (0.9, 0))


@pytest.mark.parametrize("weights", [[1, 0], [1, -1]])
def test_weights_that_are_not_above_zero_are_refused(weights):
    with pytest.raises(DomainError, match="above 0"):
        IsotonicMap.fit([1, 2], [0, 1], weights)


@pytest.mark.parametrize("knots", [(), ((1.0, 0.0), (1.0, 1.0)), ((1.0, 0.5), (2.0, 0.4))])
def test_knots_that_are_no_map_are_refused(knots):
    with pytest.raises(DomainError, match="ascending"):
        IsotonicMap(knots)


def by_minimax(scores, labels):
    """The isotonic fit by its closed form: the largest, over starts, of the least mean up to any end."""
    order = sorted(set(scores))
    groups = [[label for score, label in zip(scores, labels, strict=True) if score == place] for place in order]

    def mean(first, last):
        return float(np.mean(list(itertools.chain(*groups[first : last + 1]))))

    return [
        max(min(mean(first, last) for last in range(at, len(order))) for first in range(at + 1))
        for at in range(len(order))
    ]


@settings(deadline=None)  # a busy machine is no failure
@given(LABELLED)
def test_pooling_equals_the_minimax_formula_and_is_monotone(pairs):
    scores, labels = zip(*pairs, strict=True)
    fit = IsotonicMap.fit(scores, labels)
    np.testing.assert_allclose(fit.apply(sorted(set(scores))), by_minimax(scores, labels), atol=1e-12)
    grid = fit.apply(np.linspace(-1, 2, 301))
    assert (np.diff(grid) >= 0).all()
    assert grid.min() >= 0 and grid.max() <= 1


@settings(deadline=None)  # a busy machine is no failure
@given(LABELLED)
def test_an_isotonic_fit_has_no_error_left_on_its_own_data(pairs):
    scores, labels = zip(*pairs, strict=True)
    chances = IsotonicMap.fit(scores, labels).apply(scores)
    for value in set(chances.tolist()):  # in each block the mean label is the chance itself
        block = [label for chance, label in zip(chances, labels, strict=True) if chance == value]
        assert np.mean(block) == pytest.approx(value)


# -- how good chances are --------------------------------------------------------------------------------------------


def test_calibration_error_is_the_mean_gap_of_equal_bins():
    # Two bins of two: |.15 - 0| and |.85 - .5|, each with half of the mass.
    assert expected_calibration_error([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 0], bins=2) == pytest.approx((0.15 + 0.35) / 2)


def test_equal_chances_share_a_bin_whatever_their_order():
    chances = [0.25] * 8
    for labels in ([1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1]):
        assert expected_calibration_error(chances, labels, bins=4) == pytest.approx(0.0)


def test_chances_that_are_frequencies_have_next_to_no_error_and_shifted_ones_have_the_shift():
    random = np.random.default_rng(3)
    chances = random.uniform(0.1, 0.7, 100_000)
    labels = random.random(100_000) < chances
    assert expected_calibration_error(chances, labels) < 0.01
    assert expected_calibration_error(chances + 0.2, labels) == pytest.approx(0.2, abs=0.01)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(CHANCES, st.booleans()), min_size=1, max_size=60), st.integers(1, 20))
def test_calibration_error_lies_between_the_overall_gap_and_one(pairs, bins):
    chances, labels = zip(*pairs, strict=True)
    error = expected_calibration_error(chances, labels, bins)
    assert abs(np.mean(chances) - np.mean(labels)) - 1e-9 <= error <= 1


def test_log_loss_is_the_mean_surprise():
    assert log_loss([0.5, 0.25], [1, 0]) == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    assert log_loss([0.0], [1]) == pytest.approx(math.log(1e6), rel=1e-3)


def test_auroc_counts_pairs_and_half_of_the_ties():
    assert auroc([3, 2], [1, 0]) == 1
    assert auroc([1, 1], [1, 1]) == 0.5
    assert auroc([0.9, 0.3], [0.5, 0.3, 0.1]) == pytest.approx((3 + 1.5) / 6)
    with pytest.raises(DomainError):
        auroc([], [1])


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.integers(0, 6), min_size=1, max_size=15), st.lists(st.integers(0, 6), min_size=1, max_size=15))
def test_auroc_equals_the_comparison_of_all_pairs(positive, negative):
    wins = [(left > right) + 0.5 * (left == right) for left in positive for right in negative]
    assert auroc(positive, negative) == pytest.approx(np.mean(wins))
    assert auroc(negative, positive) == pytest.approx(1 - np.mean(wins))


def test_the_difference_of_pairs_has_its_mean_and_an_interval_around_it():
    ours, theirs = [1.0, 0.0, 1.0, 1.0] * 20, [0.0, 0.0, 1.0, 0.0] * 20
    found = paired_difference(ours, theirs, [str(at) for at in range(80)])
    assert found.mean == 0.5
    assert found.low < 0.5 < found.high
    # 80 independent differences of standard deviation 1/2: 1.96 * .5 / sqrt(80) to either side.
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(80), rel=0.1)


def test_questions_that_share_a_document_widen_the_interval():
    ours, theirs = [1.0] * 40 + [0.0] * 40, [0.5] * 80
    apart = paired_difference(ours, theirs, [str(at) for at in range(80)])
    together = paired_difference(ours, theirs, [str(at // 20) for at in range(80)])
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_as_many_labels_as_values_are_wanted():
    with pytest.raises(DomainError, match="labels"):
        paired_difference([1, 2], [1, 2], ["a"])


# -- conformal risk control ------------------------------------------------------------------------------------------


def test_the_threshold_is_the_largest_that_keeps_the_bound():
    # 19 questions, scores .05 to .95, target .1: (lost + 1) / 20 <= .1 allows one loss, so t may be the second score.
    needed = [[at / 20] for at in range(1, 20)]
    assert risk_controlled_threshold(needed, 0.1) == pytest.approx(2 / 20)
    # Target .05 allows (0 + 1) / 20: nothing may be lost.
    assert risk_controlled_threshold(needed, 0.05) == pytest.approx(1 / 20)
    assert risk_controlled_threshold(needed[:18], 0.05) is None


def test_a_question_with_several_sentences_loses_a_share():
    # Ten questions: (lost + 1) / 11 <= .15 allows .65 of a question. The first loses halves at .1 and at .2.
    needed = [[0.1, 0.2], *([[0.9]] * 9)]
    assert risk_controlled_threshold(needed, 0.15) == pytest.approx(0.2)
    assert risk_controlled_threshold(needed, 0.19) == pytest.approx(0.9)


def test_questions_lost_anyway_use_up_the_target():
    needed = [[at / 40] for at in range(1, 40)]
    lost = [at < 2 for at in range(39)]
    # (lost + 1) / 40 <= .1 allows three losses; two are gone, so one more score may be passed.
    assert risk_controlled_threshold(needed, 0.1, lost) == pytest.approx(4 / 40)
    assert risk_controlled_threshold(needed, 0.1, [at < 4 for at in range(39)]) is None


@pytest.mark.parametrize(("target", "needed"), [(0.02, 49), (0.05, 19), (0.10, 9), (0.5, 1)])
def test_fewer_questions_than_one_over_the_target_promise_nothing(target, needed):
    assert questions_needed(target) == needed
    assert risk_controlled_threshold([[0.5]] * needed, target) == 0.5
    assert risk_controlled_threshold([[0.5]] * (needed - 1), target) is None


@pytest.mark.parametrize("target", [0, 1, -0.1, 5])
def test_a_target_that_is_no_share_is_refused(target):
    with pytest.raises(DomainError, match="between 0 and 1"):
        questions_needed(target)


def test_a_question_without_scores_is_refused():
    with pytest.raises(DomainError, match="leave out"):
        risk_controlled_threshold([[0.5]] * 20 + [[]], 0.05)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.lists(st.integers(0, 12).map(lambda n: n / 12), min_size=1, max_size=3), min_size=1, max_size=40))
def test_the_threshold_equals_the_search_over_all_scores(needed):
    n, target = len(needed), 0.2

    def bound(threshold):
        losses = [np.mean([score < threshold for score in scores]) for scores in needed]
        return (n * np.mean(losses) + 1) / (n + 1)

    kept = [score for scores in needed for score in scores if bound(score) <= target + 1e-12]
    assert risk_controlled_threshold(needed, target) == (max(kept) if n >= 4 else None)


@pytest.mark.parametrize("target", [0.05, 0.1])
def test_the_promise_holds_for_new_questions_of_the_same_kind(target):
    """Over many draws of 60 questions the mean loss on a fresh one stays at the target, and not far below it."""
    random = np.random.default_rng(4)
    losses = []
    for _ in range(3000):
        scores = random.beta(2, 2, (61, 2)) * random.random((61, 1))
        threshold = risk_controlled_threshold(list(scores[:60]), target)
        losses.append(np.mean(scores[60] < threshold))
    error = np.std(losses) / math.sqrt(len(losses))
    assert np.mean(losses) <= target + 3 * error
    assert np.mean(losses) >= target - 2 / 61 - 3 * error  # theorem 2: never more than 2 B / (n + 1) below


# -- scores that know the best one -----------------------------------------------------------------------------------


def test_the_relative_fit_recovers_both_lines_that_made_the_labels():
    random = np.random.default_rng(5)
    best = random.normal(1, 1.5, 40_000)
    logits = best - random.exponential(1.5, 40_000)
    labels = random.random(40_000) < logistic(0.4 * logits - 1.2 * np.sqrt(best - logits) - 0.5)
    slope, distance, intercept = fit_relative(logits, best, labels)
    assert (slope, distance, intercept) == pytest.approx((0.4, -1.2, -0.5), abs=0.06)


def test_where_the_distance_would_turn_the_order_round_it_is_left_out():
    logits, labels = np.array([0.0, 1.0, 2.0, 3.0] * 25), [1, 1, 0, 0] * 25
    slope, distance, intercept = fit_relative(logits, np.full(100, 3.0), labels)
    assert (slope, distance, intercept) == (1e-3, 0.0, fit_platt(logits, labels)[1])


def test_relative_chances_by_hand():
    # Log-odds 1 below a best of 5: 2 * 1 - 1 * sqrt(4) + ln 3 = ln 3, and the best one itself has 10 + ln 3.
    found = relative_chances([1.0, 5.0], 5.0, (2.0, -1.0, math.log(3)))
    np.testing.assert_allclose(found, [0.75, logistic(10 + math.log(3))])


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 5), st.booleans()), min_size=1, max_size=30))
def test_a_relative_fit_never_turns_the_order_of_a_question_round(rows):
    logits, gaps, labels = zip(*rows, strict=True)
    slope, distance, _ = fit_relative(logits, np.add(logits, gaps), labels)
    assert slope >= 1e-3 - 1e-12
    assert distance <= 0
