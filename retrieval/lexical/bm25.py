"""BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009), in the form that Lucene made common.

    score(d) = sum over the question's terms t of  idf(t) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * |d| / avg|d|))

with tf the number of times t occurs in d, |d| the number of terms of d, and a term that the question holds twice
counted twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from domain.documents import Span
from domain.errors import DomainError
from domain.search import QueryTerm

K1, B = 1.2, 0.75  # the values that tantivy has built in


def inverse_document_frequency(documents: int, with_term: int) -> float:
    """log(1 + (N - df + .5) / (df + .5)), >= 0; highest for a term that no document holds.

    >>> round(inverse_document_frequency(10, 1), 3)   # log(1 + 9.5 / 1.5)
    1.992
    """
    # An index that counts removed documents in df, as tantivy does until it merges, can report df > N.
    return math.log1p((max(documents - with_term, 0) + 0.5) / (with_term + 0.5))


def term_weight(occurrences: int, length: int, average_length: float) -> float:
    """The factor of a term's IDF, from 0 to k1 + 1: how much a document of `length` terms says with it.

    >>> term_weight(1, length=8, average_length=8.0)
    1.0
    """
    return occurrences * (K1 + 1) / (occurrences + K1 * (1 - B + B * length / average_length))


def weighted_terms(
    terms: Sequence[tuple[str, Span]], documents: int, frequencies: dict[str, int]
) -> tuple[QueryTerm, ...]:
    """Terms of a question with the IDF of each; `frequencies` holds the number of documents with the term."""
    return tuple(
        QueryTerm(span, term, inverse_document_frequency(documents, frequencies[term])) for term, span in terms
    )


def last_by_key(keys: Sequence[int], texts: Sequence[str]) -> dict[int, str]:
    """Texts by key; of several under one key the last. Raises DomainError when the lengths differ."""
    if len(keys) != len(texts):
        raise DomainError(f"{len(keys)} keys came with {len(texts)} texts; each text needs its key.")
    return {int(key): text for key, text in zip(keys, texts, strict=True)}
