"""Several ways of scoring on the same questions and the same candidates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from attention_core.calibration import Interval, Numbers, paired_difference
from domain.asking import AskOptions
from domain.calibration import ScoringQuality
from domain.search import Candidate, Query
from service.calibration.observed import Encode, Retrieve
from service.labelled_questions import LabelledQuestion, evidence_recall, is_gold_chunk
from service.scoring import Scoring


@dataclass(slots=True)
class Measured:
    """What one scoring made of the questions, in their order; `gain` and `recall` of the answerable ones only."""

    scoring: Scoring
    clusters: list[str] = field(default_factory=list)
    gain: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    def ask(
        self, question: LabelledQuestion, query: Query, candidates: Sequence[Candidate], gold: Collection[str]
    ) -> None:
        """Score and build at the default budget; `gold` holds the ids of the chunks with gold evidence."""
        scored = self.scoring.rerank(query, candidates)
        context = self.scoring.builder.build(query, scored, AskOptions())
        self.tokens.append(context.context_tokens)
        if question.answerable:
            self.clusters.append(question.cluster)
            self.gain.append(discounted_gain([item.chunk.id in gold for item in scored]))
            self.recall.append(evidence_recall(question, context.evidence))

    def quality(self) -> ScoringQuality:
        """The means; needs one answerable question at least."""
        return ScoringQuality(*(float(np.mean(values)) for values in (self.gain, self.recall, self.tokens)))

    def gain_over(self, other: Measured) -> Interval:
        return paired_difference(self.gain, other.gain, self.clusters)

    def recall_over(self, other: Measured) -> Interval:
        return paired_difference(self.recall, other.recall, self.clusters)


def measure(
    questions: Sequence[LabelledQuestion],
    scorings: Sequence[Scoring],
    encode: Encode,
    retrieve: Retrieve,
    step: Callable[[], None],
) -> list[Measured]:
    """Ask each question once and score its candidates in every way; `step` is called after each question."""
    measured = [Measured(scoring) for scoring in scorings]
    for question in questions:
        query = encode(question.question)
        candidates = retrieve(query)
        gold = {item.chunk.id for item in candidates if is_gold_chunk(question, item.chunk, item.document)}
        for one in measured:
            one.ask(question, query, candidates, gold)
        step()
    return measured


def discounted_gain(gold: Sequence[bool], k: int = 10) -> float:
    """nDCG@k of a ranking, `gold` saying for each rank whether a gold chunk stands there; 0 without any.

    >>> round(discounted_gain([False, True]), 3)   # 1 / log2(3), of an ideal 1 / log2(2)
    0.631
    """
    gains: Numbers = 1 / np.log2(np.arange(2, k + 2))
    hits = np.flatnonzero(np.asarray(gold[:k], dtype=bool))
    return float(gains[hits].sum() / gains[: min(k, sum(gold))].sum()) if any(gold) else 0.0
