"""Maps, thresholds and verdicts on made-up scores, small enough to be counted by hand or large enough to be sure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_core.calibration import Interval
from context.selection_policy import SelectionPolicy
from domain.calibration import Calibration, ScoreMap, ScoringIdentity, ScoringQuality, Thresholds
from domain.errors import UsageError
from domain.search import ScoredChunk
from fovea.testing import PassThroughReranker, make_candidate, make_query
from retrieval.embedders.tokenizer import WordTokenCounter
from service.calibration.calibrator import _attention_helps, _verdict
from service.calibration.fit import (
    cross_mapped,
    evidence_loss,
    fit_maps,
    fit_thresholds,
    loss_interval,
    negatives,
    score_quality,
)
from service.calibration.observed import Observed, observe, split_by_document
from service.calibration.promise import warnings
from service.calibration.side_by_side import Measured, discounted_gain
from service.labelled_questions import LabelledQuestion
from service.scoring import Scoring, chances

BARE = ScoringQuality(0.0, 0.0, 0.0)
COUNTER = WordTokenCounter()
TOKENS = 12  # of every sentence here; with its share of a label 20


def observed(scores, gold=(), elsewhere=None, answerable=True, language="en", identity="q"):
    """One question whose sentences have these scores, those at the places `gold` being needed."""
    values = np.array(scores, dtype=float)
    marks = np.isin(np.arange(len(values)), gold)
    question = LabelledQuestion(identity, "?", ("a",) if answerable else ())
    best = float(values.max()) if len(values) else None
    tokens = np.full(len(values), TOKENS)
    return Observed(question, language, values, tokens, marks, np.flatnonzero(marks), best, elsewhere)


def simulated(n, seed, language="en"):
    """Questions of 20 sentences, one of them gold, its score drawn higher than the others'."""
    random = np.random.default_rng(seed)
    made = []
    for at in range(n):
        scores = random.beta(1, 6, 20)
        scores[0] = random.beta(5, 2)
        made.append(observed(scores, [0], float(random.beta(2, 5)), language=language, identity=f"q{at}"))
    return made


# -- maps ------------------------------------------------------------------------------------------------------------


def test_each_language_gets_a_map_of_its_own_with_steps_from_200_questions_on():
    maps = fit_maps([*simulated(200, 1), *simulated(199, 2, "zh"), observed([0.5, 0.2], language="fr")])
    assert set(maps) == {"en", "zh"}  # no gold sentence, no map
    assert len(maps["en"].knots) > 2
    assert maps["zh"].knots == ()


def test_unanswerable_questions_do_not_count_towards_the_steps():
    plenty = [*simulated(150, 1), *(observed([0.4, 0.1], answerable=False) for _ in range(100))]
    assert fit_maps(plenty)["en"].knots == ()


def test_mapped_scores_are_chances_on_questions_they_were_not_fitted_on():
    maps = fit_maps(simulated(400, 3))
    before = simulated(400, 4)
    after = [one.mapped(maps) for one in before]
    raw, mapped = (score_quality(BARE, half, Thresholds(0, 0)) for half in (before, after))
    assert mapped.log_loss < raw.log_loss
    assert mapped.ece < 0.01 < raw.ece
    assert mapped.best_ece < 0.06 < raw.best_ece


def test_a_question_of_a_language_without_a_map_stays_as_it_is():
    one = simulated(1, 5, "zh")[0]
    assert one.mapped({"en": ScoreMap(1, 0)}) is one


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.lists(st.integers(0, 100).map(lambda n: n / 100), min_size=2, max_size=12, unique=True),
    st.floats(0.001, 3),
    st.floats(-3, 0),
    st.floats(-4, 4),
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 20)), max_size=5),
)
def test_every_map_keeps_the_order_of_a_question_strictly(scores, slope, distance, intercept, steps):
    places, values = np.cumsum([step[0] for step in steps]), np.cumsum([step[1] for step in steps])
    knots = tuple((float(at) / 250, float(value) / 100) for at, value in zip(places, values, strict=True))
    ordered = sorted(scores)
    mapped = chances(ordered, ordered[-1], ScoreMap(slope, intercept, distance, knots))
    assert (np.diff(mapped) > 0).all() or max(abs(slope), abs(distance)) * 14 + abs(intercept) > 25
    assert mapped.min() >= 0 and mapped.max() <= 1


def test_a_line_of_slope_one_changes_nothing():
    np.testing.assert_allclose(chances([0.1, 0.5, 0.9], 0.9, ScoreMap(1, 0)), [0.1, 0.5, 0.9])
    # Log-odds of .5 and .9 are 0 and ln 9: at distance -sqrt(ln 9) the lower one loses ln 9 and comes to .1.
    np.testing.assert_allclose(chances([0.5, 0.9], 0.9, ScoreMap(1, 0, -np.sqrt(np.log(9)))), [0.1, 0.9])


# -- thresholds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [0.02, 0.05, 0.1])
def test_thresholds_keep_their_target_on_other_questions(target):
    thresholds = fit_thresholds(simulated(500, 6), target)
    loss = evidence_loss(simulated(2000, 7), thresholds)
    assert target - 0.03 < loss < target + 0.02


def test_a_question_is_mapped_as_if_its_own_labels_were_unknown():
    several = simulated(260, 9)
    turned = [replace(several[0], gold=~several[0].gold), *several[1:]]
    np.testing.assert_array_equal(cross_mapped(several)[0].scores, cross_mapped(turned)[0].scores)
    assert (several[0].mapped(fit_maps(several)).scores != several[0].mapped(fit_maps(turned)).scores).any()


def test_questions_about_one_document_are_not_parted():
    about = [replace(one.question, document=f"doc {at // 20}") for at, one in enumerate(simulated(60, 10))]
    several = [replace(one, question=question) for one, question in zip(simulated(60, 10), about, strict=True)]
    turned = [replace(one, gold=~one.gold) if at < 20 else one for at, one in enumerate(several)]
    for before, after in zip(cross_mapped(several)[:20], cross_mapped(turned)[:20], strict=True):
        np.testing.assert_array_equal(before.scores, after.scores)
    alone = several[:20]
    np.testing.assert_array_equal(cross_mapped(alone)[3].scores, alone[3].mapped(fit_maps(alone)).scores)


def test_steps_are_fitted_on_folds_where_the_whole_has_steps():
    several = simulated(200, 11)
    stepped, line = cross_mapped(several)[0].scores, several[0].mapped(fit_maps(several, 10_000)).scores
    assert len(set(np.round(stepped, 2))) < len(set(np.round(line, 2)))  # steps put neighbours together


def test_best_scores_are_compared_on_the_map_that_is_used():
    several = simulated(60, 13)
    maps = fit_maps(several)
    for one, crossed in zip(several, cross_mapped(several), strict=True):
        used = one.mapped(maps)
        assert (crossed.best, crossed.best_elsewhere) == (used.best, used.best_elsewhere)


def test_thresholds_picked_on_the_scores_of_their_own_maps_promise_too_much():
    new = simulated(3000, 12)
    own, crossed = [], []
    for seed in range(20, 32):
        several = simulated(220, seed)
        maps = fit_maps(several)
        for losses, mapped in ((own, [one.mapped(maps) for one in several]), (crossed, cross_mapped(several))):
            losses.append(evidence_loss([one.mapped(maps) for one in new], fit_thresholds(mapped, 0.05)))
    assert np.mean(crossed) < np.mean(own)
    assert np.mean(crossed) < 0.055


def test_too_few_questions_give_no_thresholds():
    assert fit_thresholds(simulated(18, 8), 0.05) is None
    assert fit_thresholds(simulated(19, 8), 0.05) is not None


def test_abstention_lies_between_the_two_kinds_of_questions_where_they_part():
    apart = [observed([0.8 + at / 1000, 0.1], [0], 0.3) for at in range(100)]
    thresholds = fit_thresholds(apart, 0.05)
    assert 0.3 < thresholds.abstain_below <= 0.804  # four of a hundred lie below: (4 + 1) / 101 is the target
    assert score_quality(BARE, apart, thresholds).abstention == 1


def test_the_smallest_set_still_turns_away_what_lies_below_all_answerable_questions():
    thresholds = fit_thresholds([observed([0.6, 0.1], [1], 0.3) for _ in range(19)], 0.05)
    assert thresholds.abstain_below == 0.6
    # Odds of .1 are 1/9, of .6 they are 1.5, of the null 1.
    assert thresholds.mass_per_token == pytest.approx((1 / 9) / (1 / 9 + 1.5 + 1) / (TOKENS + 8))


def test_abstention_takes_a_twentieth_of_what_the_target_allows_to_lose():
    # Unanswerable questions score higher than half of the answerable ones: parting them would cost half of these.
    mixed = [observed([at / 1000, 0.0], [0], 0.5) for at in range(1, 1001)]
    thresholds = fit_thresholds(mixed, 0.1)
    # Of 1,000 questions 1,001 * .1 - 1 = 99.1 may be lost whole, a twentieth of which are 4.955: the four weakest.
    assert thresholds.abstain_below == 5 / 1000
    assert sum(one.best < thresholds.abstain_below for one in mixed) == 4
    assert evidence_loss(mixed, thresholds) <= 0.1


def test_without_unanswerable_questions_only_weak_sentences_are_left_out():
    thresholds = fit_thresholds([observed([0.01, 0.9], [0]) for _ in range(50)], 0.05)
    assert thresholds.abstain_below == 0
    assert thresholds.mass_per_token == pytest.approx((1 / 99) / (1 / 99 + 9 + 1) / (TOKENS + 8))


def test_where_the_best_sentence_is_always_the_evidence_it_is_sent_alone():
    certain = [observed([0.9, 0.8], [0], 0.3) for _ in range(50)]
    thresholds = fit_thresholds(certain, 0.05)
    assert thresholds.mass_per_token == 1.0
    assert evidence_loss(certain, thresholds) == 0


def test_labelled_unanswerable_questions_stand_for_themselves_once_there_are_twenty():
    made = [observed([0.9], [0], 0.2) for _ in range(3)]
    few, many = ([observed([0.4], answerable=False)] * n for n in (19, 20))
    assert negatives([*made, *few]) == [0.4] * 19 + [0.2] * 3
    assert negatives([*made, *many]) == [0.4] * 20


def test_evidence_loss_counts_what_either_threshold_gives_up():
    half = [
        observed([0.9, 0.4], [0, 1]),  # masses of 9 / 10.67 and .67 / 10.67
        observed([0.2, 0.1], [0]),
        observed([0.8], [0]),
        observed([0.9]),  # nothing was retrieved: not counted
    ]
    second = 0.0625 / (TOKENS + 8)
    assert evidence_loss(half, Thresholds(1.01 * second, 0.5)) == pytest.approx((0.5 + 1 + 0) / 3)
    assert evidence_loss(half, Thresholds(0.99 * second, 0.3)) == pytest.approx(1 / 3)
    assert evidence_loss(half, Thresholds(1.0, 0.0)) == pytest.approx(0.5 / 3)  # the best one has no price
    assert evidence_loss([observed([0.9])], Thresholds(0, 0)) is None


def test_the_interval_of_a_loss_is_drawn_over_documents():
    thresholds = Thresholds(0.0, 0.5)

    def asked(best, place):
        one = observed([best], [0])
        return replace(one, question=replace(one.question, document=f"d{place}"))

    lost, found = asked(0.1, 1), asked(0.9, 2)  # ten of each, all about two documents: both, one or none is drawn
    assert loss_interval([lost, found] * 10, thresholds) == (0.5, 0.0, 1.0)
    apart = [asked(0.1 if place % 2 else 0.9, place) for place in range(20)]
    mean, low, high = loss_interval(apart, thresholds)
    assert mean == 0.5 and 0.2 < low < 0.4 and 0.6 < high < 0.8
    none = loss_interval([asked(0.9, place) for place in range(36)], thresholds)
    assert none == pytest.approx((0.0, 0.0, 0.0974), abs=1e-4)  # 1 - 0.025 ** (1 / 36)
    assert loss_interval([observed([])], thresholds) is None


# -- observing and splitting -----------------------------------------------------------------------------------------


def test_a_question_is_observed_with_and_without_its_document():
    candidates = [make_candidate("Rome fell.", "It rose.", source="gold"), make_candidate("Not so.", source="other")]
    question = LabelledQuestion("q", "What fell?", ("It rose",), "gold")
    seen = observe(question, make_query, lambda query: candidates, PassThroughReranker(), COUNTER)
    assert seen.scores.tolist() == [1, 1, 0.5]
    assert seen.gold.tolist() == [False, True, False]
    assert seen.tokens.tolist() == [3, 3, 3]
    assert (seen.needed.tolist(), seen.best, seen.best_elsewhere, seen.language) == ([1], 1, 0.5, "en")
    nothing = observe(question, make_query, lambda query: [], PassThroughReranker(), COUNTER)
    assert (len(nothing.scores), nothing.best, nothing.best_elsewhere) == (0, None, None)
    unanswerable = replace(question, answers=())
    assert (
        observe(unanswerable, make_query, lambda query: candidates, PassThroughReranker(), COUNTER).best_elsewhere
        is None
    )


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30), st.randoms())
def test_the_halves_share_no_document_and_do_not_depend_on_the_order(rows, random):
    questions = [
        LabelledQuestion(str(at), "?", ("a",) if answerable else (), f"d{document}")
        for at, (document, answerable) in enumerate(rows)
    ]
    if len({one.document for one in questions}) == 1:
        with pytest.raises(UsageError, match="one document"):
            split_by_document(questions, 0)
        return
    halves = split_by_document(questions, 0)
    assert not {one.document for one in halves[0]} & {one.document for one in halves[1]}
    assert sorted(one.id for half in halves for one in half) == sorted(one.id for one in questions)
    assert all(halves)
    shuffled = random.sample(questions, len(questions))
    assert split_by_document(shuffled, 0) == halves


def test_halves_are_about_equal():
    halves = split_by_document([LabelledQuestion(str(at), "?", ("a",), f"d{at // 3}") for at in range(300)], 0)
    assert abs(len(halves[0]) - len(halves[1])) <= 3


@pytest.mark.parametrize("seed", range(10))
def test_a_document_with_half_of_the_questions_is_a_half_whatever_the_seed(seed):
    """Dealt last it would join the half of the others: 45 questions against 15."""
    questions = [LabelledQuestion(str(at), "?", ("a",), "many" if at < 30 else f"d{at}") for at in range(60)]
    halves = split_by_document(questions, seed)
    assert [len(half) for half in halves] == [30, 30]
    assert {"many"} in [{one.document for one in half} for half in halves]


def test_the_seed_decides_which_of_the_documents_of_one_size_fit_and_which_check():
    questions = [LabelledQuestion(str(at), "?", ("a",), f"d{at // 3}") for at in range(60)]
    assert split_by_document(questions, 0) != split_by_document(questions, 1)


# -- verdicts --------------------------------------------------------------------------------------------------------


def measured(gain, recall):
    builder = object()
    return Measured(
        Scoring(PassThroughReranker(), builder, SelectionPolicy()),
        [str(at) for at in range(len(gain))],
        gain,
        recall,
        [100] * len(gain),
    )


@pytest.mark.parametrize(
    ("gain", "recall", "helps"),
    [
        (0.80, 0.80, True),
        (0.796, 0.80, True),  # within half a point
        (0.79, 0.80, False),
        (0.79, 0.79, False),
        (0.60, 0.81, True),  # a worse order, but more of the evidence is sent
    ],
)
def test_attention_goes_off_where_it_ranks_worse_and_sends_no_more_of_the_evidence(gain, recall, helps):
    fused = measured([0.8] * 20, [0.8] * 20)
    verdict, reason = _attention_helps(measured([gain] * 20, [recall] * 20), fused)
    assert verdict is helps
    assert f"nDCG@10 {gain:.3f} against 0.800" in reason and "20 held-out questions" in reason


QUALITY = ScoringQuality(0.9, 0.9, 200.0, evidence_loss=0.04, log_loss=0.02)
STORED = Calibration(
    ScoringIdentity("e", "c", "r"),
    True,
    "",
    Thresholds(0.1, 0.1),
    0.05,
    {},
    QUALITY,
    ScoringQuality(0.8, 0.8, 300.0),
    (50, 50),
    "2026-01-01T00:00:00+00:00",
)


@pytest.mark.parametrize(
    ("loss", "log_loss", "replaces"),
    [
        (0.04, 0.019, True),
        (0.05, 0.019, True),  # still within the target
        (0.04, 0.02, False),
        (0.06, 0.019, False),  # above the target, where the stored one is not
        (0.01, 0.03, False),
    ],
)
def test_a_new_calibration_must_be_better_on_the_held_out_questions(loss, log_loss, replaces):
    new = replace(STORED, attention=replace(QUALITY, evidence_loss=loss, log_loss=log_loss))
    assert _verdict(STORED, QUALITY, new)[0] is replaces


def test_what_the_stored_one_cannot_say_is_always_replaced():
    same = (QUALITY, STORED)
    assert _verdict(None, *same)[0]
    assert _verdict(replace(STORED, target=0.1), *same)[0]
    assert _verdict(replace(STORED, uses_attention=False), *same)[0]
    off = replace(STORED, uses_attention=False)
    assert not _verdict(off, QUALITY, off)[0]


@pytest.mark.parametrize(
    ("usable", "loss", "said"),
    [
        (79, (0.1, 0.02, 0.2), []),  # 1 / 80 is a quarter of 5 %
        (79, (0.1, 0.05, 0.2), []),
        (78, (0.0, 0.0, 0.04), ["78 questions to fit on are too few to promise a loss of 5 %"]),
        (200, (0.1, 0.0501, 0.2), ["lost 10 % of the evidence of the held-out questions (95 % interval 5 % to 20 %)"]),
        (
            33,
            (0.118, 0.06, 0.2),
            ["lost 11.8 %", "it may be 7.9 %, and more on some. Label about 158 questions in all"],
        ),
    ],
)
def test_thresholds_that_promise_little_or_broke_their_promise_are_warned_of(usable, loss, said):
    found = warnings(STORED, usable, Interval(*loss))
    assert len(found) == len(said)
    assert all(words in sentence for words, sentence in zip(said, found, strict=True))
    assert warnings(replace(STORED, uses_attention=False), usable, Interval(*loss)) == ()


@pytest.mark.parametrize(
    ("gold", "gain"),
    [
        ([True, False], 1.0),
        ([False, True], 1 / np.log2(3)),
        ([True, False, True], (1 + 0.5) / (1 + 1 / np.log2(3))),
        ([False] * 10 + [True], 0.0),
        ([False, False], 0.0),
        ([], 0.0),
    ],
)
def test_discounted_gain_by_hand(gold, gain):
    assert discounted_gain(gold) == pytest.approx(gain)


def test_a_reranker_that_scores_chunks_only_is_mapped_through_its_chunk_scores():
    class Chunks:
        name = "chunks"

        def rerank(self, query, candidates):
            return [ScoredChunk(one.stored, 0.5, (), {}) for one in candidates]

    scoring = Scoring(Chunks(), object(), SelectionPolicy(), {"en": ScoreMap(1, np.log(3))})
    (found,) = scoring.rerank(make_query("What?"), [make_candidate("Rome fell.", "It rose.")])
    assert [item.score for item in found.sentences] == pytest.approx([0.75, 0.75])
    assert found.score == 0.5
