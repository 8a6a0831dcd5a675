"""Runs an evaluation: checks the questions against the collection, asks them, and sums up.

questions ── draw ── check labels ── ask each once ── summary with intervals ── limits ── report
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from domain.errors import NotFound, UsageError
from domain.evaluation import Asked, EvaluationReport, Limit, OperatingPoint
from domain.protocols import TokenEncoder
from service.evaluation.asking import Asker, Outcome
from service.evaluation.baselines import (
    Baseline,
    BM25Sentences,
    ChunkVectors,
    DenseTopK,
    LongContextReorder,
    MaximalMarginalRelevance,
    SentenceWindow,
)
from service.evaluation.request import EvaluationRequest
from service.evaluation.summary import Summary
from service.labelled_questions import LabelledQuestion
from service.parts import Parts

Progress = Callable[[int, int], None]


class Evaluator:
    """Puts labelled questions to one collection and measures quality per token."""

    def __init__(self, parts: Parts, collection: str, progress: Progress | None = None) -> None:
        """`progress` is told (done, total) after each question."""
        self._parts, self._collection = parts, collection
        self._progress = progress or (lambda done, total: None)

    def run(self, questions: Sequence[LabelledQuestion], request: EvaluationRequest) -> EvaluationReport:
        """Ask every question once. Raises UsageError for a request or labels that cannot be measured."""
        request.check()
        started = time.perf_counter()
        drawn = _drawn(questions, request)
        unknown = self._unknown_documents(drawn)
        baselines, left_out = self._baselines() if request.baselines else ([], {})
        outcomes = self._ask(drawn, request, baselines)
        summary = Summary(outcomes, request.budgets, baselines)
        point = summary.point()
        return EvaluationReport(
            collection=self._collection,
            tokenizer=self._parts.counter.name,
            reranker=self._parts.scoring.of(self._collection).reranker.name,
            asked=_asked(outcomes, unknown),
            point=point,
            median_context_tokens=summary.median_tokens(),
            above_curve=summary.above_curve(),
            curve=summary.curve(),
            plain=summary.plain(),
            ndcg=summary.ndcg(),
            spans=summary.spans(),
            abstention=summary.abstention(),
            prompt=summary.prompt(request.price),
            latency=summary.latency(),
            baselines=summary.baselines(),
            left_out=left_out,
            limits=_limits(request, point),
            seconds=time.perf_counter() - started,
        )

    def _ask(
        self, questions: Sequence[LabelledQuestion], request: EvaluationRequest, baselines: Sequence[Baseline]
    ) -> list[Outcome]:
        asker = Asker(self._parts, self._collection, request.budgets, baselines)
        outcomes = []
        for done, question in enumerate(questions, start=1):
            outcomes.append(asker.ask(question))
            self._progress(done, len(questions))
        if not any(one.findable for one in outcomes):
            raise UsageError(
                "Retrieval found the gold evidence of none of the questions. Do the documents of this collection hold "
                "the answers, at the places that the file names?",
                code="no_gold_evidence",
            )
        return outcomes

    def _unknown_documents(self, questions: Sequence[LabelledQuestion]) -> int:
        """How many questions name a document that is not in the collection. Raises UsageError where all do."""
        named = [names for question in questions if (names := _documents(question))]
        known = {name: self._knows(name) for name in set().union(*named)}
        unknown = [names for names in named if not all(known[name] for name in names)]
        if named and len(unknown) == len(named) and not any(known.values()):
            raise UsageError(
                f"None of the {len(known):,} documents that the questions name is in the collection "
                f"{self._collection!r}, for example {min(known)!r}. Ingest them, choose another collection, or name "
                "them by the id or source that `fovea list` shows.",
                code="no_gold_evidence",
            )
        return len(unknown)

    def _knows(self, document: str) -> bool:
        """Whether the collection holds a document of this id or source."""
        store = self._parts.store
        if store.content_state(self._collection, document) is not None:
            return True
        try:
            return store.get_info(document).collection == self._collection
        except NotFound:
            return False

    def _baselines(self) -> tuple[list[Baseline], dict[str, str]]:
        """Those that can be run with this encoder, and why others cannot."""
        from retrieval.lexical.analyzer import Analyzer

        parts = self._parts
        vectors = ChunkVectors(parts.store.iter_vectors(self._collection), parts.encoder.dim)
        chunks: list[Baseline] = [DenseTopK(), LongContextReorder(), MaximalMarginalRelevance(vectors)]
        words = BM25Sentences(Analyzer().index_terms)
        if isinstance(parts.encoder, TokenEncoder):
            return [*chunks, SentenceWindow(parts.training.codec), words], {}
        return [*chunks, words], {SentenceWindow.name: "the encoder gives no token vectors to make sentences' from"}


def _drawn(questions: Sequence[LabelledQuestion], request: EvaluationRequest) -> Sequence[LabelledQuestion]:
    """At most `limit` questions, in their order. Raises UsageError where none of them can be answered."""
    drawn = questions
    if request.limit is not None and request.limit < len(questions):
        places = sorted(random.Random(request.seed).sample(range(len(questions)), request.limit))
        drawn = [questions[place] for place in places]
    if not any(question.answerable for question in drawn):
        raise UsageError(
            f"None of the {len(drawn):,} questions has an answer: recall cannot be measured. Add questions with "
            '"answers" that the documents give.',
            code="too_few_questions",
        )
    return drawn


def _documents(question: LabelledQuestion) -> set[str]:
    named = {reference.document for reference in question.references}
    return named or ({question.document} if question.document is not None and question.answerable else set())


def _asked(outcomes: Sequence[Outcome], unknown: int) -> Asked:
    answerable = [one for one in outcomes if one.question.answerable]
    return Asked(
        answerable=len(answerable),
        unanswerable=len(outcomes) - len(answerable),
        documents=len({one.question.cluster for one in outcomes}),
        without_candidate=sum(not one.findable for one in answerable),
        unknown_documents=unknown,
        repeated_elsewhere=sum(one.repeated_elsewhere for one in answerable),
    )


def _limits(request: EvaluationRequest, point: OperatingPoint) -> tuple[Limit, ...]:
    recall, tokens = point.answer_recall.value, point.context_tokens.value
    limits = []
    if request.min_recall is not None:
        limits.append(Limit("min_recall", request.min_recall, recall, least=True))
    if request.max_context_tokens is not None:
        limits.append(Limit("max_context_tokens", request.max_context_tokens, tokens, least=False))
    return tuple(limits)
