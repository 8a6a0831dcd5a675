"""Which sentences are worth their tokens: scored chunks to evidence.

The ceiling is not a target. Sentences of all chunks are taken in one list, best first, as long as a token of them buys
enough evidence mass (`evidence_mass.py`); the best one is taken at any price, unless it is so weak that nothing is.
Each sentence taken must fit the ceiling *as rendered*, label and separators included; one that does not fit is passed
over, a shorter one behind it may still fit.

A sentence torn from its place can be unreadable, so five kinds of glue are bought when they are cheap: the sentence
before one that opens with a pronoun or a connective, the single short sentence between two that were taken, the header
row of a table, the rest of a fenced block of code, and what a heading, a question, a colon or the title of a list
announces, which resembles the question better than what it promises does. What is already said (the same span, or
the same words, numbers and names) is not bought twice.

Nor is what is said many times truer for it. The mass is shared out among all sentences, so fifty copies of one would
leave next to nothing to a sentence that says otherwise; and copies that differ in a number are each sent, for each may
be the one that is right. So of sentences that say nearly the same (`domain/near_copies.py`) the first three are like
any other; further ones, the crowd, take no mass, and their turn comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from context.budget import TokenBudget
from context.offers import Candidates, Offers, Place
from context.picking import Picking
from context.selection_policy import SelectionPolicy
from context.templates import Wording
from domain.context import Dropped
from domain.documents import Chunk
from domain.near_copies import CopyGroups
from domain.search import Evidence, ScoredChunk

_LEAST_SHARE = 0.1  # of the best score: the copies of what is weaker take next to nothing from anybody
_REMEMBERED = 100_000  # sizes of chunks, some 10 MB


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

    def offers(self, scored: Sequence[ScoredChunk], language: str) -> Offers:
        """What is worth its tokens in `scored`, best first, to a question in one of `LANGUAGES`, at any ceiling."""
        candidates = Candidates.of(scored)
        return Offers.of(candidates, *self._worth(candidates, self._policy.of(language)))

    def select(self, offers: Offers, ceiling: int, wording: Wording) -> Selection:
        """The evidence that fits `ceiling` tokens. An empty selection is a valid answer."""
        picking = Picking(offers.candidates, ceiling, wording, self._budget, self._policy)
        picking.take_all(offers)
        picking.close_gaps()
        evidence = sorted(picking.drafts.items(), key=lambda entry: (-_strength(entry[1]), entry[0]))
        return Selection(tuple(draft for _, draft in evidence), self._dropped(offers.candidates.scored, picking))

    def _worth(self, candidates: Candidates, policy: SelectionPolicy) -> tuple[set[Place], frozenset[Place]]:
        """The sentences that are worth their tokens, and which of them only repeat what others say."""
        places = sorted(candidates.places(), key=lambda at: -candidates.score(at))

        def worth(some: Sequence[Place]) -> set[Place]:
            scores = [candidates.score(at) for at in some]
            if not (policy.scaled and any(item.sentences for item in candidates.scored)):
                wanted = policy.near_best(scores)
            else:
                wanted = policy.worth(scores, lambda at: self._budget.count(candidates.text(some[at])))
            return {place for place, is_wanted in zip(some, wanted, strict=True) if is_wanted}

        least = _LEAST_SHARE * max(map(candidates.score, places), default=0.0)
        groups = CopyGroups()
        crowd = frozenset(at for at in places if candidates.score(at) >= least and groups.crowds(candidates.text(at)))
        found = worth(places)
        if crowd:  # each sentence beside the others as if they had no copies
            repeating = {index for index, _ in crowd}
            found |= worth([at for at in places if at[0] not in repeating])
        return found, crowd

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
