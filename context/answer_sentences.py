"""The sentences of an answer, and the clauses of a claim."""

from __future__ import annotations

import re

from context.units import content_of, units_of
from domain.documents import Span

_LONGEST_ABBREVIATION = 8
_LEAST_WORDS = 2  # a clause must name what it speaks of: a shorter stretch stays with its neighbour
_HAN_WORD = 2  # characters, about
# Possessive and begun at the first of a run, so that a hundred thousand of them are read once.
_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++[\"”’')\]]*+(?=\s|\Z)|[。！？]+[”’」』）]*|\n+")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|e\.g|i\.e|Mr|Mrs|Ms|Dr|Prof|St|No|Nos|Inc|Ltd|Co|Corp|vs|cf|al|Fig|approx)\.)\Z"
)
_GOES_ON = re.compile(r"\s*[a-z]")  # "Y. pestis": no sentence begins with a small letter
_CONTENT = re.compile(r"\w")
_CLAUSE_END = re.compile(
    # A run of blanks is read once: it is begun at its first one, and nothing of it is given back.
    r"[,;，；]\s*+(?:and|but|while|whereas)\s++|;\s++|(?<!\s)\s++(?:and|but|while|whereas)\s++|[，；]|(?:并且|並且|而且)"
)


# What holds under a condition is no statement without it.
_CONDITION = re.compile(r"\s*(?:(?:if|unless|provided that|in case)\b|如果|假如|倘若|若(?!干)|除非)", re.I)


def has_content(text: str) -> bool:
    return bool(_CONTENT.search(text))


def sentences_in(text: str) -> list[Span]:
    """The sentences of an answer, with their final punctuation; together they hold all its words."""
    spans: list[Span] = []
    start, content = 0, _next_content(text, 0)  # sought once for each sentence: signs alone can go on for long
    for end in _SENTENCE_END.finditer(text):
        if end[0][0] in ".!?" and _goes_on(text, start, end):
            continue
        if content < end.end():
            spans.append(Span(start, end.end()))
            start, content = end.end(), _next_content(text, end.end())
    if content < len(text):
        return [*spans, Span(start, len(text))]
    return [*spans[:-1], Span(spans[-1].start, len(text))] if spans else []  # stray signs go with the last sentence


def _next_content(text: str, start: int) -> int:
    """Where the next letter or digit stands; the end of the text where none does."""
    found = _CONTENT.search(text, start)
    return found.start() if found else len(text)


def _goes_on(text: str, start: int, end: re.Match[str]) -> bool:
    abbreviated = end[0] == "." and _ABBREVIATION.search(text, max(start, end.end() - _LONGEST_ABBREVIATION), end.end())
    return bool(abbreviated) or bool(_GOES_ON.match(text, end.end()))


def clauses_in(claim: str) -> list[Span]:
    """The clauses of a claim, for a sentence of the answer that sums up several of its source.

    >>> text = "Costs rose by 12% in 2021 and Anna Schmidt signed the lease"
    >>> [span.of(text) for span in clauses_in(text)]
    ['Costs rose by 12% in 2021', 'Anna Schmidt signed the lease']
    """
    clauses: list[Span] = []
    ends = [match.span() for match in _CLAUSE_END.finditer(claim)]
    starts = [0, *(end for _, end in ends)]
    for start, end in zip(starts, [*(start for start, _ in ends), len(claim)], strict=True):
        before = clauses[-1].of(claim) if clauses else ""
        if clauses and (_is_fragment(claim[start:end]) or _is_fragment(before) or _CONDITION.match(before)):
            clauses[-1] = Span(clauses[-1].start, end)
        else:
            clauses.append(Span(start, end))
    return clauses


def _is_fragment(piece: str) -> bool:
    """True for what says nothing alone: too few words, or a phrase such as "in 2021", which belongs to a neighbour."""
    units = units_of(piece)
    content = content_of(units)
    words = sum(1 / _HAN_WORD if unit.kind == "han" else 1 for unit in content)
    return words < _LEAST_WORDS or units[0].kind == "link"
