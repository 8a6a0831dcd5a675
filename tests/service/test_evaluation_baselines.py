"""Baselines: what each sends first, what it is charged, and what that holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attention_core.codec import QuantizedTokenCodec
from context.templates import WORDINGS
from domain.documents import Passage, Span
from domain.search import QueryTerm
from fovea.testing import make_candidate, make_query
from retrieval.embedders.hashing import HashingEncoder
from retrieval.embedders.tokenizer import WordTokenCounter
from retrieval.lexical.analyzer import Analyzer
from service.evaluation.baselines import (
    BM25Sentences,
    ChunkVectors,
    DenseTopK,
    LongContextReorder,
    MaximalMarginalRelevance,
    Piece,
    SentenceWindow,
)
from service.evaluation.counting import CachedCounter, LayoutCosts, SentenceCosts
from service.evaluation.walking import Charges, Labels, Walk, sent_spans, walk
from service.labelled_questions import LabelledQuestion, Reference

RIVER = ("The river rises in spring.", "It falls in autumn.", "Nobody swims.")
TOWER = ("The tower is old.", "A bell hangs in it.")
QUERY = make_query("Where does the bell hang?")


class Letters:
    """A token is a letter; what begins behind a full stop costs one more, as a seam may."""

    name = "letters"

    def __init__(self):
        self.asked = []

    def count(self, text):
        self.asked.append(text)
        return sum(map(str.isalpha, text)) + text.count(". ")


def bare(counter):
    """Charges of a layout that adds nothing."""
    sentences = SentenceCosts(counter)
    return Charges(lambda item: sentences.of(item.chunk), 0, lambda item: 0)


def candidate(sentences, dense, source):
    return make_candidate(*sentences, source=source, scores={"dense": dense, "fused": 0.03})


@pytest.fixture
def candidates():
    return [candidate(RIVER, 0.4, "river.txt"), candidate(TOWER, 0.9, "tower.txt")]


def labelled(source, text, answer):
    return LabelledQuestion("q", "?", (answer,), source, text.index(answer))


# -- what is sent first ----------------------------------------------------------------------------------------------


def test_dense_sends_whole_chunks_by_cosine(candidates):
    assert DenseTopK().pieces(QUERY, candidates) == [Piece(1, (0, 1)), Piece(0, (0, 1, 2))]


def test_reordering_sends_the_same_evidence(candidates):
    assert LongContextReorder().pieces(QUERY, candidates) == DenseTopK().pieces(QUERY, candidates)


def test_mmr_prefers_a_new_chunk_to_a_near_copy():
    """Cosines with the question are 1, .96 and .6, but the second is all but the first again (.96)."""
    rows = np.array([[1, 0], [0.96, 0.28], [0.6, -0.8]], dtype=np.float32)
    candidates = [candidate((f"Number {at}.",), 0.5, f"{at}.txt") for at in range(3)]
    keys = [item.chunk.key for item in candidates]
    mmr = MaximalMarginalRelevance(ChunkVectors([(keys[:1], rows[:1]), (keys[1:], rows[1:])], dim=2))
    query = make_query("?", np.array([1, 0], dtype=np.float32))
    # Second place: .5 * .96 - .5 * .96 = 0 for the copy, .5 * .6 - .5 * .6 = 0 for the other: the earlier one is taken.
    assert [piece.candidate for piece in mmr.pieces(query, candidates)] == [0, 1, 2]
    tilted = make_query("?", np.array([0.96, -0.28], dtype=np.float32))
    # Cosines .96, .843, .8: first 0; then 1 has .843 - .96 < 0 and 2 has .8 - .6 > 0.
    assert [piece.candidate for piece in mmr.pieces(tilted, candidates)] == [0, 2, 1]


def test_a_chunk_that_came_after_the_vectors_were_read_is_chosen_last():
    known, late = candidate(("Known.",), 0.1, "a.txt"), candidate(("Late.",), 0.9, "b.txt")
    vectors = ChunkVectors([([known.chunk.key], np.eye(4, dtype=np.float32)[:1])], dim=4)
    assert vectors.of([late.chunk, known.chunk]).tolist() == [[0, 0, 0, 0], [1, 0, 0, 0]]
    pieces = MaximalMarginalRelevance(vectors).pieces(QUERY, [late, known])
    assert [piece.candidate for piece in pieces] == [1, 0]


def test_a_window_has_one_neighbour_on_either_side():
    encoder, codec = HashingEncoder(), QuantizedTokenCodec()
    sentences = ("Red apples grow.", "Blue whales swim.", "Green forests burn.", "Yellow lemons rot.")
    found = candidate(sentences, 0.5, "a.txt")
    (encoding,) = encoder.encode_documents([Passage(found.chunk.text)])
    found = replace(found, stored=replace(found.stored, token_blob=codec.encode(encoding.tokens)))
    question = encoder.encode_query("Yellow lemons?")
    query = replace(QUERY, vector=question.vector, tokens=question.tokens)
    assert SentenceWindow(codec).pieces(query, [found])[0] == Piece(0, (2, 3))
    question = encoder.encode_query("blue whales")
    query = replace(QUERY, vector=question.vector, tokens=question.tokens)
    pieces = SentenceWindow(codec).pieces(query, [found])
    assert pieces[0] == Piece(0, (0, 1, 2)) and len(pieces) == 4


def test_windows_need_token_vectors(candidates):
    encoder = HashingEncoder()
    query = replace(QUERY, tokens=encoder.encode_query("bell").tokens)
    assert SentenceWindow(QuantizedTokenCodec()).pieces(query, candidates) == []
    assert SentenceWindow(QuantizedTokenCodec()).pieces(QUERY, candidates) == []


def test_bm25_sends_sentences_with_the_rarest_words_first(candidates):
    terms = (QueryTerm(Span(15, 19), "bell", 3.0), QueryTerm(Span(11, 14), "the", 0.1))
    found = BM25Sentences(Analyzer().index_terms).pieces(replace(QUERY, terms=terms), candidates)
    assert found[0] == Piece(1, (1,))  # the bell
    assert {(piece.candidate, piece.places) for piece in found[1:]} == {(0, (0,)), (1, (0,))}  # "the"; no more match


def test_bm25_scores_are_those_of_the_formula():
    """Two sentences of 2 and 4 terms, mean 3: the pivots are .25 + .75 * 2/3 = .75 and .25 + .75 * 4/3 = 1.25."""
    from collections import Counter

    from service.evaluation.baselines import _bm25

    scores = _bm25([Counter({"a": 1, "b": 1}), Counter({"a": 2, "c": 2})], {"a": 2.0})
    first, second = 2 * 1 * 2.2 / (1 + 1.2 * 0.75), 2 * 2 * 2.2 / (2 + 1.2 * 1.25)
    assert scores.tolist() == pytest.approx([first, second])


# -- what it costs and holds -----------------------------------------------------------------------------------------


def test_the_costs_of_sentences_sum_to_those_of_the_chunk(candidates):
    counter = Letters()
    costs = SentenceCosts(counter)
    own = costs.of(candidates[0].chunk)
    assert own == (21, 1 + 15, 1 + 11)  # a seam belongs to the sentence behind it
    assert sum(own) == counter.count(candidates[0].chunk.text)
    asked = len(counter.asked)
    assert costs.of(candidates[0].chunk) == own and len(counter.asked) == asked  # counted once


def test_a_chunk_without_sentences_is_one_sentence(candidates):
    whole = replace(
        candidates[0], stored=replace(candidates[0].stored, chunk=replace(candidates[0].chunk, sentences=()))
    )
    assert SentenceCosts(Letters()).of(whole.chunk) == (49,)
    assert DenseTopK().pieces(QUERY, [whole]) == [Piece(0, (0,))]


def test_a_counter_is_asked_once_for_a_text():
    letters = Letters()
    counter = CachedCounter(letters)
    assert [counter.count("ab"), counter.count("ab"), counter.name] == [2, 2, "letters"]
    assert letters.asked == ["ab"]


def test_recall_grows_where_the_gold_sentence_is_sent(candidates):
    question = labelled("river.txt", " ".join(RIVER), "autumn")
    labels = Labels(question, candidates)
    assert labels.gold == {(0, 1)}
    found = walk(DenseTopK().pieces(QUERY, candidates), labels, candidates, bare(Letters()))
    tower, before, until = 13 + 1 + 14, 21, 21 + 16
    assert found == Walk(
        steps=((tower + until, 1.0),),
        ends=((tower, 0.0), (tower + until + 12, 1.0)),
        sizes=(13, tower, tower + before, tower + until, tower + until + 12),
    )
    assert found.recall_at(tower + before) == 0 and found.recall_at(tower + until) == 1
    assert [found.tokens_at(budget) for budget in (12, 13, tower + 1, 999)] == [0, 13, tower, tower + until + 12]
    assert found.at_k(1) == (tower, 0.0) and found.at_k(50) == (tower + until + 12, 1.0)


def test_budgets_pay_for_the_layout_and_numbers_of_pieces_do_not(candidates):
    labels = Labels(labelled("river.txt", " ".join(RIVER), "autumn"), candidates)
    charges = Charges(bare(Letters()).sentences, 100, lambda item: 10)
    found = walk(DenseTopK().pieces(QUERY, candidates), labels, candidates, charges)
    assert found.steps == ((100 + 10 + 28 + 10 + 37, 1.0),)
    assert found.ends == ((28, 0.0), (28 + 49, 1.0))


def test_the_layout_costs_what_the_product_renders(candidates):
    counter, wording = WordTokenCounter(), WORDINGS["en"]
    layout = LayoutCosts(counter)
    assert layout.frame() == counter.count("<evidence ffffff>\n\n</evidence ffffff>")
    rendered = counter.count(f"[99] {candidates[0].document.title}\n{RIVER[0]}") + 1
    assert layout.label(candidates[0], wording) == rendered - counter.count(RIVER[0])


def test_what_is_sent_twice_is_charged_once(candidates):
    question = labelled("river.txt", " ".join(RIVER), "autumn")
    windows = [Piece(0, (0, 1)), Piece(0, (1, 2))]
    found = walk(windows, Labels(question, candidates), candidates, bare(Letters()))
    assert found.ends == ((37, 1.0), (49, 1.0))


def test_several_references_are_found_one_by_one(candidates):
    text = " ".join(RIVER)
    spans = [Span(text.index(part), text.index(part) + len(part)) for part in ("spring", "swims")]
    question = LabelledQuestion("q", "?", ("x",), references=tuple(Reference("river.txt", span) for span in spans))
    found = walk(DenseTopK().pieces(QUERY, candidates[:1]), Labels(question, candidates), candidates, bare(Letters()))
    assert found.steps == ((21, 0.5), (49, 1.0))


def test_nothing_sent_holds_nothing(candidates):
    found = walk([], Labels(labelled("river.txt", " ".join(RIVER), "autumn"), candidates), candidates, bare(Letters()))
    assert found.at_k(10) == (0, 0.0) and found.recall_at(10_000) == 0 and found.tokens_at(10_000) == 0


def test_a_walk_costs_what_the_product_counts(candidates):
    counter = WordTokenCounter()
    found = walk(
        DenseTopK().pieces(QUERY, candidates),
        Labels(labelled("river.txt", " ".join(RIVER), "autumn"), candidates),
        candidates,
        bare(counter),
    )
    assert found.at_k(2)[0] == sum(counter.count(item.chunk.text) for item in candidates)


def test_sent_spans_are_those_of_the_sentences_joined_over_blanks(candidates):
    river, tower = (item.document.id for item in candidates)
    assert sent_spans([Piece(1, (1,)), Piece(0, (0, 1))], candidates) == [(tower, Span(18, 37)), (river, Span(0, 46))]
