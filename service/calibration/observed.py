"""What the reranker says about labelled questions, kept in a few kilobytes a question.

    question ── retrieval ── reranker ─┬─ the score of every sentence, its tokens, and whether it is gold
                                       ├─ which of them the question needs
                                       └─ the best score, with and without the documents that hold the answer

A question asked without its gold documents is one that the rest does not answer: a self-made unanswerable question,
for sets that label none.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from attention_core.calibration import Numbers
from context.drafts import sentences_of
from context.evidence_mass import evidence_mass, mass_per_token
from context.language import language_of
from domain.calibration import ScoreMap
from domain.errors import UsageError
from domain.protocols import Reranker, TokenCounter
from domain.search import Candidate, Query, ScoredChunk
from service.labelled_questions import LabelledQuestion, gold_sentences, needed_sentences
from service.scoring import chances

T = TypeVar("T")
Encode = Callable[[str], Query]
Retrieve = Callable[[Query], list[Candidate]]


@dataclass(frozen=True, slots=True)
class Observed:
    """Sentence scores of one question: `scores`, `tokens` and `gold` (S,) of all candidates; `needed` () are the places
    of the sentences that it needs, none where they were not found.

    `best` is the highest score, `best_elsewhere` the highest one outside the documents of the gold evidence; None
    where there are no candidates, and for a question without known gold documents.
    """

    question: LabelledQuestion
    language: str
    scores: Numbers
    tokens: NDArray[np.intp]
    gold: NDArray[np.bool_]
    needed: NDArray[np.intp]
    best: float | None
    best_elsewhere: float | None

    def mapped(self, maps: Mapping[str, ScoreMap]) -> Observed:
        """The same with every score turned into a chance."""
        score_map = maps.get(self.language)
        if score_map is None:
            return self

        def top(best: float | None) -> float | None:
            return None if best is None else float(chances([best], best, score_map)[0])

        scores = chances(self.scores, self.best or 0.0, score_map)
        return replace(self, scores=scores, best=top(self.best), best_elsewhere=top(self.best_elsewhere))

    def worth(self) -> Numbers:
        """(S,) the evidence mass that a token of each sentence buys; infinite for the best one, which has no price."""
        masses = evidence_mass(self.scores.tolist())
        pairs = zip(masses, self.tokens.tolist(), strict=True)
        worth = np.array([mass_per_token(mass, tokens) for mass, tokens in pairs], dtype=np.float64)
        worth[self.scores == self.scores.max(initial=-np.inf)] = np.inf
        return worth


def observe(
    question: LabelledQuestion, encode: Encode, retrieve: Retrieve, reranker: Reranker, counter: TokenCounter
) -> Observed:
    """Ask one question and keep what the reranker said about it."""
    query = encode(question.question)
    return observed(question, query, reranker.rerank(query, retrieve(query)), counter)


def observed(
    question: LabelledQuestion, query: Query, scored: Sequence[ScoredChunk], counter: TokenCounter
) -> Observed:
    """What was said of a question, kept: its sentences in the order of `scored` and of each chunk."""
    scores: list[float] = []
    tokens: list[int] = []
    gold: list[bool] = []
    first: list[int] = []  # place of the first sentence of each chunk
    for item in scored:
        wanted = gold_sentences(question, item.chunk, item.document)
        first.append(len(scores))
        for one in sentences_of(item):
            scores.append(one.score)
            tokens.append(counter.count(item.chunk.sentence_text(one.sentence)))
            gold.append(one.sentence.ordinal in wanted)
    needed = [first[at] + place for at, place in needed_sentences(question, scored)]
    return Observed(
        question,
        language_of(query.text),
        np.array(scores, dtype=np.float64),
        np.array(tokens, dtype=np.intp),
        np.array(gold, dtype=bool),
        np.array(needed, dtype=np.intp),
        max(scores, default=None),
        _best_elsewhere(question, scored),
    )


def _best_elsewhere(question: LabelledQuestion, scored: Sequence[ScoredChunk]) -> float | None:
    documents = {item.document for item in question.locations} or {question.document} - {None}
    if not documents or not question.answerable:
        return None
    others = (item for item in scored if not documents & {item.document.id, item.document.source})
    return max((one.score for item in others for one in sentences_of(item)), default=None)


def deal(clusters: Mapping[str, Sequence[T]], groups: int) -> list[list[T]]:
    """What is in `clusters`, in `groups` lists that share no cluster.

    Each goes to the list that has least so far, the largest first (Graham 1969), those of one size as they come.
    """
    lists: list[list[T]] = [[] for _ in range(groups)]
    for members in sorted(clusters.values(), key=len, reverse=True):
        min(lists, key=len).extend(members)
    return lists


def split_by_document(
    questions: Sequence[LabelledQuestion], seed: int
) -> tuple[list[LabelledQuestion], list[LabelledQuestion]]:
    """Two halves, for fitting and for checking, that share no document. Raises UsageError where all share one.

    The same questions give the same halves, in whatever order they come.
    """
    clusters: dict[str, list[LabelledQuestion]] = {}
    for question in sorted(questions, key=lambda item: item.id):
        clusters.setdefault(question.cluster, []).append(question)
    if len(clusters) < 2:
        raise UsageError(
            "All questions are about one document, so none is left to check the result on; label questions about "
            "several documents.",
            code="too_few_questions",
        )
    names = sorted(clusters)
    random.Random(seed).shuffle(names)  # decides among those of one size
    fitting, checking = deal({name: clusters[name] for name in names}, 2)
    return fitting, checking
