"""Old weights against new ones, on questions about documents that neither taught nor stopped the training.

Every question is scored by three measures: nDCG@10 of the chunks, and how much of the labelled evidence is among the
best sentences worth 128 and 256 context tokens. Their mean decides. Intervals are bootstrapped over documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from attention_core.calibration import Numbers, paired_difference
from domain.asking import AskOptions
from domain.protocols import ContextBuilder, Reranker
from domain.search import Candidate, Filters, Query
from domain.training import CollectionGain, EvidenceQuality, Gain
from service.calibration.side_by_side import discounted_gain
from service.labelled_questions import LabelledQuestion, evidence_recall, is_gold_chunk
from service.parts import Parts
from service.question_encoding import encode_question

BUDGETS = (128, 256)  # context tokens
TOLERATED_LOSS = 0.01  # of the mean of the three measures, in one collection


@dataclass(slots=True)
class Marks:
    """What one way of scoring made of the questions of a collection; `values` (N, 3) are the three measures."""

    collection: str
    clusters: list[str] = field(default_factory=list)
    values: list[tuple[float, float, float]] = field(default_factory=list)

    @property
    def means(self) -> Numbers:
        """(N,) of the three measures."""
        means: Numbers = np.asarray(self.values, dtype=np.float64).mean(axis=1)
        return means

    def quality(self) -> EvidenceQuality:
        return EvidenceQuality(*(float(value) for value in np.mean(self.values, axis=0)))


def retrieved(parts: Parts, collection: str, question: LabelledQuestion) -> tuple[Query, list[Candidate]]:
    """The question as a search of the collection reads it, and its candidates."""
    query = encode_question(parts, question.question, Filters(collection))
    return query, parts.retriever.search(query, parts.candidates)


def examine(
    parts: Parts,
    collection: str,
    questions: Sequence[LabelledQuestion],
    reranker: Reranker,
    builder: ContextBuilder,
    step: Callable[[], None],
) -> Marks:
    """Put the questions to one collection; `builder` fills any ceiling. `step` is called after each question."""
    marks = Marks(collection)
    for question in questions:
        query, candidates = retrieved(parts, collection, question)
        gold = {one.chunk.id for one in candidates if is_gold_chunk(question, one.chunk, one.document)}
        scored = reranker.rerank(query, candidates)
        contexts = [builder.build(query, scored, AskOptions(max_tokens=budget)) for budget in BUDGETS]
        short, long = (evidence_recall(question, context.evidence) for context in contexts)
        marks.clusters.append(question.cluster)
        marks.values.append((discounted_gain([one.chunk.id in gold for one in scored]), short, long))
        step()
    return marks


def gains(before: Sequence[Marks], after: Sequence[Marks]) -> tuple[CollectionGain, ...]:
    """Both on each collection."""
    return tuple(
        CollectionGain(
            collection=old.collection,
            questions=len(old.values),
            documents=len(set(old.clusters)),
            before=old.quality(),
            after=new.quality(),
            gain=Gain(*paired_difference(new.means, old.means, old.clusters)),
        )
        for old, new in zip(before, after, strict=True)
    )


def overall(before: Sequence[Marks], after: Sequence[Marks]) -> Gain:
    """The mean gain of the collections, with equal weight: a question counts by how few its collection has."""
    total = sum(len(one.values) for one in before)
    shares = np.concatenate([np.full(len(one.values), total / (len(before) * len(one.values))) for one in before])
    new, old = (np.concatenate([one.means for one in both]) for both in (after, before))
    clusters = [f"{one.collection}/{cluster}" for one in before for cluster in one.clusters]
    return Gain(*paired_difference(shares * new, shares * old, clusters))


def verdict(collections: Sequence[CollectionGain]) -> tuple[bool, str]:
    """Whether the new weights are better, and the figures that say so."""
    mean = sum(one.gain.mean for one in collections) / len(collections)
    lost = [one for one in collections if one.gain.mean < -TOLERATED_LOSS and one.gain.high < 0]
    figures = f"{100 * mean:+.1f} points on average over {_count(len(collections), 'collection')}"
    if mean <= 0:
        return False, f"not better on the held-out questions: {figures}"
    if lost:
        worst = min(lost, key=lambda one: one.gain.mean)
        return False, f"{figures}, but {100 * worst.gain.mean:+.1f} on {worst.collection}"
    return True, f"better on the held-out questions: {figures}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
