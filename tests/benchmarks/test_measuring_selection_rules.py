"""What a rule takes, what that costs and whether it is found, on lists small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.selection_rules import (
    LABEL,
    MASS_PER_TOKEN,
    RULES,
    Curve,
    Listed,
    cost,
    filled,
    found,
    found_at,
    report,
    swept,
    taken_by,
)
from service.calibration.observed import Observed
from service.labelled_questions import LabelledQuestion


def listed(scores: list[float], tokens: list[int], chunk: list[int], needed: list[int]) -> Listed:
    values, marks = np.array(scores), np.isin(np.arange(len(scores)), needed)
    question = LabelledQuestion("q", "Who?", ("Ada",), "d")
    seen = Observed(question, "en", values, np.array(tokens), marks, np.array(needed), max(scores), None)
    return Listed(seen, np.array(chunk))


ONE = listed([0.9, 0.5, 0.5], [10, 20, 8], [0, 0, 1], [1])


def test_a_label_is_paid_once_a_chunk() -> None:
    assert cost(ONE, np.array([True, True, False])) == 30 + LABEL
    assert cost(ONE, np.array([True, False, True])) == 18 + 2 * LABEL


def test_everything_that_is_needed_must_be_taken() -> None:
    assert found(ONE, np.array([False, True, False]))
    assert not found(ONE, np.array([True, False, True]))
    assert not found(listed([0.9], [10], [0], []), np.array([True]))  # it was not retrieved


def test_a_budget_is_filled_from_the_best_down() -> None:
    assert filled(ONE, 21).tolist() == [False, False, True]  # the first costs 22, the last 20
    assert filled(ONE, 22).tolist() == [True, False, False]
    assert filled(ONE, 42).tolist() == [True, True, False]


def test_the_best_sentence_is_always_taken_and_the_others_for_their_value() -> None:
    rule = RULES[MASS_PER_TOKEN]  # odds 9, 1, 1 and the null's 1: masses of 1/12; 28 and 16 tokens with their labels
    assert taken_by(rule, ONE, 1.0).tolist() == [True, False, False]
    assert taken_by(rule, ONE, 1 / 12 / 20).tolist() == [True, False, True]
    assert taken_by(rule, ONE, 1 / 12 / 30).tolist() == [True, True, True]


def test_one_limit_for_all_sets_is_read_between_its_points() -> None:
    cheap, dear = (
        Curve(np.array([10.0, 30.0]), np.array([0.5, 0.9])),
        Curve(np.array([30.0, 50.0]), np.array([0.3, 0.7])),
    )
    assert found_at([cheap, dear], 30) == pytest.approx(0.6)  # half way from 20 tokens and .4 to 40 and .8


def test_the_report_has_a_line_for_each_rule() -> None:
    many = [ONE, listed([0.8, 0.1], [9, 9], [0, 1], [0])] * 5
    assert swept(many, None).found[-1] == 1.0
    lines = report({"a": (many, many)}).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| fixed budget",
        *(f"| {name}" for name in RULES),
        "| calibrated, mass per token",
    ]
