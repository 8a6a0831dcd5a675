import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import DomainError
from retrieval.fusion import reciprocal_rank_fusion

RANKINGS = st.lists(st.lists(st.integers(0, 20), unique=True, max_size=12), max_size=4)


def test_scores_by_hand():
    fused = dict(reciprocal_rank_fusion([[7, 8, 9], [9, 7]]))
    assert fused == pytest.approx({7: 1 / 61 + 1 / 62, 8: 1 / 62, 9: 1 / 63 + 1 / 61})


def test_agreement_beats_a_single_first_place():
    assert [key for key, _ in reciprocal_rank_fusion([[1, 2], [3, 2]])] == [2, 1, 3]


def test_ties_keep_the_order_of_first_appearance():
    assert [key for key, _ in reciprocal_rank_fusion([[5, 4], [4, 5]])] == [5, 4]


def test_weights_of_zero_leave_the_score_at_zero():
    assert reciprocal_rank_fusion([[1], [2]], weights=[1.0, 0.0]) == [(1, 1 / 61), (2, 0.0)]


def test_an_item_that_a_ranking_repeats_counts_at_its_best_place():
    assert dict(reciprocal_rank_fusion([["a", "a", "b"]], k=0)) == {"a": 1.0, "b": 0.5}


def test_nothing_to_fuse_gives_nothing():
    assert reciprocal_rank_fusion([]) == reciprocal_rank_fusion([[], []]) == []


def test_a_weight_for_each_ranking_is_needed():
    with pytest.raises(DomainError, match="2 rankings need as many weights; got 1"):
        reciprocal_rank_fusion([[1], [2]], weights=[1.0])


@given(RANKINGS)
def test_every_item_appears_once_best_first(rankings):
    fused = reciprocal_rank_fusion(rankings)
    assert sorted(key for key, _ in fused) == sorted({key for ranking in rankings for key in ranking})
    assert [score for _, score in fused] == sorted((score for _, score in fused), reverse=True)


@given(st.lists(st.integers(0, 50), unique=True, max_size=20), st.integers(1, 4))
def test_equal_rankings_fuse_to_themselves(ranking, times):
    assert [key for key, _ in reciprocal_rank_fusion([ranking] * times)] == ranking


@given(RANKINGS, st.integers(0, 20))
def test_moving_an_item_to_the_top_of_a_ranking_never_lowers_its_score(rankings, key):
    before = dict(reciprocal_rank_fusion(rankings)).get(key, 0.0)
    raised = [[key, *(other for other in ranking if other != key)] for ranking in rankings[:1]] + rankings[1:]
    assert dict(reciprocal_rank_fusion(raised)).get(key, 0.0) >= before
