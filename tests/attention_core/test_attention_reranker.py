"""The reranker on small candidates whose right order and evidence are known."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from subprocess import run

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_core.attention import scaled_dot_product_attention
from attention_core.codec import QuantizedTokenCodec
from attention_core.reranker import AttentionReranker
from attention_core.scorer import Forms, ScorerWeights
from domain.documents import Chunk, DocumentRef, Sentence, Span
from domain.errors import DomainError
from domain.protocols import Reranker
from domain.search import Candidate, Query, QueryTerm, ScoredChunk, StoredChunk, TokenVectors

CODEC = QuantizedTokenCodec()
WIDTH = 64


def vector_of(word: str) -> np.ndarray:
    """A direction of its own for each word: unrelated words are nearly orthogonal."""
    row = np.random.default_rng(list(word.encode())).normal(size=WIDTH).astype(np.float32)
    return row / np.linalg.norm(row)


def tokens_of(text: str) -> TokenVectors:
    words, offsets, position = text.split(), [], 0
    for word in words:
        position = text.index(word, position)
        offsets.append((position, position + len(word)))
        position += len(word)
    bare = [word.strip(".?").lower() for word in words]
    vectors = np.array([vector_of(word) for word in bare], np.float32).reshape(-1, WIDTH)
    ids = [int.from_bytes(word.encode()[:3], "big") for word in bare]
    return TokenVectors(vectors, np.array(ids, np.int32), np.array(offsets, np.int32).reshape(-1, 2))


def candidate(text: str, number: int = 0, start: int = 0, packed: bool = True, **scores: float) -> Candidate:
    """A chunk of the sentences of `text` (each ends with a full stop) at `start` of its document."""
    bounds, sentences = 0, []
    for ordinal, part in enumerate(text.removesuffix(".").split(". ")):
        sentences.append(Sentence(ordinal, Span(start + bounds, start + bounds + len(part) + 1)))
        bounds += len(part) + 2
    span = Span(start, start + len(text))
    chunk = Chunk(f"c{number}", number, "d", number, span, text, tuple(sentences))
    blob = CODEC.encode(tokens_of(text)) if packed else None
    return Candidate(StoredChunk(chunk, DocumentRef("d", "d", "d"), blob), {"fused": 0.1, **scores})


def question(text: str, idf: dict[str, float] | None = None) -> Query:
    terms = tuple(
        QueryTerm(Span(text.index(word), text.index(word) + len(word)), word.lower(), value)
        for word, value in (idf or {}).items()
    )
    return Query(text, vector_of("query"), tokens_of(text), terms)


def rerank(query: Query, *candidates: Candidate) -> list[ScoredChunk]:
    return AttentionReranker(CODEC).rerank(query, candidates)


GALLIUM = candidate("Metals melt. Gallium boils late. Iron rusts.", 1, start=40)
SUGAR = candidate("Sugar dissolves. Honey flows.", 2)
BOILING = candidate("Water boils. Tea cools.", 3)


def test_it_implements_the_seam() -> None:
    reranker: Reranker = AttentionReranker(CODEC)
    assert reranker.name == "attention"


def test_the_chunk_that_answers_comes_first_and_its_sentence_scores_highest() -> None:
    ranked = rerank(question("when gallium boils"), SUGAR, BOILING, GALLIUM)
    assert [one.chunk.id for one in ranked] == ["c1", "c3", "c2"]
    every = [(item.score, one.chunk.id, item.sentence.ordinal) for one in ranked for item in one.sentences]
    assert max(every)[1:] == ("c1", 1)
    assert all(0 <= score <= 1 for score, _, _ in every)


def test_a_rare_word_outweighs_two_common_ones() -> None:
    query = "when water gallium boils"
    common, rare = candidate("Water boils always.", 1), candidate("Gallium is metal.", 2)
    assert rerank(question(query), common, rare)[0].chunk.id == "c1"
    weighted = question(query, {"gallium": 6.0, "water": 1.0, "boils": 1.0})
    assert rerank(weighted, common, rare)[0].chunk.id == "c2"


def test_a_sentence_gains_from_the_one_beside_it() -> None:
    beside = rerank(question("gallium boils"), candidate("Gallium boils. It glows."))[0]
    apart = rerank(question("gallium boils"), candidate("Gallium boils. Sugar melts. It glows."))[0]
    assert beside.sentences[1].score > apart.sentences[2].score


def test_an_answered_question_and_an_unanswered_one_are_far_apart() -> None:
    found = rerank(question("gallium boils"), GALLIUM)[0]
    missing = rerank(question("who painted ceilings"), GALLIUM, SUGAR, BOILING)
    assert found.sentences[1].score > 0.9
    assert max(item.score for one in missing for item in one.sentences) < 0.05


def test_the_lexical_score_lifts_chunk_and_sentences() -> None:
    query = question("gallium boils", {"gallium": 2.0, "boils": 1.0})
    plain = rerank(query, BOILING)[0]
    lifted = rerank(query, replace(BOILING, scores={"fused": 0.1, "lexical": 3.3}))[0]  # half of 2.2 * (2 + 1)
    assert lifted.score > plain.score and lifted.sentences[1].score > plain.sentences[1].score
    capped = [rerank(query, replace(BOILING, scores={"lexical": value}))[0].score for value in (6.6, 660.0)]
    assert capped[0] == pytest.approx(capped[1])


def test_dense_scores_count_from_the_floor_of_their_encoder() -> None:
    query, near, far = (
        question("gallium boils"),
        replace(SUGAR, scores={"dense": 0.9}),
        replace(SUGAR, scores={"dense": 0.8}),
    )
    ignoring = AttentionReranker(CODEC)
    heeding = AttentionReranker(CODEC, ScorerWeights(projection=None, dense_floor=0.75))
    assert ignoring.rerank(query, [far])[0].score == ignoring.rerank(query, [near])[0].score
    scores = [heeding.rerank(query, [one])[0].score for one in (near, far)]
    odds = [math.log(score / (1 - score)) for score in scores]
    assert odds[0] - odds[1] == pytest.approx(6 * 0.1 / 0.25, abs=1e-3)  # six log-odds from the floor to a cosine of 1
    assert heeding.rerank(query, [SUGAR])[0].score == ignoring.rerank(query, [SUGAR])[0].score  # none known, none used


def test_a_learned_gate_says_which_tokens_of_the_question_count() -> None:
    query = question("gallium boils")
    gate = 40.0 * vector_of("gallium")  # exp(40) against exp(0): "gallium" alone decides
    gated = AttentionReranker(CODEC, ScorerWeights(projection=None, gate=gate))
    assert rerank(query, BOILING)[0].scores["attention"] > 0.4
    assert gated.rerank(query, [BOILING])[0].scores["attention"] < 0.4
    assert gated.rerank(query, [GALLIUM])[0].scores["attention"] == pytest.approx(1, abs=0.01)


def test_scores_near_to_certainty_stay_apart() -> None:
    """In single precision both chances would be 1, and the order of the sentences would be lost."""
    forms = Forms(sentence_bias=6.0, chunk_bias=6.0)
    sure = AttentionReranker(CODEC, ScorerWeights(projection=None, forms=forms))
    (scored,) = sure.rerank(question("gallium boils late"), [GALLIUM])
    assert 1 > scored.sentences[1].score > scored.sentences[0].score > 1 - 1e-6


def test_weights_are_named_by_their_digest() -> None:
    assert AttentionReranker(CODEC).weights_digest == ""
    assert AttentionReranker(CODEC, ScorerWeights(projection=None, digest="abc")).weights_digest == "abc"


def test_evidence_is_the_weighted_sum_of_each_tokens_best_match() -> None:
    query = question("gallium boils", {"gallium": 3.0, "boils": 1.0})
    [scored] = rerank(query, candidate("Gallium shines.", dense=0.8))
    stored = CODEC.decode(scored.stored.token_blob or b"").vectors
    best = (query.tokens.vectors @ stored.T).max(axis=1)  # type: ignore[union-attr]
    assert scored.scores["attention"] == pytest.approx(0.75 * best[0] + 0.25 * best[1], abs=1e-5)
    assert scored.scores["dense"] == 0.8


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(4)), keep=st.integers(1, 4))
def test_scores_depend_on_neither_order_nor_company(order: list[int], keep: int) -> None:
    pool = [GALLIUM, SUGAR, BOILING, candidate("Gallium cools. Tea boils.", 4, packed=False)]
    query = question("gallium boils", {"gallium": 3.0, "boils": 1.0})
    alone = {one.chunk.id: one for each in pool for one in rerank(query, each)}
    for one in rerank(query, *[pool[at] for at in order[:keep]]):
        assert one.score == pytest.approx(alone[one.chunk.id].score, abs=1e-5)
        for mine, theirs in zip(one.sentences, alone[one.chunk.id].sentences, strict=True):
            assert mine.score == pytest.approx(theirs.score, abs=1e-5)


def test_ties_keep_the_order_of_the_candidates() -> None:
    twins = [candidate("Gallium boils.", number) for number in (5, 3, 4)]
    assert [one.chunk.key for one in rerank(question("gallium"), *twins)] == [5, 3, 4]


def test_no_candidates_give_no_chunks() -> None:
    assert rerank(question("gallium")) == []


@pytest.mark.parametrize("tokens", [None, tokens_of("")])
def test_a_question_without_tokens_keeps_the_fused_order_and_scores_sentences_by_words(
    tokens: TokenVectors | None,
) -> None:
    query = replace(question("gallium boils"), tokens=tokens)
    first, second = replace(SUGAR, scores={"fused": 0.3}), replace(GALLIUM, scores={"fused": 0.2})
    ranked = rerank(query, second, first)
    assert [one.chunk.id for one in ranked] == ["c2", "c1"]
    assert [one.score for one in ranked] == [0.3, 0.2]
    scores = [item.score for item in ranked[1].sentences]
    assert scores[1] == max(scores) > 0.5 > max(item.score for item in ranked[0].sentences)
    assert "attention" not in ranked[0].scores


def test_a_candidate_without_tokens_is_judged_by_its_words_among_the_others() -> None:
    bare = candidate("Gallium boils.", 7, packed=False)
    ranked = rerank(question("gallium boils"), SUGAR, bare, BOILING)
    assert ranked[0].chunk.id == "c7" and "attention" not in ranked[0].scores
    assert "attention" in ranked[1].scores


def test_a_chunk_stored_with_no_tokens_or_no_sentences_is_scored_low_and_not_lost() -> None:
    empty = replace(SUGAR, stored=replace(SUGAR.stored, token_blob=CODEC.encode(tokens_of(""))))
    bare = replace(SUGAR, stored=replace(SUGAR.stored, chunk=replace(SUGAR.chunk, sentences=())))
    ranked = rerank(question("gallium boils"), empty, bare, GALLIUM)
    assert len(ranked) == 3 and ranked[0].chunk.id == "c1"
    assert all(np.isfinite(one.score) and one.score < 0.1 for one in ranked[1:])


def test_damaged_tokens_are_an_error_and_not_a_low_score() -> None:
    blob = bytearray(SUGAR.stored.token_blob or b"")
    blob[-1] ^= 1
    with pytest.raises(DomainError, match="reindex"):
        rerank(question("gallium"), replace(SUGAR, stored=replace(SUGAR.stored, token_blob=bytes(blob))))


class PlainCodec:
    """A TokenCodec of the seam and no more."""

    codec_id = "plain"

    def encode(self, tokens: TokenVectors) -> bytes:
        return CODEC.encode(tokens)

    def decode(self, blob: bytes) -> TokenVectors:
        return CODEC.decode(blob)


@pytest.mark.parametrize("pool", [[], [SUGAR, GALLIUM, BOILING]])
def test_any_token_codec_will_do(pool: list[Candidate]) -> None:
    query = question("gallium boils")
    plain = AttentionReranker(PlainCodec()).rerank(query, pool)
    assert [one.chunk.id for one in plain] == [one.chunk.id for one in rerank(query, *pool)]
    assert [one.score for one in plain] == pytest.approx([one.score for one in rerank(query, *pool)], abs=1e-4)


def test_explaining_changes_no_score_and_shows_both_heads() -> None:
    query = question("gallium boils")
    plain = rerank(query, GALLIUM, BOILING)
    shown = AttentionReranker(CODEC).explain(query, [GALLIUM, BOILING])
    assert [replace(one, attention=None) for one in shown] == plain
    first = shown[0].attention
    assert first is not None and first.weights.shape == (2, 2, 7)
    assert first.weights[0].argmax(axis=1).tolist() == [2, 3]  # gallium and boils, the third and fourth word
    assert first.weights[1, 0].tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert first.weights[1, 1, 3] == pytest.approx(0.5)  # "boils" stands in both chunks
    assert first.token_offsets[2].tolist() == [13, 20]
    total = sum(one.attention.weights.sum(axis=2) for one in shown if one.attention is not None)
    assert (total <= 1 + 1e-5).all()


def test_shown_weights_are_those_of_the_reference_attention_with_a_null_key() -> None:
    query = question("gallium boils")
    shown = AttentionReranker(CODEC).explain(query, [GALLIUM, BOILING])
    keys = np.concatenate([CODEC.decode(one.stored.token_blob or b"").vectors for one in shown])
    queries = query.tokens.vectors  # type: ignore[union-attr]
    # A null key as one more column: its similarity to every question token is 0.35.
    wide_keys = np.pad(keys, ((0, 1), (0, 1)))
    wide_keys[-1, -1] = 1
    wide_queries = np.pad(queries, ((0, 0), (0, 1)), constant_values=0.35)
    reference = scaled_dot_product_attention(
        torch.from_numpy(wide_queries), torch.from_numpy(wide_keys), torch.from_numpy(wide_keys), scale=30.0
    ).weights
    ours = np.concatenate([one.attention.weights[0] for one in shown if one.attention is not None], axis=1)
    np.testing.assert_allclose(ours, reference[:, :-1].numpy(), atol=1e-5)


def test_the_query_path_does_not_import_torch() -> None:
    check = "import sys, attention_core.reranker, attention_core.codec; sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_row_of_a_table_is_read_with_its_header() -> None:
    text = "country daily allowance. norway sixty. china fifty."
    plain = candidate(text)
    header, *rows = plain.chunk.sentences
    table = replace(plain.chunk, header=header.span, sentences=(header, *(replace(row, is_row=True) for row in rows)))
    (scored,) = rerank(question("daily allowance china"), replace(plain, stored=replace(plain.stored, chunk=table)))
    (apart,) = rerank(question("daily allowance china"), plain)
    assert scored.sentences[2].score > scored.sentences[1].score
    assert scored.sentences[2].score > scored.sentences[0].score
    assert apart.sentences[2].score < scored.sentences[2].score


def test_what_stands_in_the_title_or_a_heading_counts_for_the_chunk_below_it() -> None:
    rows = candidate("Purchases rose. Proceeds fell.", 1)
    under = replace(rows.stored, chunk=replace(rows.chunk, heading_path=("Cash flow statement",)))
    asked = question("cash purchases", {"cash": 2.0, "purchases": 2.0})
    (bare,) = rerank(asked, rows)
    (led,) = rerank(asked, replace(rows, stored=under))
    assert led.score > bare.score
    assert led.sentences[0].score > bare.sentences[0].score
