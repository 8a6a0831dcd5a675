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
from dataclasses import dataclass, replace

from context.answer_marks import Group, MarkedText, read_marks
from context.answer_sentences import clauses_in, has_content, sentences_in
from context.disowned import disowned
from context.misplaced import misplaced_in
from context.quotable import Quotable
from context.referents import SAID_BEFORE, names_of, opens_with_pronoun
from context.support import Claim, Source, strict_parts_hold
from context.units import units_of
from domain.answers import Citation, CitedSentence
from domain.documents import Span
from domain.search import Evidence

_MOST_SENTENCES = 400  # an answer of a model gone wild must not cost seconds: what lies beyond is not verified
_LONGEST_CLAIM = 2_000  # characters, for the same reason
_OPENING = 40  # characters in which a sentence's first word stands
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


def resolve_citations(text: str, evidence: Sequence[Evidence]) -> CitedText:
    """Resolve the marks of an answer (or of a stream, joined) against the evidence that was sent."""
    quotables = {item.mark: Quotable(item) for item in evidence}
    marked = read_marks(text, quotables.keys())
    by_sentence = _by_sentence(marked)
    spans = [span for span, _ in by_sentence]
    unmeant = disowned(marked.bare, spans[:_MOST_SENTENCES])
    checked = []
    for place, (span, groups) in enumerate(by_sentence):
        earlier = spans[max(0, place - SAID_BEFORE) : place] if groups and place < _MOST_SENTENCES else []
        named = _named_before(marked.bare, span, earlier)
        sentence = _Sentence(marked.bare, span, groups, quotables, named)
        checked.append(sentence.checked(place < _MOST_SENTENCES and place not in unmeant))
    found: dict[tuple[int, Span], Citation] = {}
    sentences: list[CitedSentence] = []
    misplaced = misplaced_in(marked.bare, spans, checked, quotables)
    for place, ((span, groups), (citations, supported)) in enumerate(zip(by_sentence, checked, strict=True)):
        for citation in citations:
            verified = citation.verified and place not in misplaced
            key = (citation.mark, citation.span)
            # One quote for two claims is verified only when it supports both.
            verified = verified and (key not in found or found[key].verified)
            found[key] = citation if verified == citation.verified else replace(citation, verified=verified)
        marks = tuple(dict.fromkeys(mark for group in groups for mark in group.marks))
        kept = supported and place not in misplaced
        sentences.append(CitedSentence(marked.shown_span(span), marks, None if supported is None else kept))
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


def _named_before(bare: str, span: Span, earlier: Sequence[Span]) -> frozenset[str]:
    """What the sentences before one name, for the pronoun that it opens with; empty where it opens with none."""
    if not earlier or not opens_with_pronoun(units_of(span.of(bare)[:_OPENING])):
        return frozenset()
    return frozenset[str]().union(*(names_of(before.of(bare)[:_LONGEST_CLAIM]) for before in earlier))


class _Sentence:
    """One sentence of an answer with its groups of marks, to be held against the evidence that it cites.

    `named` is what the sentences before it name.
    """

    def __init__(
        self,
        bare: str,
        span: Span,
        groups: Sequence[Group],
        quotables: Mapping[int, Quotable],
        named: frozenset[str] = frozenset(),
    ) -> None:
        self._text, self._named = span.of(bare), named
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
            _quotes(text, cited, self._text[:start] if place else "", self._named)
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
        if leads or tail.says_nothing:
            return True
        return any(
            (not tail.is_empty and item.supporting(tail)) or item.supporting(Claim(self._text, named=self._named))
            for item in cited
        )


def _quotes(
    text: str, cited: Sequence[Quotable], before: str, named: frozenset[str]
) -> tuple[list[list[Span | None]], bool]:
    """For each evidence of a group the quote for each part of the claim; whether each part has one.

    `before` is what its sentence says before the claim: one that goes on without a subject of its own must be read
    together with it, in one quote.
    """
    before = before if has_content(before) else ""
    whole = Claim(text, not before, named)
    for claim in (whole, Claim(before + text, named=named)) if before else (whole,):
        row = [item.supporting(claim) for item in cited]
        if any(row):
            return [[span] for span in row], True
    parts = _parts(text, cited, not before, named)
    if not parts or (len(parts) > 1 and not _agree(whole, cited, parts)):
        return [[None] for _ in cited], False
    return [list(row) for row in zip(*parts, strict=True)], True


def _parts(text: str, cited: Sequence[Quotable], opens: bool, named: frozenset[str]) -> list[list[Span | None]]:
    """The claim as stretches of clauses that are supported, each as long as can be: a quote of each evidence for each.

    Empty where a clause is supported by none.
    """
    clauses = clauses_in(text)
    rows: list[list[Span | None]] = []
    at = 0
    while at < len(clauses):
        for end in range(min(len(clauses), at + _LONGEST_RUN), at, -1):
            part = Claim(text[clauses[at].start : clauses[end - 1].end], opens and not at, named)
            row = [item.supporting(part) for item in cited]
            if any(row):
                break
        else:
            return []
        rows.append(row)
        at = end
    return rows


def _agree(claim: Claim, cited: Sequence[Quotable], parts: Sequence[Sequence[Span | None]]) -> bool:
    """Whether a claim that several quotes support clause by clause turns nothing round that they say together."""
    rows = zip(cited, zip(*parts, strict=True), strict=True)
    quotes = dict.fromkeys(item.evidence.part(span) for item, row in rows for span in row if span)
    return not claim.stance.turns.opposes(Source("\n".join(quotes)).stance.turns)


def _citations_of(text: str, cited: Sequence[Quotable], rows: Sequence[Sequence[Span | None]]) -> list[Citation]:
    """A verified citation for each quote; for evidence without one, the nearest stretch, not verified."""
    citations: list[Citation] = []
    for item, row in zip(cited, rows, strict=True):
        spans = list(dict.fromkeys(span for span in row if span))
        if spans:
            citations.extend(_citation(item.evidence, span, True) for span in spans)
        else:
            citations.append(_citation(item.evidence, item.nearest(Claim(text)), False))
    return citations


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
