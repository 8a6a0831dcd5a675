"""One question, asked once: what is sent for it at the default settings, at every budget, and by every baseline.

    question ── encode ── retrieve ─┬─ rerank ─┬─ build at the default settings: the operating point
                                    │          └─ fill each budget: the curve
                                    └─ baselines: each a ranking of pieces, walked once

A context of at most B tokens may also be a smaller one, so recall never falls from one budget to the next. Every
budget is filled even where a smaller one held all of the evidence: the operating point is compared to the curve at as
many tokens *sent*, and a filled context has fewer than its budget, by most of a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from context.drafts import sentences_of
from context.language import detect_language
from domain.asking import AskOptions
from domain.documents import Span
from domain.search import Candidate, Evidence, Filters, Query, ScoredChunk
from service.calibration.side_by_side import discounted_gain
from service.evaluation.baselines import Baseline, DenseTopK
from service.evaluation.counting import CachedCounter, LayoutCosts, SentenceCosts
from service.evaluation.measures import Overlap, span_overlap
from service.evaluation.walking import Charges, Labels, Walk, sent_spans, walk
from service.labelled_questions import LabelledQuestion, evidence_recall, is_gold_chunk, repeated_elsewhere
from service.parts import Parts
from service.question_encoding import checked_question, encode_question
from service.stopwatch import Stopwatch

_AS_THEY_COME = AskOptions()
TOP = 10  # chunks that plain retrieval-augmented generation sends
KS = (1, 2, 3, 5, 10, 20, 50)  # numbers of pieces at which baselines are shown


@dataclass(frozen=True, slots=True)
class Sent:
    """What a method sends for one question: tokens, the share of the gold evidence in them, and how the characters
    agree with labelled references (None without any).
    """

    tokens: int
    recall: float
    overlap: Overlap | None = None


@dataclass(frozen=True, slots=True)
class Ranked:
    """What a baseline's ranking holds: at each budget as laid out, and in its first k pieces for each k of `KS`."""

    curve: tuple[Sent, ...]
    at_k: tuple[Sent, ...]

    @classmethod
    def of(cls, walked: Walk, budgets: Sequence[int]) -> Ranked:
        filled = (Sent(walked.tokens_at(budget), walked.recall_at(budget)) for budget in budgets)
        return cls(tuple(filled), tuple(Sent(*walked.at_k(k)) for k in KS))


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that is kept of one question.

    `curve` (budgets,) is what fills each budget. `best` is the score of the best sentence, -inf without any.
    `findable`: some candidate holds gold evidence. `repeated_elsewhere`: by its label it is missed, though the same
    sentences were sent out of another document. `prompt`: tokens of the whole prompt, 0 where nothing is sent.
    `bare`: tokens of a prompt without evidence. `baselines`: by name. They and the curve are empty for an
    unanswerable question.
    """

    question: LabelledQuestion
    point: Sent
    plain: Sent
    curve: tuple[Sent, ...]
    ndcg: float
    best: float
    findable: bool
    repeated_elsewhere: bool
    prompt: int
    bare: int
    timings: Mapping[str, float]
    baselines: Mapping[str, Ranked] = field(default_factory=dict)

    @property
    def abstained(self) -> bool:
        return self.prompt == 0


class Asker:
    """Asks labelled questions of one collection."""

    def __init__(
        self,
        parts: Parts,
        collection: str,
        budgets: Sequence[int],
        baselines: Sequence[Baseline],
        options: AskOptions = _AS_THEY_COME,
    ) -> None:
        """`options` are those of the operating point."""
        self._options = options
        self._parts, self._collection, self._budgets, self._baselines = parts, collection, budgets, baselines
        self._counter = CachedCounter(parts.counter)
        self._sentences, self._layout = SentenceCosts(self._counter), LayoutCosts(self._counter)
        self._plain = DenseTopK()
        self._fill = parts.evaluation.filling(self._counter, CachedCounter(parts.bound))

    def ask(self, question: LabelledQuestion) -> Outcome:
        """Retrieve once, rerank once, and measure. Raises UsageError for a question that cannot be asked."""
        clock, parts = Stopwatch(), self._parts
        text = checked_question(parts, question.question)
        scoring = parts.scoring.of(self._collection)
        with clock.stage("encode"):
            query = encode_question(parts, text, Filters(self._collection))
        with clock.stage("retrieve"):
            candidates = parts.retriever.search(query, parts.candidates)
        with clock.stage("rerank"):
            scored = scoring.rerank(query, candidates)
        with clock.stage("build"):
            context = scoring.builder.build(query, scored, self._options)
        timings = clock.timings(total=True)
        labels = Labels(question, candidates)
        sent = evidence_recall(question, context.evidence) if question.answerable else 0.0
        return Outcome(
            question=question,
            point=Sent(context.context_tokens, sent, _overlap(question, _spans(context.evidence), candidates)),
            plain=self._plain_top(question, query, candidates, labels),
            curve=self._curve(question, query, scored) if question.answerable else (),
            ndcg=discounted_gain([is_gold_chunk(question, item.chunk, item.document) for item in scored]),
            best=max((one.score for item in scored for one in sentences_of(item)), default=-math.inf),
            findable=bool(labels.gold),
            repeated_elsewhere=question.answerable
            and not sent
            and repeated_elsewhere(question, scored, context.evidence),
            prompt=context.bill.total if context.evidence else 0,
            bare=context.bill.total - context.context_tokens,
            timings=timings,
            baselines=self._ranked(query, candidates, labels) if question.answerable else {},
        )

    def _ranked(self, query: Query, candidates: Sequence[Candidate], labels: Labels) -> dict[str, Ranked]:
        charges = self._charges(query)
        walks = {one.name: walk(one.pieces(query, candidates), labels, candidates, charges) for one in self._baselines}
        return {name: Ranked.of(walked, self._budgets) for name, walked in walks.items()}

    def _plain_top(
        self, question: LabelledQuestion, query: Query, candidates: Sequence[Candidate], labels: Labels
    ) -> Sent:
        pieces = self._plain.pieces(query, candidates)[:TOP]
        tokens, recall = walk(pieces, labels, candidates, self._charges(query)).at_k(TOP)
        return Sent(tokens, recall, _overlap(question, sent_spans(pieces, candidates), candidates))

    def _charges(self, query: Query) -> Charges:
        return Charges.of(self._sentences, self._layout, self._parts.evaluation.wordings[detect_language(query.text)])

    def _curve(self, question: LabelledQuestion, query: Query, scored: Sequence[ScoredChunk]) -> tuple[Sent, ...]:
        """What is sent at each budget by the engine's own builder, told to fill it."""
        reached, curve = 0.0, []
        for context in self._fill(query, scored, self._budgets):
            if reached < 1:
                reached = max(reached, evidence_recall(question, context.evidence))
            curve.append(Sent(context.context_tokens, reached))
        return tuple(curve)


def _spans(evidence: Sequence[Evidence]) -> list[tuple[str, Span]]:
    return [(item.document_id, span) for item in evidence for span in item.spans]


def _overlap(
    question: LabelledQuestion, sent: Sequence[tuple[str, Span]], candidates: Sequence[Candidate]
) -> Overlap | None:
    """None for a question without references: the place of a short answer says nothing about what to send."""
    if not question.references:
        return None
    ids = {item.document.source: item.document.id for item in candidates}
    return span_overlap([(ids.get(one.document, one.document), one.span) for one in question.references], sent)
