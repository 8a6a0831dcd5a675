"""Forged answers are never shown as verified, most honest ones are: two sides of one rule, measured together."""

from __future__ import annotations

from collections import Counter

import pytest

from context.citations import resolve_citations
from tests.context.attacks import ATTACKS, forged_answers, passing
from tests.context.paraphrases import FORMS, true_answers
from tests.context.true_sentences import cases, is_verified

SEEDS = (20, 21, 22, 23)
FORGED = {seed: forged_answers(seed, per_attack=26) for seed in SEEDS}
TRUE = true_answers(seed=20, per_form=60)
ALL = [forgery for found in FORGED.values() for forgery in found]


def test_there_are_thousands_of_forged_answers_of_every_kind_in_two_languages() -> None:
    kinds = Counter(name for name, _, _ in ALL)
    assert len({answer for _, _, answer in ALL}) >= 3_000
    assert min(kinds[name] for name in ATTACKS) >= len(SEEDS)
    assert min(Counter(case.language for _, case, _ in ALL).values()) >= 1_000


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_forged_answer_is_shown_as_verified(attack: str) -> None:
    assert [(seed, *forgery) for seed in SEEDS for forgery in passing(FORGED[seed], attack)] == []


def test_most_true_answers_are_shown_as_verified() -> None:
    """The price of strictness, over all forms, on the same evidence that the forgeries start from."""
    verified = Counter(name for name, case, answer in TRUE if is_verified(case, answer))
    asked = Counter(name for name, _, _ in TRUE)
    shares = {name: verified[name] / asked[name] for name in FORMS}
    assert len(TRUE) >= 500
    assert verified.total() / len(TRUE) >= 0.965, shares
    assert shares["verbatim"] == shares["with_the_mark_behind"] == shares["as_a_list_item"] == 1.0


def test_an_invented_mark_is_taken_out_and_counted() -> None:
    for name, case, answer in ALL:
        if name == "fake_marks":
            cited = resolve_citations(answer, case.evidence)
            assert (cited.removed_marks, cited.citations) == (1, ())
            assert cited.text == case.sentence


def test_whatever_an_answer_says_its_quotes_are_the_evidence_word_for_word() -> None:
    for _, case, answer in ALL[::20]:
        texts = {item.mark: item.text for item in case.evidence}
        for citation in resolve_citations(answer, case.evidence).citations:
            assert citation.span.of(texts[citation.mark]) == citation.quote


def test_the_cases_are_true_sentences_of_both_languages() -> None:
    assert all(case.sentence in case.own.text.split("\n") for case in cases())
    assert len(cases()) >= 300
