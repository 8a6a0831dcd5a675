"""One selection in progress: sentences are taken while they fit, each with what it cannot be read without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from context.budget import TokenBudget
from context.drafts import draft_evidence
from context.duplicates import SaidBefore
from context.offers import Candidates, Offers
from context.rendering import render
from context.selection_policy import SelectionPolicy
from context.templates import Wording
from context.wholeness import code_block, header_row, is_heading_of, leans_on_predecessor, promised_by
from domain.context import DropReason
from domain.documents import Chunk
from domain.search import Evidence, ScoredSentence

SEPARATOR_TOKENS = 1  # the blank line between two pieces of evidence
_SEAM_TOKENS = 4  # what a sentence can save at most by standing next to another one: pieces that merge at its ends
_LONGEST_CHAIN = 2  # sentences before a pronoun: its name stands there, or the thread is lost


class Picking:
    """What was taken of each chunk so far, what it costs, and why other chunks were refused."""

    def __init__(
        self,
        candidates: Candidates,
        ceiling: int,
        wording: Wording,
        budget: TokenBudget,
        policy: SelectionPolicy,
    ) -> None:
        self.drafts: dict[int, Evidence] = {}
        self.refusals: dict[int, DropReason] = {}
        scored = self._scored = candidates.scored
        self._sentences, self._texts = list(candidates.sentences), list(candidates.texts)
        self._wording, self._budget, self._policy = wording, budget, policy
        self._left = ceiling
        self._taken: dict[int, frozenset[int]] = {}
        self._costs: dict[int, int] = {}
        self._places = {(item.chunk.document_id, item.chunk.ordinal): index for index, item in enumerate(scored)}
        self._per_document: Counter[str] = Counter()
        self._most_per_document = len(scored)
        self._said = SaidBefore()

    def take_all(self, offers: Offers) -> None:
        """Take these sentences in their order.

        Where several documents have something to offer, the first chunks of each come before further ones of any, and
        before the `crowd`, which repeats others. Headings come last: they are taken only where nothing else of their
        chunk was.
        """
        several = len({self._scored[index].chunk.document_id for index, _ in offers.wanted}) > 1
        if several:
            self._most_per_document = self._policy.max_chunks_per_document
        later = []
        for at in offers.wanted:
            if at in offers.headings or (several and (at in offers.crowd or self._has_had_its_first(at[0]))):
                later.append(at)
            else:
                self._take_or_refuse(*at)
        for at in later:
            if not (at in offers.headings and at[0] in self._taken):
                self._take_or_refuse(*at)

    def _take_or_refuse(self, index: int, place: int) -> None:
        refusal = self._take(index, place)
        if refusal is not None:
            self.refusals.setdefault(index, refusal)

    def _has_had_its_first(self, index: int) -> bool:
        """True for a further chunk of a document that has some of its chunks taken."""
        taken = self._per_document[self._scored[index].chunk.document_id]
        return index not in self._taken and taken >= self._policy.first_chunks_per_document

    def close_gaps(self) -> None:
        """Add each single short sentence that stands between two taken ones."""
        for index, taken in list(self._taken.items()):
            for place in sorted(taken):
                if place + 1 not in taken and place + 2 in taken and self._is_short(index, place + 1):
                    self._try(index, self._taken[index] | self._unsaid(index, {place + 1}))

    def _take(self, index: int, place: int) -> DropReason | None:
        """Take one sentence with its glue where both fit, alone where only that fits; else say why not."""
        taken = self._taken.get(index, frozenset())
        if place in taken:
            return None
        if self._budget.count(self._texts[index][place]) > self._left + _SEAM_TOKENS:
            return "budget"  # seen at a glance: nothing needs to be rendered to know it
        if not self._trim(index, place):
            return "duplicate"
        if not taken:
            refusal = self._closed_to(self._scored[index].chunk)
            if refusal is not None:
                return refusal
        wanted = taken | {place} | self._glue(index, place)
        if not (self._try(index, wanted) or self._try(index, taken | {place})):
            return "budget"
        self._take_end_of_chunk_before(index, place)
        return None

    def _closed_to(self, chunk: Chunk) -> DropReason | None:
        """Why no further chunk, or none of this document, is taken."""
        if len(self._taken) >= self._policy.max_chunks:
            return "rank"
        if self._per_document[chunk.document_id] >= self._most_per_document:
            return "document_cap"
        return None

    def _trim(self, index: int, place: int) -> bool:
        """Cut off what chunks that overlap this one have sent of the sentence; False when nothing new is left."""
        chunk, item = self._scored[index].chunk, self._sentences[index][place]
        rest = self._said.unsent(chunk.document_id, item.sentence.span, self._texts[index][place])
        if rest is None:
            return False
        if rest != item.sentence.span:
            trimmed = replace(item, sentence=replace(item.sentence, span=rest))
            own, texts = self._sentences[index], self._texts[index]
            self._sentences[index] = (*own[:place], trimmed, *own[place + 1 :])
            self._texts[index] = (*texts[:place], chunk.sentence_text(trimmed.sentence), *texts[place + 1 :])
        return True

    def _glue(self, index: int, place: int) -> frozenset[int]:
        """The places of the sentences without which this one cannot be read, less what is sent already."""
        chunk, sentences, texts = self._scored[index].chunk, self._sentences[index], self._texts[index]
        block = code_block(texts, place)
        if block is not None:
            return self._unsaid(index, block if self._cost(texts, block) <= self._policy.code_tokens else ())
        scores = [item.score for item in sentences]
        promised = promised_by(texts, scores, place, is_heading=self._is_heading(index, place))
        if len(promised) and self._cost(texts, promised) <= self._policy.list_tokens:
            return self._unsaid(index, (at for at in promised if not self._is_heading(index, at)))
        header = _header_places(chunk, sentences, place)
        if chunk.header is None and (found := header_row(texts, place)) is not None:
            header = frozenset((found,))  # a table that no loader marked, for example in plain text
        if header:
            return self._unsaid(index, header if self._cost(texts, header) <= self._policy.header_tokens else ())
        return self._unsaid(index, self._antecedents(texts, place, chunk.heading_path))

    def _antecedents(self, texts: Sequence[str], place: int, headings: Sequence[str]) -> range:
        """The places of the sentences before one that leans on them, as far back as they lean themselves."""
        first = place
        while first and place - first < _LONGEST_CHAIN and leans_on_predecessor(texts[first]):
            if is_heading_of(texts[first - 1], headings):
                break
            if self._cost(texts, range(first - 1, place)) > self._policy.predecessor_tokens:
                break
            first -= 1
        return range(first, place)

    def _take_end_of_chunk_before(self, index: int, place: int) -> None:
        """Where a taken sentence leans on the end of the chunk before, and that is a candidate too, send it as well."""
        chunk = self._scored[index].chunk
        if place or not leans_on_predecessor(self._texts[index][place]):
            return
        before = self._places.get((chunk.document_id, chunk.ordinal - 1))
        if (
            before is None
            or not self._sentences[before]
            or self._scored[before].chunk.heading_path != chunk.heading_path
        ):
            return
        last, taken = len(self._sentences[before]) - 1, self._taken.get(before, frozenset())
        size = self._budget.count(self._texts[before][last])
        if last in taken or size > self._policy.predecessor_tokens or not self._trim(before, last):
            return
        if taken or self._closed_to(chunk) is None:
            self._try(before, taken | {last})

    def _try(self, index: int, places: frozenset[int]) -> bool:
        """Take exactly these sentences of a chunk if their rendering fits; False leaves everything as it was."""
        draft = draft_evidence(self._scored[index], [self._sentences[index][place] for place in sorted(places)])
        cost = self._budget.count(render(draft, self._wording)) + SEPARATOR_TOKENS
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
            self._said.add(chunk.document_id, self._sentences[index][place].sentence.span, self._texts[index][place])

    def _unsaid(self, index: int, places: Iterable[int]) -> frozenset[int]:
        """Those places whose stretch of the document no chunk has sent any of."""
        chunk, sentences = self._scored[index].chunk, self._sentences[index]
        return frozenset(
            place for place in places if not self._said.touches(chunk.document_id, sentences[place].sentence.span)
        )

    def _cost(self, texts: Sequence[str], places: Iterable[int]) -> int:
        return sum(self._budget.count(texts[place]) for place in places)

    def _is_heading(self, index: int, place: int) -> bool:
        return is_heading_of(self._texts[index][place], self._scored[index].chunk.heading_path)

    def _is_short(self, index: int, place: int) -> bool:
        return self._budget.count(self._texts[index][place]) <= self._policy.gap_tokens


def _header_places(chunk: Chunk, sentences: Sequence[ScoredSentence], place: int) -> frozenset[int]:
    """The places of the sentences that hold the header of the row at `place`; none where the chunk does not hold it.

    The header of a table in a PDF has a line for each line of its column labels, and a line is a sentence.
    """
    header = chunk.header
    if header is None or not sentences[place].sentence.is_row:
        return frozenset()
    return frozenset(at for at, item in enumerate(sentences) if item.sentence.span.overlaps(header))
