"""What the candidates of a question offer, whatever the ceiling: read once, picked from at every ceiling."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from context.drafts import sentences_of
from context.wholeness import is_heading_of
from domain.documents import Chunk
from domain.search import ScoredChunk, ScoredSentence

Place: TypeAlias = tuple[int, int]  # the number of a candidate, and that of a sentence in it


@dataclass(frozen=True, slots=True)
class Candidates:
    """Scored chunks, best first, with the usable sentences of each in document order, and the words of these."""

    scored: Sequence[ScoredChunk]
    sentences: Sequence[tuple[ScoredSentence, ...]]
    texts: Sequence[tuple[str, ...]]

    @classmethod
    def of(cls, scored: Sequence[ScoredChunk]) -> Candidates:
        """Those of a question."""
        sentences = [sentences_of(item) for item in scored]
        words = [
            tuple(item.chunk.sentence_text(one.sentence) for one in own)
            for item, own in zip(scored, sentences, strict=True)
        ]
        return cls(scored, sentences, words)

    def places(self) -> list[Place]:
        """All sentences, by candidate and place."""
        return [(index, place) for index, own in enumerate(self.sentences) for place in range(len(own))]

    def chunk(self, place: Place) -> Chunk:
        return self.scored[place[0]].chunk

    def score(self, place: Place) -> float:
        return self.sentences[place[0]][place[1]].score

    def text(self, place: Place) -> str:
        return self.texts[place[0]][place[1]]

    def is_heading(self, place: Place) -> bool:
        """True where the sentence is one of the headings that it stands under."""
        return is_heading_of(self.text(place), self.chunk(place).heading_path)


@dataclass(frozen=True, slots=True)
class Offers:
    """The sentences that are worth their tokens, in the order in which they are offered: best first, ties by candidate
    and place, headings at the end. Those of the `crowd` only repeat what others say.
    """

    candidates: Candidates
    wanted: Sequence[Place]
    headings: frozenset[Place]
    crowd: frozenset[Place]

    @classmethod
    def of(cls, candidates: Candidates, wanted: Iterable[Place], crowd: frozenset[Place]) -> Offers:
        """In their order."""
        some = sorted(wanted, key=_best_first(candidates))
        headings = frozenset(place for place in some if candidates.is_heading(place))
        some.sort(key=headings.__contains__)
        return cls(candidates, some, headings, crowd)


def _best_first(candidates: Candidates) -> Callable[[Place], tuple[float, Place]]:
    return lambda place: (-candidates.score(place), place)
