"""Which questions may judge, what is asked without its answer, and what the thresholds did with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from benchmarks import held_out
from benchmarks.abstention import (
    SetPairs,
    equal_width_error,
    kept,
    losses,
    realised,
    report,
    separation,
    target_line,
)
from benchmarks.abstention_pairs import Asker, Pair
from context.selection_policy import SelectionPolicy
from domain.calibration import ScoreMap
from domain.documents import document_id
from domain.search import DEFAULT_TENANT
from service.bootstrap import build_parts
from service.calibration.observed import Observed
from service.engine import Engine
from service.labelled_questions import LabelledQuestion
from service.settings import EncoderSettings, Settings
from service.training.split import split_clusters

POLICY = SelectionPolicy(mass_per_token=0.002, abstain_below=0.5)


def observed(scores: list[float], gold: list[bool] | None = None) -> Observed:
    marked = np.array(gold or [False] * len(scores), dtype=bool)
    values = np.array(scores)
    question = LabelledQuestion("q", "Who?", ("Ada",), "d")
    tokens = np.full(len(scores), 12)  # with the label 20: a sentence is worth sending from 4 % of the mass on
    return Observed(question, "en", values, tokens, marked, np.flatnonzero(marked), max(scores, default=None), None)


def pair(present: list[float], gold: list[bool], absent: list[float], cluster: str = "d") -> Pair:
    without = observed(absent)
    return Pair(replace(observed(present, gold), best_elsewhere=without.best), without, cluster)


def test_nothing_of_a_list_is_sent_whose_best_sentence_is_too_weak() -> None:
    assert kept(observed([0.4, 0.3]), POLICY).tolist() == [False, False]
    assert kept(observed([0.6, 0.3, 0.1]), POLICY).tolist() == [True, True, False]  # odds 1.5, .43, .11 of 3.04
    assert kept(observed([0.95, 0.3]), POLICY).tolist() == [True, False]  # .43 of 20.4
    assert kept(observed([]), POLICY).tolist() == []


def test_lost_evidence_is_what_is_not_sent_of_what_was_found() -> None:
    pairs = [
        pair([0.8, 0.3, 0.1], [False, True, True], [0.1], "one"),  # one of two needed sentences is sent
        pair([0.4], [True], [0.1], "two"),  # turned away
        pair([0.9], [False], [0.1], "three"),  # its evidence was not retrieved: it does not count
    ]
    assert losses(pairs, POLICY) == ([0.5, 1.0], ["one", "two"])


def test_separation_compares_found_evidence_with_lists_that_have_none() -> None:
    pairs = [
        pair([0.9], [True], [0.4], "one"),
        pair([0.4], [True], [0.1], "two"),
        pair([0.99], [False], [0.0], "three"),  # not found: only its empty list counts
    ]
    found = separation(pairs)  # .9 beats .4, .1 and 0; .4 ties with .4 and beats the other two: 5.5 of 6
    assert found is not None and found.mean == pytest.approx(5.5 / 6)
    assert found.low <= found.mean <= found.high
    assert separation([pair([0.9], [False], [0.1])]) is None


def test_error_over_bins_of_equal_width_by_hand() -> None:
    chances, labels = np.array([1.0, 0.95, 0.5, 0.01]), np.array([True, False, True, False])
    # the top bin expects 1.95 and sees 1, the middle one .5 and 1, the lowest .01 and 0
    assert equal_width_error(chances, labels) == pytest.approx((0.95 + 0.5 + 0.01) / 4)


def test_both_lists_of_a_question_go_through_the_map_with_their_own_best() -> None:
    halving = {"en": ScoreMap(slope=0.5, intercept=0.0, distance=-1.0)}
    mapped = pair([0.9, 0.5], [True, False], [0.5, 0.1]).mapped(halving)
    assert mapped.present.best == pytest.approx(0.75)  # log-odds 2.197 halved
    assert mapped.absent.best == pytest.approx(0.5)  # at the top of its own list
    assert mapped.present.scores[1] < 0.5  # below a better one in the other
    assert mapped.present.best_elsewhere == pytest.approx(mapped.absent.best)


def sample(count: int, seed: int) -> list[Pair]:
    rng = np.random.default_rng(seed)
    return [
        pair(
            [float(rng.uniform(0.5, 0.99)), 0.2, 0.05], [True, False, False], [0.3, float(rng.uniform(0, 0.5))], f"{at}"
        )
        for at in range(count)
    ]


def test_thresholds_of_one_half_keep_their_promise_on_the_other() -> None:
    found = realised(sample(300, 0), sample(300, 1), POLICY)
    for target, lost in zip((0.02, 0.05, 0.10), found, strict=True):
        assert lost is not None and len(lost[0]) == 300
        assert np.mean(lost[0]) <= target + 0.02


def test_too_few_questions_promise_nothing() -> None:
    found = realised(sample(25, 0), sample(25, 1), POLICY)
    assert found[0] is None and found[1] is not None
    assert target_line("small", found).startswith("| small | too few questions | 0.")


def test_the_report_has_a_line_for_each_set_and_for_all() -> None:
    one = SetPairs(sample(60, 0), sample(60, 1), sample(60, 1), POLICY)
    text = report({"a": one, "b": one})
    first, second = text.split("\n\n")
    assert [line.split(" | ")[0] for line in first.splitlines()[2:]] == ["| a", "| b", "| all"]
    assert [line.split(" | ")[0] for line in second.splitlines()[2:]] == [
        "| a",
        "| b",
        "| all, each its own fit",
        "| all, one fit",
    ]
    # of each empty list .3 is above the threshold, and the best one is below that for abstaining: nothing is sent
    assert (
        "| a | 60 | 1.000 [1.000, 1.000] | 1.000 [1.000, 1.000] | 0.000 [0.000, 0.000] | 1.000 [1.000, 1.000] |"
        in first
    )


# --- asking ---


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Ada answers; Bede says the same in other words; Cuthbert does not know her."""
    folder = tmp_path_factory.mktemp("asked")
    texts = {
        "ada": "The keeper of the lighthouse is Ada Moran. She lights the lamp at dusk.",
        "bede": "The keeper of the harbour was born at sea. Ada Moran taught him.",
        "cuthbert": "The keeper of the lighthouse museum sells tickets. It opens at nine.",
    }
    corpus = folder / "corpus.jsonl"
    corpus.write_bytes(
        b"\n".join(orjson.dumps({"id": name, "title": name, "text": text}) for name, text in texts.items())
    )
    encoder = EncoderSettings(models_dir=folder / "models", model="hashing")
    parts = build_parts(Settings(data_dir=folder / "data", encoder=encoder))
    question = LabelledQuestion(
        "q", "Who is the keeper of the lighthouse?", ("Ada Moran",), "ada", texts["ada"].index("Ada")
    )
    with Engine(parts) as engine:
        engine.ingest([corpus])
        return Asker(parts, parts.reranker, "set").ask(question)


def test_a_list_without_an_answer_holds_neither_the_document_nor_the_words(asked: Pair) -> None:
    assert len(asked.present.scores) == 6 and asked.present.gold.sum() == 1
    assert len(asked.absent.scores) == 2 and not asked.absent.gold.any() and not len(asked.absent.needed)


def test_the_best_of_that_list_is_the_score_elsewhere(asked: Pair) -> None:
    assert asked.present.best_elsewhere == asked.absent.best == asked.absent.scores.max()
    assert asked.found and asked.cluster == "set/document ada"


# --- held out ---

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize("name", ["nq", "covidqa", "drcd-zh"])
def test_both_halves_are_what_training_holds_out(name: str) -> None:
    documents = [f"{name}-{number}" for number in range(400)]
    halves = held_out.split_of(name, documents)
    ids = {one: f"document {document_id(DEFAULT_TENANT, name, one)}" for one in documents}
    split = split_clusters(ids.values(), 0)
    assert {ids[one] for one in halves.levelling} == split.levelling
    assert {ids[one] for one in halves.comparison} == split.comparison
    assert not halves.levelling & halves.comparison and halves.levelling and halves.comparison


def test_all_of_a_set_that_teaches_nothing_may_judge() -> None:
    documents = [str(number) for number in range(41)]
    halves = held_out.split_of(held_out.UNSEEN[0], documents)
    assert halves.levelling | halves.comparison == frozenset(documents)
    assert (len(halves.levelling), len(halves.comparison)) == (21, 20)


def test_the_halves_of_a_set_share_no_document_and_are_drawn_alike_each_time() -> None:
    one, again = held_out.load(DATA / "cmrc-zh", 3), held_out.load(DATA / "cmrc-zh", 3)
    assert one == again and 0 < len(one.comparison) <= 3
    assert not {item.document for item in one.levelling} & {item.document for item in one.comparison}
    whole = held_out.load(DATA / "cmrc-zh", 0)
    assert set(one.comparison) <= set(whole.comparison)
