"""The network that learns computes what the reranker computes: real candidates, leads and tables among them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from attention_core.batching import lay_out, rows_under_headers
from attention_core.codec import QuantizedTokenCodec, codec_for
from attention_core.evidence import Forms
from attention_core.examples import Batch, Example, States, TrainingChunk, TrainingSet
from attention_core.network import Scores, TrainableScorer, segment_amax
from attention_core.projection import unit_rows
from attention_core.question import token_weights
from attention_core.reranker import AttentionReranker, lead_matches, lexical_shares
from attention_core.scorer import ScorerWeights
from domain.documents import Chunk, DocumentRef, Sentence, Span
from domain.errors import DomainError
from domain.search import Candidate, Query, QueryTerm, StoredChunk, TokenVectors
from tests.attention_core.training_examples import (
    WIDTH,
    Top,
    batch_of,
    random_rows,
    start_weights,
    states_of,
    training_set,
)

TEXTS = (
    "Metals melt. Gallium boils late. Iron rusts.",
    "Sugar dissolves. Honey flows slowly over cold bread.",
    "Country daily allowance. Norway sixty. China fifty.",
    "Water boils. Tea cools.",
)


def word_vector(word: str) -> np.ndarray:
    return np.random.default_rng(list(word.encode())).normal(size=WIDTH).astype(np.float32) + 0.4


def tokens_of(text: str, shift: float = 0.0) -> TokenVectors:
    spans, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        spans.append((at, at + len(word)))
        at += len(word)
    vectors = unit_rows(np.array([word_vector(text[a:b].strip(".").lower()) + shift for a, b in spans]))
    return TokenVectors(vectors, np.arange(len(spans), dtype=np.int32), np.array(spans, dtype=np.int32))


def candidate(number: int, codec: QuantizedTokenCodec) -> Candidate:
    text, at, sentences = TEXTS[number], 0, []
    for ordinal, part in enumerate(text.removesuffix(".").split(". ")):
        sentences.append(Sentence(ordinal, Span(at, at + len(part) + 1), is_row=number == 2 and ordinal > 0))
        at += len(part) + 2
    chunk = Chunk(f"c{number}", number, f"d{number}", 0, Span(0, len(text)), text, tuple(sentences))
    if number == 2:
        chunk = replace(chunk, header=sentences[0].span)
    if number == 1:
        chunk = replace(chunk, heading_path=("Boiling points of gallium",))
    scores = {"dense": 0.9 - 0.03 * number, "fused": 0.1} | ({"lexical": 1.7} if number % 2 else {})
    document = DocumentRef(f"d{number}", f"d{number}", f"Document {number}")
    return Candidate(StoredChunk(chunk, document, codec.encode(tokens_of(text))), scores)


def question() -> Query:
    text = "gallium boils in daily China"
    words = {"gallium": 3.0, "boils": 1.5, "daily": 2.0, "China": 2.5}
    terms = tuple(QueryTerm(Span(text.index(w), text.index(w) + len(w)), w.lower(), idf) for w, idf in words.items())
    return Query(text, random_rows(1, 3)[0], tokens_of(text, 0.05), terms)


def weights_with(projected: bool) -> ScorerWeights:
    draw = np.random.default_rng(8)
    forms = Forms(
        sentence=draw.uniform(1, 6, 5).astype(np.float32),
        chunk=draw.uniform(1, 6, 4).astype(np.float32),
        sentence_bias=-9.0,
        chunk_bias=-8.0,
    )
    gate = draw.normal(size=WIDTH).astype(np.float32)
    return replace(start_weights(projected), gate=gate, forms=forms)


def example_of(query: Query, candidates: list[Candidate]) -> Example:
    assert query.tokens is not None
    leads = lead_matches(query, query.tokens.offsets, candidates)
    return Example(
        row=0,
        take=np.arange(len(query.tokens)),
        weights=token_weights(query.tokens.offsets, query.terms),
        vector=query.vector,
        candidates=tuple(range(len(candidates))),
        lexical=dict(enumerate(lexical_shares(query, candidates).tolist())),
        lead={row: lead for row, lead in enumerate(leads) if lead.any()},
        gold={0: (1,)},
        blocked=frozenset(),
        document="d0",
    )


def chunk_of(one: Candidate, query: Query) -> TrainingChunk:
    tokens = tokens_of(one.chunk.text)
    layout = lay_out([one.chunk], np.array([len(tokens)]), tokens.offsets)
    read_with = np.arange(layout.n_sentences)
    rows, headers = rows_under_headers([one.chunk], layout)
    read_with[rows] = headers
    lengths = np.bincount(layout.token_sentence, minlength=layout.n_sentences).astype(np.float32)
    # Of all vectors with this cosine to the question's, the one in the plane of an arbitrary second direction.
    cosine, other = one.scores["dense"], random_rows(1, 50)[0]
    across = unit_rows((other - (other @ query.vector) * query.vector)[None])[0]
    vector = (cosine * query.vector + math.sqrt(1 - cosine**2) * across).astype(np.float32)
    return TrainingChunk(one.document.id, np.arange(len(tokens)), layout.token_sentence, lengths, read_with, vector)


def real_batch(query: Query, candidates: list[Candidate], chunk_states: States) -> Batch:
    assert query.tokens is not None
    example = example_of(query, candidates)
    source = TrainingSet(
        name="real",
        chunks=[chunk_of(one, query) for one in candidates],
        chunk_states=chunk_states,
        question_states=states_of([query.tokens.vectors]),
        examples=[example],
        held_out=[],
        held_documents=frozenset(),
        share=1.0,
    )
    return batch_of(source, [example], [list(range(len(candidates)))])


def log_odds(chances: list[float]) -> np.ndarray:
    return np.log(chances) - np.log1p(-np.array(chances))


def speaking(scorer: TrainableScorer) -> TrainableScorer:
    """The scorer with an interaction network that adds something; at first it adds nothing."""
    with torch.no_grad():
        scorer.interaction.out.weight.copy_(torch.linspace(-2, 2, scorer.interaction.out.weight.numel())[None])
    return scorer.eval()


@pytest.mark.parametrize(("projected", "learns"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("interacts", [True, False])
def test_the_network_gives_the_rerankers_log_odds(projected: bool, learns: bool, interacts: bool) -> None:
    weights = weights_with(projected)
    if interacts:
        torch.manual_seed(0)
        weights = speaking(TrainableScorer(weights, WIDTH)).weights()
    codec = codec_for(weights)
    candidates, query = [candidate(number, codec) for number in range(len(TEXTS))], question()
    if learns:
        states, top = states_of([tokens_of(text).vectors for text in TEXTS]), Top()
    else:
        decoded = [codec.decode_many([one.stored.token_blob or b""]).codes for one in candidates]
        states, top = states_of([codes.astype(np.float16) for codes in decoded]), None
    with torch.no_grad():
        scores: Scores = TrainableScorer(weights, WIDTH).eval()(real_batch(query, candidates, states), top)
    scored = sorted(AttentionReranker(codec, weights).rerank(query, candidates), key=lambda one: one.chunk.key)
    chunks = log_odds([one.score for one in scored])
    sentences = log_odds([item.score for one in scored for item in one.sentences])
    np.testing.assert_allclose(scores.chunks[0].numpy() + weights.forms.chunk_bias, chunks, atol=1e-3)
    np.testing.assert_allclose(scores.sentences[0].numpy() + weights.forms.sentence_bias, sentences, atol=1e-3)


def test_leads_and_headers_matter_in_that_comparison() -> None:
    """Without them the candidates above would not show that the network reads both."""
    weights = weights_with(True)
    codec = codec_for(weights)
    candidates, query = [candidate(number, codec) for number in range(len(TEXTS))], question()
    states = states_of([tokens_of(text).vectors for text in TEXTS])
    batch = real_batch(query, candidates, states)
    bare_example = replace(batch.examples[0], lead={})
    bare_chunks = [replace(one, read_with=np.arange(len(one.sentence_tokens))) for one in batch.source.chunks]
    bare = replace(batch, source=replace(batch.source, chunks=bare_chunks), examples=[bare_example])
    with torch.no_grad():
        full, without = (TrainableScorer(weights, WIDTH).eval()(one, Top()).chunks[0] for one in (batch, bare))
    changed = (full - without).abs() > 0.01
    assert changed.tolist() == [False, True, True, False]


def test_weights_go_in_and_come_out_unchanged() -> None:
    weights = weights_with(True)
    back = TrainableScorer(weights, WIDTH).weights()
    assert back.projection is not None and weights.projection is not None
    np.testing.assert_array_equal(back.projection.matrix, weights.projection.matrix)
    np.testing.assert_array_equal(back.gate, weights.gate)
    np.testing.assert_array_equal(back.forms.sentence, weights.forms.sentence)
    assert back.forms.sentence_bias == -9.0 and back.digest == ""
    assert TrainableScorer(start_weights(False), WIDTH).weights().projection is None


def test_the_gradient_passes_the_rounding_and_reaches_everything_that_learns() -> None:
    source, top = training_set(), Top()
    scorer = speaking(TrainableScorer(start_weights(), WIDTH))
    batch = batch_of(source, source.examples[:3], [[0, 1], [2, 3], [4, 5]])
    scores = scorer(batch, top)
    (scores.sentences.sum() + scores.chunks.sum() + scores.attended_chunks.sum() + scores.drift).backward()
    for name, parameter in [*scorer.named_parameters(), *top.named_parameters()]:
        assert parameter.grad is not None and (parameter.grad != 0).any(), name


def test_sentence_vectors_that_stay_drift_by_nothing() -> None:
    source = training_set()
    states = [source.chunk_states.row(row).numpy() for row in range(len(source.chunks))]
    held = [
        replace(one, vector=unit_rows(rows.mean(0, keepdims=True))[0])
        for one, rows in zip(source.chunks, states, strict=True)
    ]
    questions = [source.question_states.row(row).numpy() for row in range(12)]
    examples = [replace(one, vector=unit_rows(questions[one.row].mean(0, keepdims=True))[0]) for one in source.examples]
    source = replace(source, chunks=held, examples=examples)
    batch = batch_of(source, examples[:2], [[0, 1], [2, 3]])
    scorer = TrainableScorer(start_weights(), WIDTH)
    assert scorer(batch, Top()).drift.item() == pytest.approx(0, abs=1e-5)
    assert scorer(batch, _Turned()).drift.item() > 0.1


class _Turned(Top):
    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return states.roll(1, dims=-1)


def test_the_largest_of_a_segment_and_zero_for_an_empty_one() -> None:
    values = torch.tensor([[-1.0, -5.0, 3.0]])
    assert segment_amax(values, torch.tensor([0, 0, 2]), 3).tolist() == [[-1.0, 0.0, 3.0]]


def test_training_needs_to_know_the_floor_of_the_dense_scores() -> None:
    with pytest.raises(DomainError, match="floor"):
        TrainableScorer(replace(start_weights(), dense_floor=None), WIDTH)
