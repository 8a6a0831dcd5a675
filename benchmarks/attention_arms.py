"""The methods that `benchmarks.attention` compares, and what each of them does with one question.

An arm is one ingested copy of a set: the frozen one serves the retriever's own orders, MaxSim, the untrained reranker
and the cross-encoder; the trained one the reranker with and without its interaction network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from attention_core.codec import codec_for
from attention_core.reranker import AttentionReranker
from attention_core.scorer import ScorerWeights
from benchmarks.cross_encoder.reranker import CrossEncoder
from benchmarks.maxsim import MaxSim
from benchmarks.retrieval import answered, by_score, is_gold
from context.drafts import draft_evidence, sentences_of
from domain.search import Candidate, Filters, Query, ScoredChunk
from service.calibration.side_by_side import discounted_gain
from service.evaluation.counting import CachedCounter
from service.labelled_questions import LabelledQuestion, evidence_recall
from service.parts import Parts
from service.question_encoding import encode_question

CROSS_ENCODER = "cross-encoder (int8)"
BUDGETS = (48, 64, 100, 128, 160, 200, 256, 320, 400, 512, 768, 1024, 1536, 2048)
_CANDIDATES = 50
_TOP = 10  # chunks of the plain baseline

_NO_LIMITS: Mapping[str, int] = MappingProxyType({})
Rerank = Callable[[Query, Sequence[Candidate]], list[ScoredChunk]]


@dataclass(frozen=True, slots=True)
class CrossEncoding:
    """The cross-encoder in `folder`, for the first `questions` of a set."""

    folder: Path
    questions: int


@dataclass(slots=True)
class Outcome:
    """One method on one set, question by question; a slow method has seen the first ones only."""

    gain: list[float] = field(default_factory=list)
    found: list[list[float]] = field(default_factory=list)  # (questions, BUDGETS)
    milliseconds: list[float] = field(default_factory=list)

    @property
    def questions(self) -> int:
        return len(self.gain)

    def column(self, budget: int) -> list[float]:
        return [row[BUDGETS.index(budget)] for row in self.found]


class Arm:
    """One ingested copy of a set, with its own encoder layers and token vectors, and the methods that run on it.

    limits: of the questions that a slow method is asked.
    """

    def __init__(self, parts: Parts, methods: dict[str, Rerank], limits: Mapping[str, int] = _NO_LIMITS) -> None:
        self._parts, self._methods, self._limits = parts, methods, limits
        self.outcomes = {name: Outcome() for name in methods}
        self._counter = CachedCounter(parts.counter)

    def ask(self, question: LabelledQuestion) -> None:
        """Retrieve once, score with every method, fill every budget."""
        query = encode_question(self._parts, question.question, Filters())
        candidates = self._parts.retriever.search(query, _CANDIDATES)
        for name, rerank in self._methods.items():
            outcome = self.outcomes[name]
            if outcome.questions == self._limits.get(name):
                continue
            started = time.perf_counter()
            scored = rerank(query, candidates)
            outcome.milliseconds.append(1000 * (time.perf_counter() - started))
            outcome.gain.append(discounted_gain([is_gold(question, item) for item in scored]))
            found = [answered(question, query, scored, budget, self._counter) for budget in BUDGETS]
            outcome.found.append([float(one) for one in found])

    def plain_top(self, question: LabelledQuestion) -> tuple[int, bool]:
        """Tokens of plain dense top-10 and whether they hold the answer."""
        query = encode_question(self._parts, question.question, Filters())
        best = by_score(self._parts.retriever.search(query, _CANDIDATES), "dense")[:_TOP]
        tokens = sum(self._counter.count(item.chunk.text) for item in best)
        sent = [draft_evidence(item, sentences_of(item)) for item in best]
        return tokens, evidence_recall(question, sent) == 1


def retriever_order(name: str) -> Rerank:
    """The candidates by one of the retriever's own scores."""
    return lambda query, candidates: by_score(candidates, name)


def frozen_arm(parts: Parts, weights: ScorerWeights, cross: CrossEncoding | None) -> Arm:
    """Retriever, frozen MaxSim, the untrained reranker, and the cross-encoder, which reads no stored token."""
    methods = {
        "dense": retriever_order("dense"),
        "bm25": retriever_order("lexical"),
        "rrf": retriever_order("fused"),
        "maxsim": MaxSim(codec_for(weights)).rerank,
        "untrained": AttentionReranker(codec_for(weights), weights).rerank,
    }
    if cross is None:
        return Arm(parts, methods)
    methods[CROSS_ENCODER] = CrossEncoder(cross.folder).rerank
    return Arm(parts, methods, {CROSS_ENCODER: cross.questions})


def trained_arm(parts: Parts, weights: ScorerWeights) -> Arm:
    """The trained reranker, whole and without its interaction network."""
    bare = replace(weights, interaction=None)
    return Arm(
        parts,
        {
            "linear": AttentionReranker(codec_for(weights), bare).rerank,
            "trained": AttentionReranker(codec_for(weights), weights).rerank,
        },
    )
