"""How much each token of a question counts: the IDF of the word it belongs to.

In "what is the boiling point of gallium" the last word decides and the first four hardly matter. The lexical index
knows how rare each word is (`Query.terms`); its words and the encoder's tokens meet by their characters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from domain.search import FloatArray, IntArray, QueryTerm

# Weight of a token in no term (punctuation, mostly), as a share of the heaviest token's. Not 0, so that a question
# of nothing but such tokens still has weights.
_UNNAMED_SHARE = 0.05


def token_weights(offsets: IntArray, terms: Sequence[QueryTerm]) -> FloatArray:
    """Weights of a question's tokens, shape (Tq,), summing to 1; uniform where no term has an IDF above 0.

    offsets: (Tq, 2), characters of the question. A token takes the largest IDF among the terms it overlaps: a Chinese
    character lies in two bigrams, and the pieces of a rare word all count as that word.

    >>> from domain.documents import Span
    >>> terms = [QueryTerm(Span(0, 3), "the", 0.25), QueryTerm(Span(4, 11), "gallium", 0.75)]
    >>> token_weights(np.array([[0, 3], [4, 7], [7, 11]]), terms).round(3)   # .25, .75, .75 of 1.75
    array([0.143, 0.429, 0.429], dtype=float32)
    """
    if not len(offsets):
        return np.zeros(0, dtype=np.float32)
    spans = np.array([(term.span.start, term.span.end) for term in terms], dtype=np.int64).reshape(-1, 2)
    idf = np.array([term.idf for term in terms], dtype=np.float64)
    meets = (offsets[:, :1] < spans[:, 1]) & (spans[:, 0] < offsets[:, 1:])  # (Tq, terms)
    weights = np.where(meets, idf, 0.0).max(axis=1, initial=0.0)
    peak = weights.max()
    if peak <= 0:
        return np.full(len(offsets), 1 / len(offsets), dtype=np.float32)
    weights = np.maximum(weights, _UNNAMED_SHARE * peak)
    shares: FloatArray = (weights / weights.sum()).astype(np.float32)
    return shares


def gated(weights: FloatArray, vectors: FloatArray, gate: FloatArray | None) -> FloatArray:
    """Weights (Tq,) after the learned gate (D,), which sees the encoder's vectors (Tq, D); they sum to 1 again.

    IDF knows how rare a word is, not what it does: "how", "many" and "when" say what kind of answer is looked for.
    """
    if gate is None or not len(weights):
        return weights
    opened = weights * np.exp(vectors @ gate)
    shares: FloatArray = (opened / opened.sum()).astype(np.float32)
    return shares


def token_hits(offsets: IntArray, terms: Sequence[QueryTerm], hits: FloatArray) -> FloatArray:
    """Hits by term, shape (texts, terms), as hits by token, shape (texts, Tq): a token is hit with any of its terms."""
    spans = np.array([(term.span.start, term.span.end) for term in terms], dtype=np.int64).reshape(-1, 2)
    meets = (offsets[:, :1] < spans[:, 1]) & (spans[:, 0] < offsets[:, 1:])  # (Tq, terms)
    by_token: FloatArray = (hits @ meets.T.astype(np.float32) > 0).astype(np.float32)
    return by_token


def total_idf(terms: Sequence[QueryTerm]) -> float:
    """The sum of the terms' IDF, repeated terms counted as often as they occur: what a perfect BM25 match adds up."""
    return float(sum(term.idf for term in terms))
