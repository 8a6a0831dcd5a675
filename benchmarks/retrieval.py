"""Plain rankings of candidates, and what counts as found: shared by the benchmarks.

A ranking sends its chunks from the top: every sentence of a chunk has the chunk's score, and the last one is cut at a
sentence end. An answer is found where it lies in the evidence, at its gold location, when the product's own context
builder fills a budget.
"""

from __future__ import annotations

from collections.abc import Sequence

from context.builder import ContextBuilder
from context.selection_policy import SelectionPolicy
from domain.asking import AskOptions
from domain.protocols import TokenCounter
from domain.search import Candidate, Query, ScoredChunk, ScoredSentence
from service.answer_strings import find_answer
from service.labelled_questions import LabelledQuestion, evidence_recall


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
