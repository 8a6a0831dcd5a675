"""Rare words weigh more; without terms all tokens weigh the same. And words stand in where vectors are missing."""

from __future__ import annotations

import numpy as np
import pytest

from attention_core.overlap import question_terms, term_hits
from attention_core.question import token_weights, total_idf
from domain.documents import Span
from domain.search import Query, QueryTerm


def at(*spans: tuple[int, int]) -> np.ndarray:
    return np.array(spans, dtype=np.int32).reshape(-1, 2)


def hits(question: str, *texts: str, terms: tuple[QueryTerm, ...] = ()) -> list[list[float]]:
    query = Query(question, np.zeros(1, np.float32), terms=terms)
    found: list[list[float]] = term_hits(question, question_terms(query), list(texts)).tolist()
    return found


def test_a_token_takes_the_rarest_term_it_overlaps() -> None:
    bigrams = [
        QueryTerm(Span(0, 2), "故宫", 3.0),
        QueryTerm(Span(1, 3), "宫在", 1.0),
        QueryTerm(Span(2, 4), "在哪", 1.0),
    ]
    weights = token_weights(at((0, 2), (2, 3), (3, 4)), bigrams)
    assert weights.tolist() == pytest.approx([0.6, 0.2, 0.2])


def test_a_token_whose_offsets_begin_with_the_blank_still_meets_its_word() -> None:
    weights = token_weights(at((0, 2), (2, 7)), [QueryTerm(Span(0, 2), "at", 1.0), QueryTerm(Span(3, 7), "rome", 3.0)])
    assert weights.tolist() == pytest.approx([0.25, 0.75])


def test_punctuation_weighs_little() -> None:
    weights = token_weights(at((0, 4), (4, 5)), [QueryTerm(Span(0, 4), "rome", 2.0)])
    assert weights[0] > 10 * weights[1] > 0
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("terms", [[], [QueryTerm(Span(0, 4), "rome", 0.0)]])
def test_without_idf_all_tokens_weigh_the_same(terms: list[QueryTerm]) -> None:
    assert token_weights(at((0, 4), (4, 5)), terms).tolist() == [0.5, 0.5]


def test_no_tokens_have_no_weights_and_repeated_terms_count_twice() -> None:
    assert token_weights(at(), []).shape == (0,)
    assert total_idf([QueryTerm(Span(0, 1), "a", 1.5), QueryTerm(Span(2, 3), "a", 1.5)]) == 3.0


def test_words_match_by_beginning_and_short_words_only_whole() -> None:
    assert hits("Transmit art", "it was transmitted", "the ART of", "an article") == [[1, 0], [0, 1], [0, 0]]


def test_the_stem_of_the_index_is_used_where_the_word_begins_with_it() -> None:
    stems = (QueryTerm(Span(0, 9), "infect", 1.0), QueryTerm(Span(10, 17), "studi", 1.0))
    assert hits("infection studies", "infected by studies", terms=stems) == [[1, 1]]


def test_chinese_matches_by_pairs_of_characters() -> None:
    assert hits("故宫在哪", "故宫位于北京", "在哪里") == [[1, 0, 0], [0, 0, 1]]


def test_a_question_without_words_matches_nothing() -> None:
    assert hits("?!", "text") == [[]]
