"""The stop rule of a selection, and what its glue may cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from context.evidence_mass import evidence_mass, mass_per_token
from domain.calibration import Thresholds


@dataclass(frozen=True, slots=True)
class SelectionPolicy:
    """When a sentence is worth its tokens. Scores are the reranker's, chances in 0..1.

    mass_per_token: the evidence mass that each token of a sentence must buy. abstain_below: the score that the best
    sentence needs for anything to be sent. Where only the order of the scores is believed (`scaled` is False, or they
    are those of chunks), relative_to_best is the share of the best one's that the others need. by_language: other
    values of the first two for questions in one of `LANGUAGES`.
    """

    mass_per_token: float = 0.0005
    abstain_below: float = 0.1  # of the best sentence; 2 of 281 answerable questions lie under it
    relative_to_best: float = 0.3
    scaled: bool = True
    by_language: Mapping[str, Thresholds] = field(default_factory=dict)
    max_chunks: int = 12  # marks beyond a dozen are neither read nor cited
    max_chunks_per_document: int = 8  # where other documents have evidence too; 3 cost 5 points on long articles
    first_chunks_per_document: int = 3  # before those of other documents have had their turn
    predecessor_tokens: int = 48  # a sentence of ordinary length; a longer one costs more than the pronoun is worth
    gap_tokens: int = 12  # the gap sign and the seam cost about as much as such a sentence
    header_tokens: int = 80  # a header row of some ten columns
    list_tokens: int = 160  # a procedure of some eight steps
    code_tokens: int = 160  # a function of some fifteen lines; of a longer block only what was asked for is sent

    @classmethod
    def fill(cls) -> SelectionPolicy:
        """No stop rule: take the best sentences until the ceiling binds, for measuring recall at a given budget."""
        return cls(
            0.0, -math.inf, 0.0, max_chunks=10_000, max_chunks_per_document=10_000, first_chunks_per_document=10_000
        )

    def without_scale(self) -> SelectionPolicy:
        """The policy for scores of an unknown scale: nothing is too weak to be sent, beside nothing better."""
        return replace(self, scaled=False)

    def of(self, language: str) -> SelectionPolicy:
        """The policy for questions in one of `LANGUAGES`."""
        own = self.by_language.get(language)
        return self if own is None else replace(self, by_language={}, **asdict(own))

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
