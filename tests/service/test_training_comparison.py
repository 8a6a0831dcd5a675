"""Which weights are better, by figures worked out by hand."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from domain.training import CollectionGain, EvidenceQuality, Gain
from service.training.comparison import Marks, gains, overall, verdict


def marks(collection: str, *values: tuple[float, float, float]) -> Marks:
    """A question of its own document each."""
    return Marks(collection, [f"document {at}" for at in range(len(values))], list(values))


BEFORE = [marks("a", (1.0, 0.0, 0.5)), marks("b", (0.5, 0.5, 0.5), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))]
AFTER = [marks("a", (1.0, 1.0, 1.0)), marks("b", (0.5, 0.5, 0.8), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))]


def test_each_collection_shows_its_measures_and_the_gain_of_their_mean() -> None:
    first, second = gains(BEFORE, AFTER)
    assert (first.collection, first.questions, first.documents) == ("a", 1, 1)
    assert first.before == EvidenceQuality(1.0, 0.0, 0.5) and first.before.mean == 0.5
    assert first.gain == Gain(0.5, 0.5, 0.5)
    assert second.before.ndcg == pytest.approx(0.5) and second.after.recall_256 == pytest.approx(0.6)
    assert second.gain.mean == pytest.approx(0.1 / 3)
    assert second.gain.low == 0 and second.gain.high > second.gain.mean


def test_over_all_collections_each_has_the_same_weight() -> None:
    total = overall(BEFORE, AFTER)
    assert total.mean == pytest.approx((0.5 + 0.1 / 3) / 2)
    assert total.low < total.mean < total.high


def gain(mean: float, name: str = "c") -> CollectionGain:
    nothing = EvidenceQuality(0, 0, 0)
    return CollectionGain(name, 9, 3, nothing, nothing, Gain(mean, mean, mean))


@pytest.mark.parametrize(
    ("means", "better", "why"),
    [
        ([0.02, 0.0], True, r"\+1\.0 points on average over 2 collections"),
        ([0.05, -0.009], True, "better"),
        ([0.05, -0.011], False, r"-1\.1 on c1"),
        ([0.0], False, "not better on the held-out questions"),
        ([0.01, -0.01], False, "not better"),
        ([1e-9], True, "1 collection"),
    ],
)
def test_new_weights_must_be_better_on_average_and_harm_no_collection(
    means: list[float], better: bool, why: str
) -> None:
    decision, reason = verdict([gain(mean, f"c{at}") for at, mean in enumerate(means)])
    assert decision is better
    assert re.search(why, reason)


def test_a_loss_that_may_be_chance_does_not_count() -> None:
    sure = gain(-0.02, "sure")
    unsure = replace(sure, gain=Gain(-0.02, -0.05, 0.01))
    assert verdict([gain(0.05), unsure])[0] and not verdict([gain(0.05), sure])[0]
