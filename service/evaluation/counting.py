"""Token counts that are asked for again and again, counted once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from context.drafts import chunk_sentences, draft_evidence
from context.picking import SEPARATOR_TOKENS
from context.rendering import fence, render
from context.templates import Wording
from domain.documents import Chunk
from domain.protocols import TokenCounter
from domain.search import Candidate, Evidence, ScoredChunk, ScoredSentence

_REMEMBERED = 16_384  # texts: a question's sentences and prompts, and the chunks that many questions share


class CachedCounter:
    """A TokenCounter that remembers: the prompts of one question are made of the same sentences at every budget."""

    def __init__(self, counter: TokenCounter) -> None:
        self._counter = counter
        self.count = lru_cache(_REMEMBERED)(counter.count)

    @property
    def name(self) -> str:
        return self._counter.name


class SentenceCosts:
    """What each sentence of a chunk adds to the tokens of the chunk when it is read from the start.

    The costs of a whole chunk sum to the tokens of its text, whatever the tokenizer does at the seams.
    """

    def __init__(self, counter: TokenCounter) -> None:
        self._counter = counter
        self._known: dict[str, tuple[int, ...]] = {}

    def of(self, chunk: Chunk) -> tuple[int, ...]:
        """One cost a sentence of `chunk_sentences(chunk)`."""
        known = self._known.get(chunk.id)
        if known is None:
            known = self._known[chunk.id] = self._counted(chunk)
        return known

    def _counted(self, chunk: Chunk) -> tuple[int, ...]:
        costs, reached = [], 0
        for sentence in chunk_sentences(chunk)[:-1]:
            grown = max(reached, self._counter.count(chunk.text[: sentence.span.end - chunk.span.start]))
            costs.append(grown - reached)
            reached = grown
        return (*costs, max(0, self._counter.count(chunk.text) - reached))


class LayoutCosts:
    """What the product's layout adds to the text of evidence: a frame around all of it, and a label to each chunk."""

    def __init__(self, counter: TokenCounter) -> None:
        self._counter = counter
        self._labels: dict[tuple[str, str], int] = {}

    def frame(self) -> int:
        return self._counter.count(fence("00", [""]))

    def label(self, candidate: Candidate, wording: Wording) -> int:
        """Mark, title, place and separator."""
        key = candidate.chunk.id, wording.page
        if key not in self._labels:
            draft = drafted(candidate, [0])
            text = candidate.chunk.sentence_text(chunk_sentences(candidate.chunk)[0])
            labelled = self._counter.count(render(draft, wording)) + SEPARATOR_TOKENS
            self._labels[key] = max(0, labelled - self._counter.count(text))
        return self._labels[key]


def drafted(candidate: Candidate, places: Iterable[int]) -> Evidence:
    """Evidence of the sentences at these places of a candidate."""
    sentences = chunk_sentences(candidate.chunk)
    taken = [ScoredSentence(sentences[place], 0.0) for place in sorted(places)]
    return draft_evidence(ScoredChunk(candidate.stored, 0.0, (), {}), taken)
