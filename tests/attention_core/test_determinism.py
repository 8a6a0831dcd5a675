"""The same inputs give the same scores, to 1e-5: whatever the batch, its order, the threads, and how often it is asked.

Candidates are ragged: sentences without a token, chunks of one token, chunks without any. Both codecs are tried, and
weights with an interaction network and without one.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from attention_core.codec import QuantizedTokenCodec
from attention_core.evidence import Forms
from attention_core.interaction import WIDTH, InteractionWeights
from attention_core.projection import Projection, unit_rows
from attention_core.reranker import AttentionReranker
from attention_core.scorer import ScorerWeights
from domain.documents import Chunk, DocumentRef, Sentence, Span
from domain.search import Candidate, Query, QueryTerm, ScoredChunk, StoredChunk, TokenVectors

FULL, DIM, HIDDEN, POOLED, NUMBERS = 48, 32, 16, 8, 8
TOLERANCE = 1e-5
Sizes = list[list[int]]  # of each chunk the tokens of each of its sentences


def projection() -> Projection:
    matrix, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(FULL, DIM)))
    return Projection(np.full(FULL, 0.05, np.float32), np.ascontiguousarray(matrix, dtype=np.float32))


def network(seed: int = 2) -> InteractionWeights:
    """Random weights of about the size that training gives: the log-odds that they add are several units apart."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(shape[-2] if len(shape) > 1 else 1)).astype(np.float32)

    return InteractionWeights(
        beta=np.array([12.0], np.float32),
        key=drawn(DIM, HIDDEN) * 4,
        message=drawn(DIM, HIDDEN) * 4,
        product=drawn(DIM, HIDDEN),
        numbers=drawn(2, HIDDEN),
        first_bias=drawn(HIDDEN) * 0.1,
        around=drawn(WIDTH, HIDDEN, HIDDEN) * 0.3,
        around_bias=drawn(HIDDEN) * 0.1,
        middle=drawn(HIDDEN, HIDDEN) * 0.5,
        middle_bias=drawn(HIDDEN) * 0.1,
        pooled=drawn(2 * HIDDEN + NUMBERS, POOLED),
        pooled_bias=drawn(POOLED) * 0.1,
        out=drawn(POOLED),
        chunk=np.array([0.5], np.float32),
    )


CODEC = QuantizedTokenCodec(projection(), bits=4)
GATE = np.random.default_rng(3).normal(size=FULL).astype(np.float32)
LEVEL = Forms(sentence_bias=-6.0, chunk_bias=-6.0)  # in the middle of 0..1, where a chance moves most
RERANKERS = {
    "int8": AttentionReranker(QuantizedTokenCodec(), ScorerWeights(projection=None, forms=LEVEL)),
    "linear": AttentionReranker(CODEC, ScorerWeights(projection(), gate=GATE, forms=LEVEL, dense_floor=0.75)),
    "network": AttentionReranker(
        CODEC, ScorerWeights(projection(), gate=GATE, forms=LEVEL, interaction=network(), dense_floor=0.75)
    ),
}
CODECS = {"int8": QuantizedTokenCodec(), "linear": CODEC, "network": CODEC}


def tokens(count: int, rng: np.random.Generator, starts: list[int]) -> TokenVectors:
    vectors = unit_rows(rng.normal(size=(count, FULL)) + 0.3)
    offsets = np.array([(start, start + 3) for start in starts], np.int32).reshape(-1, 2)
    return TokenVectors(vectors, rng.integers(0, 50, count).astype(np.int32), offsets)


def candidate(number: int, sizes: list[int], codec: QuantizedTokenCodec) -> Candidate:
    """A chunk of words of three letters; a sentence without tokens is four signs that the tokenizer dropped."""
    rng = np.random.default_rng([7, number])
    sentences, starts, at = [], [], 0
    for ordinal, size in enumerate(sizes):
        starts += [at + 4 * place for place in range(size)]
        end = at + 4 * max(size, 1)
        sentences.append(Sentence(ordinal, Span(at, end)))
        at = end
    chunk = Chunk(f"c{number}", number, "d", number, Span(0, at), "abc " * (at // 4), tuple(sentences))
    blob = codec.encode(tokens(sum(sizes), rng, starts))
    scores = {"dense": 0.75 + 0.2 * rng.random(), "lexical": 8 * rng.random(), "fused": rng.random()}
    return Candidate(StoredChunk(chunk, DocumentRef("d", "d", "abc title"), blob), scores)


def pool(kind: str, sizes: Sizes) -> list[Candidate]:
    return [candidate(number, own, CODECS[kind]) for number, own in enumerate(sizes)]


def question(size: int = 7) -> Query:
    own = tokens(size, np.random.default_rng(5), [4 * place for place in range(size)])
    terms = tuple(QueryTerm(Span(4 * place, 4 * place + 3), "abc", 1.0 + place) for place in range(0, size, 2))
    return Query("abc " * size, own.vectors.mean(axis=0), own, terms)


def by_chunk(scored: list[ScoredChunk]) -> dict[str, list[float]]:
    """The score of each chunk, and of its sentences behind it."""
    return {one.chunk.id: [one.score, *(item.score for item in one.sentences)] for one in scored}


def assert_same(left: dict[str, list[float]], right: dict[str, list[float]]) -> None:
    assert left.keys() == right.keys()
    for name, scores in left.items():
        np.testing.assert_allclose(scores, right[name], rtol=0, atol=TOLERANCE, err_msg=name)


ragged = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=2, max_size=8)
kinds = pytest.mark.parametrize("kind", sorted(RERANKERS))


@kinds
@settings(max_examples=30, deadline=None)
@given(sizes=ragged, data=st.data())
def test_a_chunk_scores_alone_as_among_others_in_any_order(kind: str, sizes: Sizes, data: st.DataObject) -> None:
    reranker, query, candidates = RERANKERS[kind], question(), pool(kind, sizes)
    together = by_chunk(reranker.rerank(query, candidates))
    alone = {name: own for one in candidates for name, own in by_chunk(reranker.rerank(query, [one])).items()}
    assert_same(alone, together)
    shuffled = data.draw(st.permutations(candidates))
    assert_same(by_chunk(reranker.rerank(query, shuffled)), together)


@kinds
@settings(max_examples=30, deadline=None)
@given(sizes=ragged, data=st.data())
def test_two_calls_give_the_scores_of_one(kind: str, sizes: Sizes, data: st.DataObject) -> None:
    reranker, query, candidates = RERANKERS[kind], question(), pool(kind, sizes)
    cut = data.draw(st.integers(0, len(candidates)))
    halves = [by_chunk(reranker.rerank(query, part)) for part in (candidates[:cut], candidates[cut:])]
    assert_same(halves[0] | halves[1], by_chunk(reranker.rerank(query, candidates)))


@kinds
@settings(max_examples=20, deadline=None)
@given(sizes=ragged)
def test_the_same_question_again_gives_the_same_scores_to_the_last_digit(kind: str, sizes: Sizes) -> None:
    reranker, query, candidates = RERANKERS[kind], question(), pool(kind, sizes)
    assert by_chunk(reranker.rerank(query, candidates)) == by_chunk(reranker.rerank(query, candidates))


@kinds
@pytest.mark.parametrize("sizes", [[[0]], [[1]], [[0, 0], [0]], [[0, 1, 0]], [[1], [1], [1]]])
def test_chunks_of_no_and_of_one_token_have_scores_that_others_do_not_move(kind: str, sizes: Sizes) -> None:
    reranker, query = RERANKERS[kind], question()
    own = by_chunk(reranker.rerank(query, pool(kind, sizes)))
    among = by_chunk(reranker.rerank(query, pool(kind, [*sizes, [25, 25], [40]])))
    assert all(np.isfinite(scores).all() for scores in own.values())
    assert_same(own, {name: among[name] for name in own})


def large() -> Sizes:
    """Enough tokens that a matrix product is shared among threads."""
    rng = np.random.default_rng(11)
    return [rng.integers(1, 40, rng.integers(3, 9)).tolist() for _ in range(60)]


@kinds
def test_the_number_of_threads_does_not_matter(kind: str) -> None:
    reranker, query, candidates = RERANKERS[kind], question(30), pool(kind, large())
    found = {}
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            blas = [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]
            assert blas and set(blas) == {threads}  # else the comparison below says nothing
            found[threads] = by_chunk(reranker.rerank(query, candidates))
    assert_same(found[1], found[2])


@kinds
def test_a_large_batch_gives_each_chunk_the_score_of_a_small_one(kind: str) -> None:
    reranker, query, candidates = RERANKERS[kind], question(30), pool(kind, large())
    parts = [by_chunk(reranker.rerank(query, candidates[at : at + 7])) for at in range(0, len(candidates), 7)]
    assert_same(
        {name: own for part in parts for name, own in part.items()}, by_chunk(reranker.rerank(query, candidates))
    )


def test_the_network_has_a_say_in_these_tests() -> None:
    """Otherwise the sameness of its scores would be that of the linear forms."""
    query, candidates = question(), pool("network", [[5, 0, 3], [1], [8, 8]])
    linear, whole = (by_chunk(RERANKERS[kind].rerank(query, candidates)) for kind in ("linear", "network"))
    moved = [abs(ours - theirs) for name in whole for ours, theirs in zip(whole[name], linear[name], strict=True)]
    assert max(moved) > 0.05
    spread = np.concatenate(list(whole.values()))
    assert ((spread > 0.02) & (spread < 0.98)).any()
