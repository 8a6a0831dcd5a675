"""Which sentences are worth their tokens: scored chunks to evidence.

The ceiling is not a target. Sentences of all chunks are taken in one list, best first, and taking stops where the next
one no longer supports the question: below an absolute score, or too far below the best sentence of this question. Each
sentence taken must fit the ceiling *as rendered*, label and separators included; one that does not fit is passed over,
a shorter one behind it may still fit.

A sentence torn from its place can be unreadable, so four kinds of glue are bought when they are cheap: the sentence
before one that opens with a pronoun or a connective, the single short sentence between two that were taken, the header
row of a table, and the rest of a fenced block of code. What is already said (the same span, or the same words, numbers
and names) is not bought twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from context.budget import TokenBudget
from context.drafts import draft_evidence, sentences_of
from context.picking import Picking
from context.templates import Wording
from domain.answers import Dropped
from domain.documents import Chunk
from domain.search import Evidence, ScoredChunk

__all__ = ["EvidenceSelector", "Selection", "SelectionPolicy", "draft_evidence", "sentences_of"]

_REMEMBERED = 100_000  # sizes of chunks, some 10 MB


@dataclass(frozen=True, slots=True)
class SelectionPolicy:
    """When a sentence is worth its tokens. Scores are the reranker's, probabilities in 0..1.

    The first three were chosen on 281 answerable and 160 unanswerable questions (xquad-en, cmrc-zh, covidqa): against
    filling 1,000 tokens they keep 95 to 99 % of the answers found, with 15 to 55 % of the tokens; 2 of the answerable
    questions are turned away, and 7 in 10 unanswerable ones.
    """

    keep_above: float = 0.05  # below it lies chance similarity: from .02 to .05 no set lost more than 2 answers in 100
    relative_to_best: float = 0.3  # of the best sentence; .5 halves the surplus again but loses 2 to 4 answers in 100
    abstain_below: float = 0.1  # of the best sentence; 2 of 281 answerable questions lie under it
    max_chunks: int = 12  # marks beyond a dozen are neither read nor cited
    max_chunks_per_document: int = 8  # where other documents have evidence too; 3 cost 5 points on long articles
    predecessor_tokens: int = 48  # a sentence of ordinary length; a longer one costs more than the pronoun is worth
    gap_tokens: int = 12  # the gap sign and the seam cost about as much as such a sentence
    header_tokens: int = 80  # a header row of some ten columns
    code_tokens: int = 160  # a function of some fifteen lines; of a longer block only what was asked for is sent

    @classmethod
    def fill(cls) -> SelectionPolicy:
        """No stop rule: take the best sentences until the ceiling binds, for measuring recall at a given budget."""
        return cls(-math.inf, 0.0, -math.inf, max_chunks=10_000, max_chunks_per_document=10_000)

    def without_scale(self) -> SelectionPolicy:
        """The policy for scores of an unknown scale, such as those of fused ranks: only their order is believed."""
        return replace(self, keep_above=-math.inf, abstain_below=-math.inf)

    def threshold(self, best: float) -> float:
        """The score that a sentence must reach when the best one of the question has `best`."""
        relative = best * self.relative_to_best if best > 0 and self.relative_to_best > 0 else -math.inf
        return max(self.keep_above, relative)


@dataclass(frozen=True, slots=True)
class Selection:
    """Evidence in order of score, its marks not yet final; every other candidate with the reason it stays behind."""

    evidence: tuple[Evidence, ...]
    dropped: tuple[Dropped, ...]


class EvidenceSelector:
    """Picks the sentences that support the question out of all candidates, within a ceiling of tokens."""

    def __init__(self, budget: TokenBudget, policy: SelectionPolicy) -> None:
        self._budget = budget
        self._policy = policy
        self._sizes: dict[str, int] = {}

    def select(self, scored: Sequence[ScoredChunk], ceiling: int, wording: Wording) -> Selection:
        """The evidence that fits `ceiling` tokens; `scored` is best first. An empty selection is a valid answer."""
        picking = Picking(scored, ceiling, wording, self._budget, self._policy)
        best = max((item.score for sentences in picking.sentences for item in sentences), default=-math.inf)
        policy = self._policy if any(item.sentences for item in scored) else self._policy.without_scale()
        if best >= policy.abstain_below:
            picking.take_all(policy.threshold(best))
            picking.close_gaps()
        evidence = sorted(picking.drafts.items(), key=lambda entry: (-_strength(entry[1]), entry[0]))
        return Selection(tuple(draft for _, draft in evidence), self._dropped(scored, picking))

    def _dropped(self, scored: Sequence[ScoredChunk], picking: Picking) -> tuple[Dropped, ...]:
        return tuple(
            Dropped(
                chunk_id=item.chunk.id,
                document_id=item.document.id,
                reason=picking.refusals.get(index, "below_threshold"),
                tokens=self._size(item.chunk),
                score=item.score,
            )
            for index, item in enumerate(scored)
            if index not in picking.drafts
        )

    def _size(self, chunk: Chunk) -> int:
        """Tokens of a chunk, remembered: candidates come again, and counting 50 took a third of a search."""
        size = self._sizes.get(chunk.id)
        if size is None:
            if len(self._sizes) >= _REMEMBERED:
                self._sizes.clear()
            size = self._sizes[chunk.id] = self._budget.count(chunk.text)
        return size


def _strength(item: Evidence) -> float:
    return max(sentence.score for sentence in item.sentences)
