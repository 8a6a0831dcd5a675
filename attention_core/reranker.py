"""The attention reranker: question tokens look over the stored tokens of every candidate, once, for all scores.

    packed tokens of all candidates -> one flat batch (N, d) -> one product with the question (N, Tq)
      -> best match of each question token per sentence (S, Tq) -> evidence -> scores of sentences and chunks

Nothing is padded and no score depends on the other candidates, so neither their order nor their number matters. All
of it is numpy: at this size a matrix product in torch is no faster, and importing torch would cost the first
question seconds. `attention.py` holds the same mathematics for reading, and a test holds the two together.

Candidates without token vectors (an embedder that gives sentence vectors only) are judged by the question's words;
when the question itself has no token vectors, the chunks keep the retriever's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np

from attention_core.batching import Layout, lay_out, rows_under_headers
from attention_core.codec import BatchCodec, TokenBatch, batched
from attention_core.evidence import Evidence, chunk_logits, dense_evidence, gather, probability, sentence_logits
from attention_core.explaining import HEADS, NETWORK_HEAD, Parts, attention_weights, sentence_parts
from attention_core.interaction import Read, attribute, interact, sentence_numbers
from attention_core.overlap import question_terms, term_hits
from attention_core.pooling import Values, segment_max
from attention_core.question import gated, token_hits, token_weights, total_idf
from attention_core.scorer import ScorerWeights
from domain.protocols import TokenCodec
from domain.search import (
    AttentionWeights,
    Candidate,
    FloatArray,
    IntArray,
    Query,
    QueryTerm,
    ScoredChunk,
    ScoredSentence,
    TokenVectors,
)

_NO_MATCH = 0.0  # similarity to a sentence without tokens: two unrelated centred tokens

# What a repeated and a missing word are worth where no vectors are stored, as similarities: the averages that attention
# gives to sentences with all and with none of the question's words.
_HIT, _MISS = 0.80, 0.36

# BM25 gives a term at most k1 + 1 = 2.2 times its IDF (`k1` = 1.2), so a share of that sum lies in 0..1.
_BM25_CEILING = 2.2

# A matrix kernel adds in an order that depends on where a row stands, which moves the last bits. Rounding the log-odds
# away from there lets equal chunks tie and keep their order.
_DECIMALS = 5


@dataclass(frozen=True, slots=True)
class _Judged:
    """One candidate: the log-odds of the chunk, the scores of its sentences, the evidence of the whole chunk.

    `weights` and `parts`, those of its sentences, are for an explanation.
    """

    candidate: Candidate
    logit: float
    sentences: list[float]
    attention: float | None
    weights: AttentionWeights | None = None
    parts: Sequence[Parts] | None = None


@dataclass(frozen=True, slots=True)
class _Looked:
    """Stored tokens of all candidates, the question's, also projected (Tq, d), and `similarity` (N, Tq)."""

    batch: TokenBatch
    tokens: TokenVectors
    question: FloatArray
    similarity: FloatArray


@dataclass(frozen=True, slots=True)
class _Signals:
    """What scores are made of: `dense` and `lexical` (C,) beside the evidence, `weights` (Tq,) of the question."""

    evidence: Evidence
    dense: Values
    lexical: FloatArray
    weights: FloatArray
    layout: Layout


class AttentionReranker:
    """Scores chunks and sentences by IDF-weighted attention over stored token vectors; implements `Reranker`.

    Sentence scores lie in 0..1 and compare across chunks and searches: about 0.5 is where evidence begins. They are
    calibrated for encoders with weights of their own (`scorer.py`); with others the order holds, the level may not.
    """

    name = "attention"

    def __init__(self, codec: TokenCodec | BatchCodec, weights: ScorerWeights | None = None) -> None:
        """`weights` are those of the encoder; without any the untrained forms are used, and no dense scores."""
        self._codec = batched(codec)
        self._weights = weights or ScorerWeights(projection=None)

    @property
    def weights_digest(self) -> str:
        """Names the weights: scores of others do not compare. "" for the untrained ones."""
        return self._weights.digest

    @property
    def head_names(self) -> tuple[str, ...]:
        """Of the weights that `explain` gives, in their order; a network has a head of its own."""
        return HEADS if self._weights.interaction is None else (*HEADS, NETWORK_HEAD)

    def rerank(self, query: Query, candidates: Sequence[Candidate]) -> list[ScoredChunk]:
        """All candidates, best first; ties keep their order. Raises DomainError when stored vectors are damaged."""
        return self._rerank(query, candidates, explain=False)

    def explain(self, query: Query, candidates: Sequence[Candidate]) -> list[ScoredChunk]:
        """`rerank` with the `parts` of every sentence, and `attention` for every chunk that has token vectors.

        Weights are (H, Tq, Td) for the H heads of `head_names`, see `explaining.py`; rows sum to at most 1 over the
        whole search.
        """
        return self._rerank(query, candidates, explain=True)

    # OpenBLAS now and then leaves the flag of an invalid operation behind a product of finite numbers.
    @np.errstate(invalid="ignore")
    def _rerank(self, query: Query, candidates: Sequence[Candidate], explain: bool) -> list[ScoredChunk]:
        with_tokens, without = self._split(query, candidates)
        judged = dict(zip(without, self._by_words(query, [candidates[at] for at in without], explain), strict=True))
        if query.tokens is None or not len(query.tokens):
            ranked = sorted(judged, key=lambda at: -candidates[at].scores.get("fused", 0.0))
            return [_fused_order(judged[at]) for at in ranked]
        seen = self._by_attention(query, query.tokens, [candidates[at] for at in with_tokens], explain)
        judged |= dict(zip(with_tokens, seen, strict=True))
        ranked = sorted(range(len(candidates)), key=lambda at: -judged[at].logit)  # stable: ties keep their order
        return [_scored(judged[at]) for at in ranked]

    @staticmethod
    def _split(query: Query, candidates: Sequence[Candidate]) -> tuple[list[int], list[int]]:
        attends = query.tokens is not None and len(query.tokens) > 0
        ready = [attends and bool(one.stored.token_blob) and bool(one.chunk.sentences) for one in candidates]
        positions = range(len(candidates))
        return [at for at in positions if ready[at]], [at for at in positions if not ready[at]]

    def _by_attention(
        self, query: Query, tokens: TokenVectors, candidates: Sequence[Candidate], explain: bool
    ) -> list[_Judged]:
        if not candidates:
            return []
        batch = self._codec.decode_many([one.stored.token_blob or b"" for one in candidates])
        layout = lay_out([one.chunk for one in candidates], batch.counts, batch.offsets)
        question = self._codec.project(tokens.vectors)
        similarity = similarities(batch, question)  # (N, Tq)
        matches = segment_max(similarity, layout.token_sentence, layout.n_sentences, empty=_NO_MATCH)  # (S, Tq)
        matches = _with_headers(matches, candidates, layout)
        lead = lead_matches(query, tokens.offsets, candidates)
        weights = gated(token_weights(tokens.offsets, query.terms), tokens.vectors, self._weights.gate)
        looked = _Looked(batch, tokens, question, similarity)
        signals = self._signals(query, candidates, matches, lead, weights, layout)
        return self._judge(candidates, signals, looked, explain)

    def _by_words(self, query: Query, candidates: Sequence[Candidate], explain: bool) -> list[_Judged]:
        terms = question_terms(query)
        texts = [one.chunk.sentence_text(sentence) for one in candidates for sentence in one.chunk.sentences]
        hits = term_hits(query.text, terms, texts)  # (S, terms)
        matches = (_MISS + (_HIT - _MISS) * hits).astype(np.float32)
        spans = np.array([(term.span.start, term.span.end) for term in terms], dtype=np.int32).reshape(-1, 2)
        weights = token_weights(spans, terms)
        layout = lay_out(
            [one.chunk for one in candidates], np.zeros(len(candidates), np.int64), np.zeros((0, 2), np.int32)
        )
        lead = (_HIT * _lead_hits(query, terms, candidates)).astype(np.float32)
        matches = _with_headers(matches, candidates, layout)
        signals = self._signals(query, candidates, matches, lead, weights, layout)
        return [replace(one, attention=None) for one in self._judge(candidates, signals, None, explain)]

    def _signals(
        self,
        query: Query,
        candidates: Sequence[Candidate],
        matches: FloatArray,
        lead: FloatArray,
        weights: FloatArray,
        layout: Layout,
    ) -> _Signals:
        """From best matches to evidence, beside it what the retrievers said."""
        evidence = gather(matches, lead, weights, layout)
        scores = [one.scores.get("dense") for one in candidates]
        dense = dense_evidence(scores, evidence.chunk, self._weights.dense_floor)
        return _Signals(evidence, dense, lexical_shares(query, candidates), weights, layout)

    def _judge(
        self, candidates: Sequence[Candidate], signals: _Signals, looked: _Looked | None, explain: bool
    ) -> list[_Judged]:
        """From signals to scores; `looked` is None where no tokens are stored."""
        evidence, forms, network = signals.evidence, self._weights.forms, self._weights.interaction
        logits = sentence_logits(evidence, signals.dense, signals.lexical, signals.layout, forms)
        chunks = chunk_logits(evidence, signals.dense, signals.lexical, forms)
        added = None
        if looked is not None and network is not None:
            added, chunk_added = interact(_read(signals, looked), network)
            logits, chunks = logits + added, chunks + chunk_added
        # In half of a double's digits a chance close to 1 would be 1, and sentences that differ would tie.
        sentences = probability(logits.astype(np.float64).round(_DECIMALS)).tolist()
        chunks = chunks.round(_DECIMALS)
        bounds = signals.layout.first_sentence
        judged = [
            _Judged(one, float(chunks[at]), sentences[bounds[at] : bounds[at + 1]], float(evidence.chunk[at]))
            for at, one in enumerate(candidates)
        ]
        return self._explained(judged, signals, looked, added) if explain else judged

    def _explained(
        self, judged: Sequence[_Judged], signals: _Signals, looked: _Looked | None, added: Values | None
    ) -> list[_Judged]:
        """The same with parts and, where tokens are stored, with weights; `added` (S,) is the network's."""
        layout, network = signals.layout, self._weights.interaction
        weights: list[AttentionWeights | None] = [None] * len(judged)
        if looked is not None:
            head = None if network is None else attribute(_read(signals, looked), network)
            weights = [*attention_weights(looked.similarity, looked.batch, looked.tokens, head)]
        parts = sentence_parts(signals.evidence, signals.dense, signals.lexical, added, layout, self._weights.forms)
        bounds = layout.first_sentence
        return [
            replace(one, weights=weights[at], parts=parts[bounds[at] : bounds[at + 1]]) for at, one in enumerate(judged)
        ]


def _read(signals: _Signals, looked: _Looked) -> Read:
    """What the interaction network reads."""
    layout = signals.layout
    sizes = np.bincount(layout.token_sentence, minlength=layout.n_sentences).astype(np.float32)
    numbers = sentence_numbers(signals.evidence, signals.dense, signals.lexical, layout, sizes)
    return Read(looked.batch.vectors(), looked.similarity, looked.question, signals.weights, numbers, layout)


def similarities(batch: TokenBatch, question: FloatArray) -> FloatArray:
    """Cosines of N stored tokens with Tq question tokens, shape (N, Tq), from their codes; `question` has unit rows."""
    return (batch.codes @ question.T) * batch.scales[:, None]


def lead_matches(query: Query, offsets: IntArray, candidates: Sequence[Candidate]) -> FloatArray:
    """What the title and headings above each chunk match of the question's tokens (Tq, 2): shape (C, Tq), 0 or more."""
    matches: FloatArray = _HIT * token_hits(offsets, query.terms, _lead_hits(query, query.terms, candidates))
    return matches


def _lead_hits(query: Query, terms: Sequence[QueryTerm], candidates: Sequence[Candidate]) -> FloatArray:
    """1 where a term of the question stands in the title or headings above a chunk, shape (C, terms).

    The encoder reads that lead, but its token vectors are not stored; "cash flow statement" names a heading that no
    row under it repeats.
    """
    return term_hits(query.text, terms, [one.chunk.passage(one.document.title).lead for one in candidates])


def _with_headers(matches: FloatArray, candidates: Sequence[Candidate], layout: Layout) -> FloatArray:
    """Matches (S, Tq) in which a row of a table also says what its header says.

    "China | 55" answers a question about allowances only under "Country | Daily allowance": a row is read with its
    header, as a person reads it, and the selection sends the two together.
    """
    rows, headers = rows_under_headers([one.chunk for one in candidates], layout)
    read = matches.copy()
    read[rows] = np.maximum(matches[rows], matches[headers])
    return read


def lexical_shares(query: Query, candidates: Sequence[Candidate]) -> FloatArray:
    """BM25 of each chunk as a share of what the question could reach at most, shape (C,); 0 where it was not found."""
    ceiling = _BM25_CEILING * total_idf(query.terms)
    scores = [one.scores.get("lexical", 0.0) for one in candidates]
    if ceiling <= 0:
        return np.zeros(len(scores), dtype=np.float32)
    shares: FloatArray = np.clip(np.array(scores, dtype=np.float32) / ceiling, 0.0, 1.0)
    return shares


def _scored(judged: _Judged) -> ScoredChunk:
    candidate = judged.candidate
    scores = dict(candidate.scores)
    if judged.attention is not None:
        scores["attention"] = judged.attention
    parts = judged.parts or repeat(None)
    sentences = tuple(map(ScoredSentence, candidate.chunk.sentences, judged.sentences, parts))
    score = float(probability(np.array(judged.logit)))
    return ScoredChunk(candidate.stored, score, sentences, scores, judged.weights)


def _fused_order(judged: _Judged) -> ScoredChunk:
    """Where attention has no say the chunk's score is the retriever's own, so that order and score agree."""
    return replace(_scored(judged), score=judged.candidate.scores.get("fused", 0.0))
