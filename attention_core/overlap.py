"""Which words of the question a sentence repeats: what is left to go by where no token vectors are stored.

Words of alphabetic scripts are compared by their beginnings, which joins "transmit" with "transmitted" without a
stemmer; scripts without blanks by the characters themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from domain.documents import Span
from domain.search import FloatArray, Query, QueryTerm

_WORD = re.compile(r"[^\W_\u3040-\u30ff\u3400-\u9fff]+|[\u3040-\u30ff\u3400-\u9fff]+")
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_PREFIX_FROM = 4  # shorter words must match whole: "art" is not the beginning of "article"


def question_terms(query: Query) -> tuple[QueryTerm, ...]:
    """The lexical index's terms of the question, or, without any, its words and character pairs at equal weight."""
    return query.terms or tuple(QueryTerm(span, span.of(query.text).lower(), 1.0) for span in _words(query.text))


def _words(text: str) -> list[Span]:
    spans: list[Span] = []
    for match in _WORD.finditer(text):
        start, end = match.span()
        if _DENSE.match(match.group()) and end - start > 2:
            spans.extend(Span(at, at + 2) for at in range(start, end - 1))
        else:
            spans.append(Span(start, end))
    return spans


def term_hits(question: str, terms: Sequence[QueryTerm], texts: Sequence[str]) -> FloatArray:
    """1 where a text repeats a term, 0 elsewhere: shape (texts, terms).

    >>> terms = question_terms(Query("transmit HIV", np.zeros(1, np.float32)))
    >>> term_hits("transmit HIV", terms, ["It was transmitted.", "HIV"]).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    needles = [_needle(question, term) for term in terms]
    hits = np.zeros((len(texts), len(terms)), dtype=np.float32)
    for row, text in enumerate(texts):
        haystack = f" {' '.join(_WORD.findall(text.lower()))} "
        hits[row] = [needle in haystack for needle in needles]
    return hits


def _needle(question: str, term: QueryTerm) -> str:
    surface = term.span.of(question).lower()
    if _DENSE.search(surface):
        return surface
    stem = term.term if surface.startswith(term.term) else surface
    return f" {stem}" if len(stem) >= _PREFIX_FROM else f" {stem} "
