"""Measures of evidence against labels, and of recall against tokens: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from attention_core.calibration import Numbers
from domain.documents import Span, merge_spans

SHARE = 0.95  # of the recall of plain dense top-10: the "95" of T95 and CF95


def tokens_for_recall(budgets: Sequence[int], recall: Sequence[float] | Numbers, wanted: float) -> float:
    """The tokens at which a recall curve reaches `wanted`: between two budgets by a straight line, below the first one
    that budget, infinite where the curve stays below.

    >>> tokens_for_recall([64, 128, 256], [0.2, 0.6, 0.8], 0.5)   # three quarters of the way from 64 to 128
    112.0
    """
    curve = np.maximum.accumulate(np.asarray(recall, dtype=np.float64))
    if wanted > curve[-1]:
        return float("inf")
    at = int(np.searchsorted(curve, wanted))
    if at == 0:
        return float(budgets[0])
    share = (wanted - curve[at - 1]) / (curve[at] - curve[at - 1])
    return float(budgets[at - 1] + share * (budgets[at] - budgets[at - 1]))


def recall_at(sizes: Sequence[float], recall: Sequence[float] | Numbers, tokens: float) -> float:
    """The recall of a curve where its contexts have so many tokens, by straight lines; the curve begins at no recall
    for no tokens and is level behind its last size. Where a larger budget was filled with less, its size is the larger.

    >>> recall_at([100, 200], [0.5, 0.9], 150), recall_at([100, 200], [0.5, 0.9], 50)
    (0.7, 0.25)
    """
    return float(np.interp(tokens, [0, *np.maximum.accumulate(sizes)], [0.0, *recall]))


class Overlap(NamedTuple):
    """How two sets of characters agree, each in 0..1."""

    recall: float
    precision: float
    iou: float


def span_overlap(wanted: Sequence[tuple[str, Span]], sent: Sequence[tuple[str, Span]]) -> Overlap:
    """Characters of what was sent against those that were wanted, both as (document, span); overlaps count once.

    Of 10 wanted characters, 5 among 20 sent ones:

    >>> span_overlap([("a", Span(0, 10))], [("a", Span(5, 25))])
    Overlap(recall=0.5, precision=0.25, iou=0.2)
    """
    gold, own = _by_document(wanted), _by_document(sent)
    shared = sum(_shared(spans, own.get(document, ())) for document, spans in gold.items())
    n_gold, n_own = (sum(len(span) for spans in side.values() for span in spans) for side in (gold, own))
    return Overlap(
        shared / n_gold if n_gold else 0.0, shared / n_own if n_own else 0.0, shared / max(n_gold + n_own - shared, 1)
    )


def _by_document(located: Sequence[tuple[str, Span]]) -> dict[str, tuple[Span, ...]]:
    found: dict[str, list[Span]] = {}
    for document, span in located:
        found.setdefault(document, []).append(span)
    return {document: merge_spans(spans) for document, spans in found.items()}


def _shared(left: Sequence[Span], right: Sequence[Span]) -> int:
    """Characters that two lists of disjoint spans have in common."""
    return sum(max(0, min(one.end, other.end) - max(one.start, other.start)) for one in left for other in right)
