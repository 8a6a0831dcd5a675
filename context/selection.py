"""Which sentences are worth their tokens: scored chunks to evidence.

The ceiling is not a target. Sentences of all chunks are taken in one list, best first, as long as a token of them buys
enough evidence mass (`evidence_mass.py`); the best one is taken at any price, unless it is so weak that nothing is.
Each sentence taken must fit the ceiling *as rendered*, label and separators included; one that does not fit is passed
over, a shorter one behind it may still fit.

A sentence torn from its place can be unreadable, so four kinds of glue are bought when they are cheap: the sentence
before one that opens with a pronoun or a connective, the single short sentence between two that were taken, the header
row of a table, and the rest of a fenced block of code. What is already said (the same span, or the same words, numbers
and names) is not bought twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from context.budget import TokenBudget
from context.drafts import draft_evidence, sentences_of
from context.evidence_mass import evidence_mass, mass_per_token
from context.picking import Picking
from context.templates import Wording
from domain.context import Dropped
from domain.documents import Chunk
from domain.search import Evidence, ScoredChunk, ScoredSentence

__all__ = ["EvidenceSelector", "Selection", "SelectionPolicy", "draft_evidence", "sentences_of"]

_REMEMBERED = 100_000  # sizes of chunks, some 10 MB


@dataclass(frozen=True, slots=True)
class SelectionPolicy:
    """When a sentence is worth its tokens. Scores are the reranker's, chances in 0..1.

    mass_per_token: the evidence mass that each token of a sentence must buy. abstain_below: the score that the best
    sentence needs for anything to be sent. Where only the order of the scores is believed (`scaled` is False, or they
    are those of chunks), relative_to_best is the share of the best one's that the others need.
    """

    mass_per_token: float = 0.0005
    abstain_below: float = 0.1  # of the best sentence; 2 of 281 answerable questions lie under it
    relative_to_best: float = 0.3
    scaled: bool = True
    max_chunks: int = 12  # marks beyond a dozen are neither read nor cited
    max_chunks_per_document: int = 8  # where other documents have evidence too; 3 cost 5 points on long articles
    predecessor_tokens: int = 48  # a sentence of ordinary length; a longer one costs more than the pronoun is worth
    gap_tokens: int = 12  # the gap sign and the seam cost about as much as such a sentence
    header_tokens: int = 80  # a header row of some ten columns
    code_tokens: int = 160  # a function of some fifteen lines; of a longer block only what was asked for is sent

    @classmethod
    def fill(cls) -> SelectionPolicy:
        """No stop rule: take the best sentences until the ceiling binds, for measuring recall at a given budget."""
        return cls(0.0, -math.inf, 0.0, max_chunks=10_000, max_chunks_per_document=10_000)

    def without_scale(self) -> SelectionPolicy:
        """The policy for scores of an unknown scale: nothing is too weak to be sent, beside nothing better."""
        return replace(self, scaled=False)

    def worth(self, chances: Sequence[float], tokens: Callable[[int], int]) -> list[bool]:
        """Which sentences of a question are worth their tokens; `tokens` counts those of the one at a place.

        None where the best one is too weak. What could not be worth a sentence without words is not counted.
        """
        best = max(chances, default=-math.inf)
        if best < self.abstain_below:
            return [False] * len(chances)
        least = self.mass_per_token
        return [
            chance == best
            or least <= 0
            or (mass_per_token(mass, 0) >= least and mass_per_token(mass, tokens(at)) >= least)
            for at, (chance, mass) in enumerate(zip(chances, evidence_mass(chances), strict=True))
        ]

    def near_best(self, scores: Sequence[float]) -> list[bool]:
        """Which scores without a scale, such as those of fused ranks, are near enough to the best one."""
        best = max(scores, default=-math.inf)
        least = best * self.relative_to_best if best > 0 and self.relative_to_best > 0 else -math.inf
        return [score >= least for score in scores]


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
        picking.take_all(self._worth(scored, picking.sentences))
        picking.close_gaps()
        evidence = sorted(picking.drafts.items(), key=lambda entry: (-_strength(entry[1]), entry[0]))
        return Selection(tuple(draft for _, draft in evidence), self._dropped(scored, picking))

    def _worth(
        self, scored: Sequence[ScoredChunk], sentences: Sequence[Sequence[ScoredSentence]]
    ) -> list[tuple[int, int]]:
        """The (chunk, place) of each sentence that is worth its tokens."""
        places = [(index, place) for index, own in enumerate(sentences) for place in range(len(own))]
        scores = [sentences[index][place].score for index, place in places]

        def tokens(at: int) -> int:
            index, place = places[at]
            return self._budget.count(scored[index].chunk.sentence_text(sentences[index][place].sentence))

        has_scale = self._policy.scaled and any(item.sentences for item in scored)
        worth = self._policy.worth(scores, tokens) if has_scale else self._policy.near_best(scores)
        return [place for place, wanted in zip(places, worth, strict=True) if wanted]

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
