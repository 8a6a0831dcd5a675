"""Which sentences are worth their tokens: scored chunks to evidence.

The ceiling is not a target. Sentences of all chunks are taken in one list, best first, and taking stops where the next
one no longer supports the question: below an absolute score, or too far below the best sentence of this question. Each
sentence taken must fit the ceiling *as rendered*, label and separators included; one that does not fit is passed over,
a shorter one behind it may still fit.

A sentence torn from its place can be unreadable, so three kinds of glue are bought when they are cheap: the sentence
before one that opens with a pronoun or a connective, the single short sentence between two that were taken, and the
header row of a table. What is already said (the same span, or the same words, numbers and names) is not bought twice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from context.budget import TokenBudget
from context.duplicates import SaidBefore
from context.rendering import render
from context.templates import Wording
from context.wholeness import header_row, leans_on_predecessor
from domain.answers import Dropped, DropReason
from domain.documents import Chunk, Sentence, Span, page_of
from domain.search import GAP, Evidence, EvidenceSentence, ScoredChunk, ScoredSentence

_WIDEST_MARK = 99  # drafts are priced with a two-digit mark: the mark they get in the end costs no more
_SEPARATOR_TOKENS = 1  # the blank line between two pieces of evidence
_SEAM_TOKENS = 4  # what a sentence can save at most by standing next to another one: pieces that merge at its ends


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
    max_chunks_per_document: int = 8  # one document must not fill the prompt alone; 3 cost 5 points on long articles
    predecessor_tokens: int = 48  # a sentence of ordinary length; a longer one costs more than the pronoun is worth
    gap_tokens: int = 12  # the gap sign and the seam cost about as much as such a sentence
    header_tokens: int = 80  # a header row of some ten columns

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

    def select(self, scored: Sequence[ScoredChunk], ceiling: int, wording: Wording) -> Selection:
        """The evidence that fits `ceiling` tokens; `scored` is best first. An empty selection is a valid answer."""
        picking = _Picking(scored, ceiling, wording, self._budget, self._policy)
        best = max((item.score for sentences in picking.sentences for item in sentences), default=-math.inf)
        policy = self._policy if any(item.sentences for item in scored) else self._policy.without_scale()
        if best >= policy.abstain_below:
            picking.take_all(policy.threshold(best))
            picking.close_gaps()
        evidence = sorted(picking.drafts.items(), key=lambda entry: (-_strength(entry[1]), entry[0]))
        return Selection(tuple(draft for _, draft in evidence), self._dropped(scored, picking))

    def _dropped(self, scored: Sequence[ScoredChunk], picking: _Picking) -> tuple[Dropped, ...]:
        return tuple(
            Dropped(
                chunk_id=item.chunk.id,
                document_id=item.document.id,
                reason=picking.refusals.get(index, "below_threshold"),
                tokens=self._budget.count(item.chunk.text),
                score=item.score,
            )
            for index, item in enumerate(scored)
            if index not in picking.drafts
        )


class _Picking:
    """One selection in progress: what was taken of each chunk, what it costs, and why other chunks were refused."""

    def __init__(
        self,
        scored: Sequence[ScoredChunk],
        ceiling: int,
        wording: Wording,
        budget: TokenBudget,
        policy: SelectionPolicy,
    ) -> None:
        self.sentences = [sentences_of(item) for item in scored]
        self.drafts: dict[int, Evidence] = {}
        self.refusals: dict[int, DropReason] = {}
        self._scored, self._wording, self._budget, self._policy = scored, wording, budget, policy
        self._left = ceiling
        self._taken: dict[int, frozenset[int]] = {}
        self._costs: dict[int, int] = {}
        self._per_document: Counter[str] = Counter()
        self._said = SaidBefore()

    def take_all(self, threshold: float) -> None:
        """Take every sentence that reaches the threshold, best first; ties go to the better chunk, then by place."""
        offers = [
            (-item.score, index, place)
            for index, sentences in enumerate(self.sentences)
            for place, item in enumerate(sentences)
            if item.score >= threshold
        ]
        for _, index, place in sorted(offers):
            refusal = self._take(index, place)
            if refusal is not None:
                self.refusals.setdefault(index, refusal)

    def close_gaps(self) -> None:
        """Add each single short sentence that stands between two taken ones."""
        for index, taken in list(self._taken.items()):
            for place in sorted(taken):
                if place + 1 not in taken and place + 2 in taken and self._is_short(index, place + 1):
                    self._try(index, self._taken[index] | {place + 1})

    def _take(self, index: int, place: int) -> DropReason | None:
        """Take one sentence with its glue where both fit, alone where only that fits; else say why not."""
        taken = self._taken.get(index, frozenset())
        if place in taken:
            return None
        chunk, sentence = self._scored[index].chunk, self.sentences[index][place].sentence
        text = chunk.sentence_text(sentence)
        if self._budget.count(text) > self._left + _SEAM_TOKENS:
            return "budget"  # seen at a glance: nothing needs to be rendered to know it
        if self._said.holds(chunk.document_id, sentence.span, text):
            return "duplicate"
        if not taken:
            if len(self._taken) >= self._policy.max_chunks:
                return "rank"
            if self._per_document[chunk.document_id] >= self._policy.max_chunks_per_document:
                return "document_cap"
        wanted = taken | {place} | self._glue(index, place)
        return None if self._try(index, wanted) or self._try(index, taken | {place}) else "budget"

    def _glue(self, index: int, place: int) -> frozenset[int]:
        """The places of the sentences without which this one cannot be read."""
        chunk, sentences = self._scored[index].chunk, self.sentences[index]
        texts = [chunk.sentence_text(item.sentence) for item in sentences]
        glue: set[int] = set()
        header = _header_place(chunk, sentences, place)
        if header is None and chunk.header is None:
            header = header_row(texts, place)  # a table that no loader marked, for example in plain text
        if header is not None and self._budget.count(texts[header]) <= self._policy.header_tokens:
            glue.add(header)
        elif place and leans_on_predecessor(texts[place]):
            if self._budget.count(texts[place - 1]) <= self._policy.predecessor_tokens:
                glue.add(place - 1)
        return frozenset(glue)

    def _try(self, index: int, places: frozenset[int]) -> bool:
        """Take exactly these sentences of a chunk if their rendering fits; False leaves everything as it was."""
        draft = draft_evidence(self._scored[index], [self.sentences[index][place] for place in sorted(places)])
        cost = self._budget.count(render(draft, self._wording)) + _SEPARATOR_TOKENS
        if cost - self._costs.get(index, 0) > self._left:
            return False
        self._left -= cost - self._costs.get(index, 0)
        if index not in self._taken:
            self._per_document[draft.document_id] += 1
        self._remember(index, places - self._taken.get(index, frozenset()))
        self._taken[index], self._costs[index] = places, cost
        self.drafts[index] = replace(draft, tokens=cost)
        return True

    def _remember(self, index: int, places: frozenset[int]) -> None:
        chunk = self._scored[index].chunk
        for place in places:
            sentence = self.sentences[index][place].sentence
            self._said.add(chunk.document_id, sentence.span, chunk.sentence_text(sentence))

    def _is_short(self, index: int, place: int) -> bool:
        chunk, sentence = self._scored[index].chunk, self.sentences[index][place].sentence
        return self._budget.count(chunk.sentence_text(sentence)) <= self._policy.gap_tokens


def sentences_of(scored: ScoredChunk) -> tuple[ScoredSentence, ...]:
    """The scored sentences in document order, without unusable scores.

    A reranker that scores chunks only leaves `sentences` empty: then each sentence has the score of its chunk.
    """
    chunk = scored.chunk
    sentences = scored.sentences
    if not sentences:
        own = chunk.sentences or (Sentence(0, chunk.span),)
        sentences = tuple(ScoredSentence(sentence, scored.score) for sentence in own)
    usable = (item for item in sentences if not math.isnan(item.score) and chunk.sentence_text(item.sentence).strip())
    return tuple(sorted(usable, key=lambda item: item.sentence.span))


def _header_place(chunk: Chunk, sentences: Sequence[ScoredSentence], place: int) -> int | None:
    """The place of the sentence that holds the header of the row at `place`; None where the chunk does not hold it."""
    header = chunk.header
    if header is None or not sentences[place].sentence.is_row:
        return None
    return next((at for at, item in enumerate(sentences) if item.sentence.span.contains(header)), None)


def draft_evidence(scored: ScoredChunk, taken: Sequence[ScoredSentence]) -> Evidence:
    """Evidence of one chunk from sentences in document order, led by the header row of a table that it continues."""
    chunk, document = scored.chunk, scored.document
    spans = _joined(chunk, [item.sentence.span for item in taken])
    texts = [chunk.text[span.start - chunk.span.start : span.end - chunk.span.start] for span in spans]
    continues_table = any(item.sentence.is_row for item in taken)
    if continues_table and chunk.header is not None and chunk.header.end <= chunk.span.start:
        spans, texts = [chunk.header, *spans], [chunk.header_text, *texts]
    return Evidence(
        mark=_WIDEST_MARK,
        document_id=document.id,
        source=document.source,
        title=document.title,
        page=page_of(chunk.pages, taken[0].sentence.span.start),
        heading_path=chunk.heading_path,
        chunk_id=chunk.id,
        text=GAP.join(texts),
        spans=tuple(spans),
        score=scored.score,
        scores=dict(scored.scores),
        sentences=tuple(EvidenceSentence(item.sentence.span, item.score) for item in taken),
        tokens=0,
        pages=chunk.pages,
    )


def _joined(chunk: Chunk, spans: Sequence[Span]) -> list[Span]:
    """Spans with nothing but blanks between them become one."""
    joined: list[Span] = []
    for span in spans:
        between = chunk.text[joined[-1].end - chunk.span.start : span.start - chunk.span.start] if joined else "x"
        if joined and not between.strip():
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def _strength(item: Evidence) -> float:
    return max(sentence.score for sentence in item.sentences)
