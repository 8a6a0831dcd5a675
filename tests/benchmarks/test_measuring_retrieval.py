"""What the retrieval benchmark counts as gold, and as an answer that was sent."""

from __future__ import annotations

import pytest

from benchmarks.retrieval import answered, by_score, is_gold
from domain.search import Candidate
from fovea.testing import make_candidate, make_query
from retrieval.embedders.tokenizer import WordTokenCounter
from service.labelled_questions import LabelledQuestion

FIRST = "The castle stands on a steep surface of rock above the old town."
SECOND = "The bridge was opened in 1939 by the mayor of the city."
SOURCE = "warsaw.txt"
YEAR = f"{FIRST} {SECOND}".index("1939")


def candidate() -> Candidate:
    return make_candidate(FIRST, SECOND, source=SOURCE)


def about(answer: str, document: str = SOURCE, start: int | None = None) -> LabelledQuestion:
    return LabelledQuestion("q", "When was the bridge opened?", (answer,), document, start)


@pytest.mark.parametrize(
    ("question", "gold"),
    [
        (about("1939"), True),
        (about("1939", document="other.txt"), False),
        (about("face"), False),  # "surface" holds no such word
        (about("1939", start=YEAR), True),
        (about("1939", start=YEAR + 100), False),
    ],
)
def test_a_gold_chunk_holds_the_labelled_start_or_else_the_answer_as_whole_words(question, gold) -> None:
    assert is_gold(question, by_score([candidate()], "dense")[0]) is gold


@pytest.mark.parametrize(
    ("question", "budget", "found"),
    [
        (about("1939", start=YEAR), 200, True),
        (about("1939"), 200, True),
        (about("face"), 200, False),
        (about("1939"), 4, False),  # nothing fits
    ],
)
def test_a_question_is_answered_when_all_of_its_evidence_fits_the_budget(question, budget, found) -> None:
    query = make_query(question.question)
    assert answered(question, query, by_score([candidate()], "dense"), budget, WordTokenCounter()) is found
