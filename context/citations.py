"""From marks in an answer to citations that can be checked against the source.

A model's answer is text of unknown worth: it may cite evidence that does not exist, or put words into the mouth of
evidence that does. So citations are objects of ours. For each mark the sentences of *its* evidence that support the
claim best become the quote, verbatim with their place in the document; a mark without evidence is removed; and a rule
decides whether the quote supports the claim (context/support.py).

The claim of a mark is what stands between the mark before it and itself, within its sentence; it must be supported as a
whole, or clause by clause. The numbers, names and quotations of the whole sentence must also be covered by the evidence
that the sentence cites, so that nothing slips in behind the last mark.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from context.language import content_terms
from context.marks import MARKS, numbers_of
from context.support import Claim, Source, overlap, strict_parts_hold, supports, union
from context.wholeness import leans_on_predecessor
from domain.answers import Citation
from domain.documents import Span
from domain.search import Evidence

_LONGEST_QUOTE = 3  # sentences in a row; a longer quote proves less
_MOST_GROUPS = 400  # an answer of a model gone wild must not cost seconds: what lies beyond is not verified
_LONGEST_CLAIM = 2_000  # characters, for the same reason
_LONGEST_ABBREVIATION = 8
_LEAST_TERMS = 2
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
_SENTENCE_END = re.compile(r"[.!?]+[\"”’')\]]*(?=\s|\Z)|[。！？；]+[”’」』）]*|\n+")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|e\.g|i\.e|Mr|Mrs|Ms|Dr|Prof|St|No|Nos|Inc|Ltd|Co|Corp|vs|cf|al|Fig|approx)\.)\Z"
)
_CONTENT = re.compile(r"\w")
_CLAUSE_END = re.compile(
    r"[,;，；]\s*(?:and|but|while|whereas)?\s+|\s+(?:and|but|while|whereas)\s+|[，；]|(?:并且|並且|而且|，而)"
)


@dataclass(frozen=True, slots=True)
class CitedText:
    """An answer whose marks all exist, spelt `[n]`, with its citations in order of appearance."""

    text: str
    citations: tuple[Citation, ...]
    removed_marks: int


@dataclass(frozen=True, slots=True)
class _Quotable:
    """One evidence, prepared: every stretch that can be quoted, ready for comparison."""

    evidence: Evidence
    windows: tuple[tuple[Span, Source], ...]
    whole: Source

    @classmethod
    def of(cls, item: Evidence) -> _Quotable:
        glue = _glue(item)
        windows = tuple((span, Source.of(item.part(span), glue)) for span in _windows(item))
        return cls(item, windows, Source.of(item.text, glue))

    def supporting(self, claim: Claim) -> Span | None:
        """The shortest window that supports the claim; None when none does."""
        return min((span for span, source in self.windows if supports(claim, source)), key=len, default=None)

    def nearest(self, claim: Claim) -> Span:
        """The window that shares most with a claim that it does not support."""
        return max(self.windows, key=lambda window: (overlap(claim, window[1]), -len(window[0])))[0]


@dataclass(frozen=True, slots=True)
class _Group:
    """Marks that stand together, at `position` in the answer without marks."""

    position: int
    marks: tuple[int, ...]


def resolve_citations(text: str, evidence: Sequence[Evidence]) -> CitedText:
    """Resolve the marks of an answer (or of a stream, joined) against the evidence that was sent."""
    quotables = {item.mark: _Quotable.of(item) for item in evidence}
    shown, bare, groups, removed = _read_marks(text, quotables.keys())
    found: dict[tuple[int, Span], Citation] = {}
    for sentence, own in _by_sentence(bare, groups[:_MOST_GROUPS]):
        for citation in _cite(bare, sentence, own, quotables):
            key = (citation.mark, citation.span)
            earlier = found.get(key)
            # One quote for two claims is verified only when it supports both.
            found[key] = citation if earlier is None or not citation.verified else earlier
    unchecked = {mark for group in groups[_MOST_GROUPS:] for mark in group.marks}
    return CitedText(shown, tuple(_doubted(citation, unchecked) for citation in found.values()), removed)


def _read_marks(text: str, known: Collection[int]) -> tuple[str, str, list[_Group], int]:
    """The text with regular marks, the text without marks, the groups of marks, and how many marks did not exist."""
    code = [Span(*match.span()) for match in _CODE.finditer(text)]
    shown: list[str] = []
    bare: list[str] = []
    groups: list[_Group] = []
    removed = position = length = 0
    for match in MARKS.finditer(text):
        while code and code[0].end <= match.start():
            code.pop(0)
        if code and code[0].start <= match.start():
            continue
        before = text[position : match.start()]
        marks = tuple(number for number in numbers_of(match) if number in known)
        removed += len(numbers_of(match)) - len(marks)
        shown.append((before if marks else before.rstrip(" \t")) + "".join(f"[{mark}]" for mark in marks))
        bare.append(before.rstrip(" \t"))
        length += len(bare[-1])
        joins = bool(groups) and not before.strip(" \t,，、;；")
        if marks and joins:
            groups[-1] = _Group(groups[-1].position, tuple(dict.fromkeys((*groups[-1].marks, *marks))))
        elif marks:
            groups.append(_Group(length, marks))
        position = match.end()
    rest = text[position:]
    return "".join((*shown, rest)), "".join((*bare, rest)), groups, removed


def _sentences(text: str) -> list[Span]:
    """The sentences of an answer, with their final punctuation."""
    spans: list[Span] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if end[0] == "." and _ABBREVIATION.search(text, max(start, end.end() - _LONGEST_ABBREVIATION), end.end()):
            continue
        if _CONTENT.search(text, start, end.end()):
            spans.append(Span(start, end.end()))
            start = end.end()
    return [*spans, Span(start, len(text))] if _CONTENT.search(text, start) else spans


def _by_sentence(bare: str, groups: Sequence[_Group]) -> list[tuple[Span, list[_Group]]]:
    """Each sentence that is cited with its groups of marks.

    A mark belongs to the sentence it stands in or right behind; one that opens the answer, to the sentence it opens.
    """
    sentences = _sentences(bare)
    ends = [sentence.end for sentence in sentences]
    cited: dict[int, list[_Group]] = {}
    for group in groups:
        if sentences:
            cited.setdefault(min(bisect_left(ends, group.position), len(ends) - 1), []).append(group)
    return [(sentences[place], own) for place, own in cited.items()]


def _cite(bare: str, sentence: Span, own: Sequence[_Group], quotables: Mapping[int, _Quotable]) -> list[Citation]:
    """The citations of one sentence: each mark with the best quote for its own part of the sentence."""
    cited = [quotables[mark] for mark in dict.fromkeys(mark for group in own for mark in group.marks)]
    whole = Claim.of(sentence.of(bare)[:_LONGEST_CLAIM])
    holds = len(sentence) <= _LONGEST_CLAIM and strict_parts_hold(whole, union([item.whole for item in cited]))
    citations: list[Citation] = []
    for place, group in enumerate(own):
        start = own[place - 1].position if place else sentence.start
        claim = bare[start : group.position]
        if not _CONTENT.search(claim):  # the mark leads: "[1] says that ..."
            claim = bare[group.position : own[place + 1].position if place + 1 < len(own) else sentence.end]
        citations.extend(_quotes(claim[:_LONGEST_CLAIM], [quotables[mark] for mark in group.marks], holds))
    return citations


def _quotes(text: str, cited: Sequence[_Quotable], holds: bool) -> list[Citation]:
    """The citations of one group of marks: each part of its claim needs a quote, each mark a part that it supports."""
    whole = Claim.of(text)
    parts = [whole]
    if not any(item.supporting(whole) for item in cited):
        parts = [Claim.of(clause) for clause in _clauses(text)]
    found = [[item.supporting(part) for part in parts] for item in cited]
    holds = holds and all(any(row[place] for row in found) for place in range(len(parts)))
    citations: list[Citation] = []
    for item, row in zip(cited, found, strict=True):
        spans = list(dict.fromkeys(span for span in row if span)) if holds else []
        if spans:
            citations.extend(_citation(item.evidence, span, True) for span in spans)
        else:
            citations.append(_citation(item.evidence, item.nearest(whole), False))
    return citations


def _clauses(text: str) -> list[str]:
    """A claim's clauses, for a sentence of the answer that sums up several of the source.

    A clause must name what it speaks of: a stretch of fewer than two content words stays with the one before it.
    """
    clauses: list[str] = []
    for piece in _CLAUSE_END.split(text):
        if clauses and len(content_terms(piece)) < _LEAST_TERMS:
            clauses[-1] += f" {piece}"
        else:
            clauses.append(piece)
    return clauses


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


def _glue(item: Evidence) -> str:
    """What stands around a quote and lends it subjects and units: title, headings and, for a table, its header row."""
    header = item.part(item.spans[0]).split("\n", 1)[0] if item.spans and " | " in item.part(item.spans[0]) else ""
    return "\n".join([item.title, *item.heading_path, header])


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


def _doubted(citation: Citation, unchecked: Collection[int]) -> Citation:
    return replace(citation, verified=False) if citation.mark in unchecked else citation
