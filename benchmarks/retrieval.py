"""Ranking and evidence per token on labelled sets, all methods over the same chunks and candidates in one run.

    python -m benchmarks --data FOLDER [--sets xquad-en,nq] [--questions 600] [--output docs/benchmarks]

Methods: dense (cosine of sentence vectors), bm25, rrf (reciprocal rank fusion of both), and attention (the reranker).
R@k and MRR@10 rank chunks; the gold chunk holds the answer. AR@B is the share of questions whose answer lies in the
evidence, at its gold location, when the product's own context builder fills at most B context tokens: dense, bm25 and
rrf give every sentence of a chunk the chunk's score, so they send chunks from the top and cut the last one at a
sentence end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import markdown
from benchmarks.labelled import LabelledSet
from benchmarks.metrics import Estimate, estimate, recall_at, reciprocal_rank
from context.builder import ContextBuilder
from context.selection_policy import SelectionPolicy
from domain.asking import AskOptions
from domain.protocols import TokenCounter
from domain.search import Candidate, Filters, Query, ScoredChunk, ScoredSentence
from service.answer_strings import find_answer
from service.bootstrap import build_parts
from service.engine import Engine
from service.evaluation.counting import CachedCounter
from service.labelled_questions import LabelledQuestion, evidence_recall
from service.parts import Parts
from service.question_encoding import encode_question
from service.settings import EncoderSettings, Settings

BUDGETS = (64, 128, 256, 512, 1024)
METHODS = ("dense", "bm25", "rrf", "attention")
_SCORE = {"dense": "dense", "bm25": "lexical", "rrf": "fused"}
_CANDIDATES = 100  # the union of 50 dense and 50 lexical hits: no single ranking loses one of its first 10


@dataclass(slots=True)
class Outcomes:
    """Per-question values of one method, in the order of the questions."""

    ranks: list[int | None] = field(default_factory=list)
    found: dict[int, list[float]] = field(default_factory=lambda: {budget: [] for budget in BUDGETS})

    def columns(self, clusters: Sequence[str]) -> dict[str, Estimate]:
        ranking = {
            "R@1": [recall_at(rank, 1) for rank in self.ranks],
            "R@5": [recall_at(rank, 5) for rank in self.ranks],
            "MRR@10": [reciprocal_rank(rank) for rank in self.ranks],
        }
        evidence = {f"AR@{budget}": values for budget, values in self.found.items()}
        return {name: estimate(values, clusters) for name, values in (ranking | evidence).items()}


def measure(labelled: LabelledSet, data_dir: Path, models_dir: Path, model: str) -> dict[str, dict[str, Estimate]]:
    """Method -> metric -> estimate on one set; the set is ingested into `data_dir` unless it is there already."""
    settings = Settings(data_dir=data_dir, encoder=EncoderSettings(models_dir=models_dir, model=model))
    parts = build_parts(settings)
    outcomes = {method: Outcomes() for method in METHODS}
    with Engine(parts) as engine:
        started = time.perf_counter()
        report = engine.ingest([labelled.corpus])
        print(f"{labelled.name}: {len(report.documents)} documents, {report.seconds:.0f} s", file=sys.stderr)
        for question in labelled.questions:
            _measure_question(question, parts, outcomes)
        seconds = time.perf_counter() - started
        print(f"{labelled.name}: {len(labelled.questions)} questions, {seconds:.0f} s in all", file=sys.stderr)
    clusters = [question.cluster for question in labelled.questions]
    return {method: outcome.columns(clusters) for method, outcome in outcomes.items()}


def _measure_question(question: LabelledQuestion, parts: Parts, outcomes: dict[str, Outcomes]) -> None:
    counter = CachedCounter(parts.counter)
    query = encode_question(parts, question.question, Filters())
    candidates = parts.retriever.search(query, _CANDIDATES)
    for method, outcome in outcomes.items():
        if method == "attention":
            # The reranker sees what it sees in production: the best `candidates` of the fused list.
            scored = parts.reranker.rerank(query, candidates[: parts.candidates])
        else:
            scored = by_score(candidates, _SCORE[method])
        outcome.ranks.append(_gold_rank(question, scored))
        for budget in BUDGETS:
            outcome.found[budget].append(float(answered(question, query, scored, budget, counter)))


def by_score(candidates: Sequence[Candidate], name: str) -> list[ScoredChunk]:
    """The candidates that one retriever found, best first, each sentence with the score of its chunk."""
    ranked = sorted((item for item in candidates if name in item.scores), key=lambda item: -item.scores[name])
    return [
        ScoredChunk(
            item.stored,
            item.scores[name],
            tuple(ScoredSentence(sentence, item.scores[name]) for sentence in item.chunk.sentences),
            item.scores,
        )
        for item in ranked
    ]


def _gold_rank(question: LabelledQuestion, scored: Sequence[ScoredChunk]) -> int | None:
    return next((rank for rank, item in enumerate(scored, 1) if is_gold(question, item)), None)


def is_gold(question: LabelledQuestion, item: ScoredChunk) -> bool:
    """Whether the chunk holds the answer: its labelled start, or an answer string where no start is labelled."""
    if item.document.source != question.document:
        return False
    if question.start is not None:
        return item.chunk.span.start <= question.start < item.chunk.span.end
    return any(find_answer(item.chunk.text, answer) for answer in question.answers)


def answered(
    question: LabelledQuestion, query: Query, scored: Sequence[ScoredChunk], budget: int, counter: TokenCounter
) -> bool:
    """Whether the product's own builder, filling at most `budget` context tokens, takes the answer along."""
    builder = ContextBuilder(counter, limit=8192, reserve=256, max_tokens=budget, policy=SelectionPolicy.fill())
    context = builder.build(query, scored, AskOptions(max_tokens=budget))
    return evidence_recall(question, context.evidence) == 1


def table(results: dict[str, dict[str, dict[str, Estimate]]]) -> str:
    """Markdown: set and method by metric, mean with interval."""
    metrics = ["R@1", "R@5", "MRR@10", *(f"AR@{budget}" for budget in BUDGETS)]
    rows = (
        [name, method, *(f"{columns[metric].mean:.3f} ±{_half_width(columns[metric]):.3f}" for metric in metrics)]
        for name, methods in results.items()
        for method, columns in methods.items()
    )
    return markdown.table(["set", "method", *metrics], rows)


def _half_width(value: Estimate) -> float:
    return (value.high - value.low) / 2
