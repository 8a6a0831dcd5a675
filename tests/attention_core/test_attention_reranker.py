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
from attention_core.interaction import InteractionWeights
from attention_core.interaction_module import Interaction
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


# -- explaining --------------------------------------------------------------------------------------------------------

PARTS = ["sentence", "window", "chunk", "dense", "lexical", "network", "bias"]


def random_network(seed: int = 0) -> InteractionWeights:
    torch.manual_seed(seed)
    network = Interaction(WIDTH, hidden=12, pooled=6).eval()
    torch.nn.init.normal_(network.out.weight)
    return network.weights()


def likes(word: str, log_odds: float) -> InteractionWeights:
    """A network that adds `log_odds` to a sentence in which `word` stands, and hardly anything to another."""
    weights = Interaction(WIDTH, hidden=1, pooled=1).weights()
    still = {name: np.zeros_like(value) for name, value in weights.tensors().items()}
    still["beta"][0] = 30.0
    still["key"][:, 0] = 2 * vector_of(word)
    still["first_bias"][0] = -1.0  # a cosine of 1 gives 1, and one up to a half gives nothing
    still["pooled"][0, 0] = 1.0
    still["out"][0] = log_odds
    return InteractionWeights.of(still)


def with_network(network: InteractionWeights, floor: float | None = None) -> AttentionReranker:
    return AttentionReranker(CODEC, ScorerWeights(projection=None, interaction=network, dense_floor=floor))


def log_odds_of(score: float) -> float:
    return math.log(score / (1 - score))


def test_a_network_has_a_head_of_its_own() -> None:
    assert AttentionReranker(CODEC).head_names == ("meaning", "same token")
    assert with_network(random_network()).head_names == ("meaning", "same token", "network")
    (shown,) = with_network(random_network()).explain(question("gallium boils"), [GALLIUM])
    assert shown.attention is not None and shown.attention.weights.shape == (3, 2, 7)


def test_the_head_of_the_network_is_what_each_token_added_divided_as_it_looked() -> None:
    (first, second) = with_network(likes("gallium", 5.0)).explain(question("gallium boils"), [GALLIUM, BOILING])
    assert first.attention is not None and second.attention is not None
    weights = first.attention.weights[2]
    assert weights[0].round(3).tolist() == [0, 0, 1, 0, 0, 0, 0]  # five log-odds through "gallium" are one unit
    assert weights[1].max() < 1e-3, "no token that the network liked looked at 'boils'"
    assert second.attention.weights[2].max() == 0
    assert first.sentences[1].parts is not None
    assert first.sentences[1].parts["network"] == pytest.approx(5, abs=0.01)


def test_what_added_little_keeps_a_small_weight_and_what_took_away_has_none() -> None:
    asked, pool = question("gallium boils"), [GALLIUM, BOILING]
    (little, _) = with_network(likes("gallium", 0.25)).explain(asked, pool)
    assert little.attention is not None
    assert little.attention.weights[2, 0, 2] == pytest.approx(0.25, abs=0.01)
    lowered = with_network(likes("gallium", -5.0)).explain(asked, pool)
    assert [one.attention.weights[2].max() for one in lowered if one.attention is not None] == [0, 0]
    parts = next(one for one in lowered if one.chunk.id == "c1").sentences[1].parts
    assert parts is not None and parts["network"] == pytest.approx(-5, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_no_token_of_the_question_gives_the_network_more_than_one(seed: int) -> None:
    shown = with_network(random_network(seed)).explain(question("gallium boils"), [GALLIUM, SUGAR, BOILING])
    heads = np.concatenate([one.attention.weights for one in shown if one.attention is not None], axis=2)
    assert heads.min() >= 0 and heads.sum(axis=2).max() <= 1 + 1e-5
    assert heads[2].max() > 0


@pytest.mark.parametrize("network", [None, *map(random_network, range(4))])
def test_parts_add_up_to_the_log_odds_of_the_score(network: InteractionWeights | None) -> None:
    bare = candidate("Gallium boils. Tea cools.", 4, packed=False, dense=0.8)
    pool = [GALLIUM, replace(SUGAR, scores={"dense": 0.9, "lexical": 1.1}), BOILING, bare]
    weights = ScorerWeights(projection=None, interaction=network, dense_floor=0.75)
    shown = AttentionReranker(CODEC, weights).explain(question("gallium boils", {"gallium": 3.0, "boils": 1.0}), pool)
    assert sum(len(one.sentences) for one in shown) == 9
    for one in shown:
        for sentence in one.sentences:
            assert sentence.parts is not None and list(sentence.parts) == PARTS
            assert sum(sentence.parts.values()) == pytest.approx(log_odds_of(sentence.score), abs=3e-5)
            judged = network is not None and one.chunk.id != "c4"
            assert (sentence.parts["network"] != 0) is judged


def test_each_part_is_a_summand_of_the_linear_form() -> None:
    forms = Forms(np.array([2.0, 3.0, 5.0, 7.0, 11.0], np.float32), sentence_bias=-13.0)
    reranker = AttentionReranker(CODEC, ScorerWeights(projection=None, forms=forms, dense_floor=0.75))
    asked = question("gallium boils", {"gallium": 2.0, "boils": 1.0})
    text = "Gallium melts. Water boils."
    (shown,) = reranker.explain(asked, [candidate(text, dense=0.85, lexical=3.3)])
    stored = CODEC.decode(CODEC.encode(tokens_of(text))).vectors
    best = asked.tokens.vectors @ stored.T  # type: ignore[union-attr]
    own = np.array([best[:, :2].max(axis=1), best[:, 2:].max(axis=1)]) @ [2 / 3, 1 / 3]
    whole = best.max(axis=1) @ [2 / 3, 1 / 3]
    for sentence, evidence in zip(shown.sentences, own, strict=True):
        expected = [2 * evidence, 3 * whole, 5 * whole, 7 * 0.1 / 0.25, 11 * 0.5, 0.0, -13.0]
        assert sentence.parts == pytest.approx(dict(zip(PARTS, expected, strict=True)), abs=1e-4)


def test_a_search_pays_for_no_explanation(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*_: object) -> None:
        raise AssertionError("explained without being asked")

    reranker = with_network(random_network())
    plain = reranker.rerank(question("gallium boils"), [GALLIUM, BOILING])
    shown = reranker.explain(question("gallium boils"), [GALLIUM, BOILING])
    for name in ("attribute", "attention_weights", "sentence_parts"):
        monkeypatch.setattr(f"attention_core.reranker.{name}", unwanted)
    assert reranker.rerank(question("gallium boils"), [GALLIUM, BOILING]) == plain
    assert {sentence.parts for one in plain for sentence in one.sentences} == {None}
    assert [replace(one, attention=None) for one in shown] == plain, "explaining changes no score"
    with pytest.raises(AssertionError, match="without being asked"):
        reranker.explain(question("gallium boils"), [GALLIUM, BOILING])


def test_sentences_have_their_parts_where_the_question_has_no_tokens() -> None:
    asked = replace(question("gallium boils"), tokens=None)
    (shown,) = with_network(random_network()).explain(asked, [GALLIUM])
    assert shown.attention is None
    for sentence in shown.sentences:
        assert sentence.parts is not None
        assert sum(sentence.parts.values()) == pytest.approx(log_odds_of(sentence.score), abs=3e-5)
