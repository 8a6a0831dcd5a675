"""From marks in an answer to citations that can be checked against the source.

A model's answer is text of unknown worth: it may cite evidence that does not exist, or put words into the mouth of
evidence that does. So citations are objects of ours. For each mark the sentences of *its* evidence that support the
claim best become the quote, verbatim with their place in the document; a mark without evidence is removed; and a rule
decides whether the quote supports the claim (context/support.py).

The claim of a mark is what stands between the mark before it and itself, within its sentence; it must be supported as a
whole, or clause by clause. What follows the last mark of a sentence must be supported too, and the numbers, units and
quotations of the whole sentence must be covered by the evidence that it cites, so that nothing slips in behind a mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from context.answer_marks import Group, MarkedText, read_marks
from context.answer_sentences import clauses_in, has_content, sentences_in
from context.disowned import disowned
from context.support import Claim, Source, overlap, strict_parts_hold, supports
from context.wholeness import leans_on_predecessor
from domain.answers import Citation, CitedSentence
from domain.documents import CELL_SEPARATOR, Span
from domain.search import Evidence

_LONGEST_QUOTE = 3  # sentences in a row; a longer quote proves less
_MOST_SENTENCES = 400  # an answer of a model gone wild must not cost seconds: what lies beyond is not verified
_LONGEST_CLAIM = 2_000  # characters, for the same reason
_LONGEST_RUN = 6  # clauses of a claim that are looked for in one quote


@dataclass(frozen=True, slots=True)
class CitedText:
    """An answer whose marks all exist, spelt `[n]`, with its citations and its sentences in order of appearance.

    The spans of the sentences count in `text`. `removed_marks` is how many marks had no evidence.
    """

    text: str
    citations: tuple[Citation, ...]
    sentences: tuple[CitedSentence, ...]
    removed_marks: int


class _Quotable:
    """One evidence, prepared when it is first cited: every stretch that can be quoted, ready for comparison."""

    def __init__(self, item: Evidence) -> None:
        self.evidence = item
        self._around = "\n".join([item.title, *item.heading_path]), _header(item)

    @cached_property
    def windows(self) -> list[tuple[Span, Source]]:
        return [(span, Source(self.evidence.part(span), *self._around)) for span in _windows(self.evidence)]

    @cached_property
    def whole(self) -> Source:
        return Source(self.evidence.text, *self._around)

    def supporting(self, claim: Claim) -> Span | None:
        """The shortest window that supports the claim; None when none does."""
        return min((span for span, source in self.windows if supports(claim, source)), key=len, default=None)

    def nearest(self, claim: Claim) -> Span:
        """The window that shares most with a claim that it does not support."""
        return max(self.windows, key=lambda window: (overlap(claim, window[1]), -len(window[0])))[0]


def resolve_citations(text: str, evidence: Sequence[Evidence]) -> CitedText:
    """Resolve the marks of an answer (or of a stream, joined) against the evidence that was sent."""
    quotables = {item.mark: _Quotable(item) for item in evidence}
    marked = read_marks(text, quotables.keys())
    found: dict[tuple[int, Span], Citation] = {}
    sentences: list[CitedSentence] = []
    by_sentence = _by_sentence(marked)
    unmeant = disowned(marked.bare, [span for span, _ in by_sentence[:_MOST_SENTENCES]])
    for place, (span, groups) in enumerate(by_sentence):
        checkable = place < _MOST_SENTENCES and place not in unmeant
        citations, supported = _Sentence(marked.bare, span, groups, quotables).checked(checkable)
        for citation in citations:
            key = (citation.mark, citation.span)
            earlier = found.get(key)
            # One quote for two claims is verified only when it supports both.
            found[key] = citation if earlier is None or not citation.verified else earlier
        marks = tuple(dict.fromkeys(mark for group in groups for mark in group.marks))
        sentences.append(CitedSentence(marked.shown_span(span), marks, supported))
    return CitedText(marked.shown, tuple(found.values()), tuple(sentences), marked.removed)


def _by_sentence(marked: MarkedText) -> list[tuple[Span, list[Group]]]:
    """Each sentence with its groups of marks.

    A mark belongs to the sentence it stands in or right behind; one that opens the answer, to the sentence it opens.
    """
    found: list[tuple[Span, list[Group]]] = []
    groups = list(marked.groups)
    for span in sentences_in(marked.bare):
        own = [group for group in groups if group.position <= span.end]
        groups = groups[len(own) :]
        found.append((span, own))
    if found and groups:  # behind the last word, after a line end
        found[-1][1].extend(groups)
    return found


class _Sentence:
    """One sentence of an answer with its groups of marks, to be held against the evidence that it cites."""

    def __init__(self, bare: str, span: Span, groups: Sequence[Group], quotables: Mapping[int, _Quotable]) -> None:
        self._text = span.of(bare)
        self._places = [min(group.position - span.start, len(self._text)) for group in groups]
        self._cited = [[quotables[mark] for mark in group.marks] for group in groups]

    def checked(self, checkable: bool) -> tuple[list[Citation], bool | None]:
        """Its citations, and whether it is supported; None where it cites nothing."""
        if not self._cited:
            return [], None
        if not checkable or len(self._text) > _LONGEST_CLAIM:
            quotes = [(item, item.windows[0][0]) for cited in self._cited for item in cited]
            return [_citation(item.evidence, span, False) for item, span in quotes], False
        claims = self._claims()
        found = [
            _quotes(text, cited, self._text[:start] if place else "")
            for place, (text, cited, start) in enumerate(zip(claims, self._cited, [0, *self._places], strict=False))
        ]
        holds = any(any(row) for rows, _ in found for row in rows) and self._holds()
        citations: list[Citation] = []
        for (rows, complete), text, cited in zip(found, claims, self._cited, strict=True):
            citations += _citations_of(text, cited, rows if complete and holds else [[] for _ in cited])
        return citations, holds and all(complete for _, complete in found)

    def _claims(self) -> list[str]:
        """What each group of marks stands for: the text before it or, where it leads, behind it."""
        starts, ends = [0, *self._places], [*self._places, len(self._text)]
        claims = []
        for place in range(len(self._places)):
            claim = self._text[starts[place] : ends[place]]
            leads = not has_content(claim)
            claims.append(self._text[ends[place] : ends[place + 1]] if leads else claim)
        return claims

    def _holds(self) -> bool:
        """The sentence as a whole, and what follows its last mark, says nothing that the cited evidence does not."""
        cited = list({item.evidence.mark: item for group in self._cited for item in group}.values())
        if not strict_parts_hold(Claim(self._text), [item.whole for item in cited]):
            return False
        behind = self._text[self._places[-1] :]
        leads = not has_content(self._text[self._places[-2] if len(self._places) > 1 else 0 : self._places[-1]])
        tail = Claim(behind)
        if leads or tail.is_empty:
            return True
        return any(item.supporting(tail) or item.supporting(Claim(self._text)) for item in cited)


def _quotes(text: str, cited: Sequence[_Quotable], before: str) -> tuple[list[list[Span | None]], bool]:
    """For each evidence of a group the quote for each part of the claim; whether each part has one.

    `before` is what its sentence says before the claim: one that goes on without a subject of its own must be read
    together with it, in one quote.
    """
    before = before if has_content(before) else ""
    whole = Claim(text, opens=not before)
    for claim in (whole, Claim(before + text)) if before else (whole,):
        row = [item.supporting(claim) for item in cited]
        if any(row):
            return [[span] for span in row], True
    parts = _parts(text, cited, opens=not before)
    if not parts or (len(parts) > 1 and not _agree(whole, cited, parts)):
        return [[None] for _ in cited], False
    return [list(row) for row in zip(*parts, strict=True)], True


def _parts(text: str, cited: Sequence[_Quotable], opens: bool) -> list[list[Span | None]]:
    """The claim as stretches of clauses that are supported, each as long as can be: a quote of each evidence for each.

    Empty where a clause is supported by none.
    """
    clauses = clauses_in(text)
    rows: list[list[Span | None]] = []
    at = 0
    while at < len(clauses):
        for end in range(min(len(clauses), at + _LONGEST_RUN), at, -1):
            part = Claim(text[clauses[at].start : clauses[end - 1].end], opens=opens and not at)
            row = [item.supporting(part) for item in cited]
            if any(row):
                break
        else:
            return []
        rows.append(row)
        at = end
    return rows


def _agree(claim: Claim, cited: Sequence[_Quotable], parts: Sequence[Sequence[Span | None]]) -> bool:
    """Whether a claim that several quotes support clause by clause turns nothing round that they say together."""
    rows = zip(cited, zip(*parts, strict=True), strict=True)
    quotes = dict.fromkeys(item.evidence.part(span) for item, row in rows for span in row if span)
    return not claim.stance.turns.opposes(Source("\n".join(quotes)).stance.turns)


def _citations_of(text: str, cited: Sequence[_Quotable], rows: Sequence[Sequence[Span | None]]) -> list[Citation]:
    """A verified citation for each quote; for evidence without one, the nearest stretch, not verified."""
    citations: list[Citation] = []
    for item, row in zip(cited, rows, strict=True):
        spans = list(dict.fromkeys(span for span in row if span))
        if spans:
            citations.extend(_citation(item.evidence, span, True) for span in spans)
        else:
            citations.append(_citation(item.evidence, item.nearest(Claim(text)), False))
    return citations


def _windows(item: Evidence) -> list[Span]:
    """Stretches of the evidence that can be quoted: a sentence, with those before it that it leans on.

    Sentences that do not lean on each other are never one quote: the number of one and the subject of the other would
    together "support" what neither says.
    """
    windows = []
    for span in item.spans:
        inside = [sentence.span for sentence in item.sentences if span.contains(sentence.span)] or [span]
        for last in range(len(inside)):
            first = last
            windows.append(inside[last])
            while first and last - first + 1 < _LONGEST_QUOTE and leans_on_predecessor(item.part(inside[first])):
                first -= 1
                windows.append(Span(inside[first].start, inside[last].end))
    return windows


def _header(item: Evidence) -> str:
    """The header row of the table that the evidence is part of; empty for prose."""
    first = item.part(item.spans[0]).split("\n", 1)[0] if item.spans else ""
    return first if CELL_SEPARATOR in first else ""


def _citation(item: Evidence, span: Span, verified: bool) -> Citation:
    return Citation(
        mark=item.mark,
        document_id=item.document_id,
        source=item.source,
        title=item.title,
        span=span,
        page=item.page_at(span.start),
        quote=item.part(span),
        verified=verified,
    )
