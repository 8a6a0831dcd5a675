"""Documents that are held out: few, the same ones every time, and in two halves."""

from __future__ import annotations

import random

import pytest

from service.training.split import split_clusters


def names(count: int) -> list[str]:
    return [f"document d{number}" for number in range(count)]


def test_about_twenty_percent_are_held_out_in_two_halves_of_like_size() -> None:
    split = split_clusters(names(2000), seed=0)
    assert not split.levelling & split.comparison
    assert split.held_out == split.levelling | split.comparison <= set(names(2000))
    assert 340 < len(split.held_out) < 460
    assert 0.4 < len(split.levelling) / len(split.held_out) < 0.6


@pytest.mark.parametrize("seed", range(5))
def test_the_split_depends_on_the_names_and_the_seed_alone(seed: int) -> None:
    shuffled = names(100) * 2
    random.Random(seed).shuffle(shuffled)
    assert split_clusters(shuffled, seed) == split_clusters(names(100), seed)
    assert split_clusters(names(100), seed) != split_clusters(names(100), seed + 1)


def test_documents_that_come_later_change_no_earlier_choice() -> None:
    """Weights that an earlier run has trained are then compared on documents that they have not seen."""
    before, after = split_clusters(names(400), 0), split_clusters(names(500), 0)
    assert before.levelling < after.levelling and before.comparison < after.comparison


@pytest.mark.parametrize("seed", range(20))
def test_a_small_collection_still_has_a_few_in_each_half(seed: int) -> None:
    split = split_clusters(names(12), seed)
    assert len(split.held_out) == 6 and len(split.levelling) == len(split.comparison) == 3
    larger = split_clusters(names(40), seed)
    assert len(larger.levelling) >= 3 and len(larger.comparison) >= 3 and len(larger.held_out) == 16
    assert 20 <= len(split_clusters(names(80), seed).held_out) < 32


def test_of_very_few_none_is_held_out() -> None:
    assert split_clusters(names(11), 0).held_out == split_clusters([], 0).held_out == frozenset()
