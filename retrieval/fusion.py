"""Several rankings into one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

from domain.errors import DomainError

Item = TypeVar("Item", bound=Hashable)

RRF_K = 60  # Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion", SIGIR 2009


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[Item]], k: int = RRF_K, weights: Sequence[float] | None = None
) -> list[tuple[Item, float]]:
    """Merge rankings, best first; an item scores the sum of weight / (k + rank), rank from 1, over those that hold it.

    Only ranks count, so scores of different kinds need no common scale. Ties keep the order of first appearance, an
    item that a ranking repeats counts at its best place there, and no rankings give [].

    >>> [(item, round(score, 3)) for item, score in reciprocal_rank_fusion([["a", "b"], ["b"]], k=1)]  # b: 1/3 + 1/2
    [('b', 0.833), ('a', 0.5)]
    >>> reciprocal_rank_fusion([["a"], ["b"]], k=1, weights=[1.0, 3.0])
    [('b', 1.5), ('a', 0.5)]
    """
    shares = [1.0] * len(rankings) if weights is None else list(weights)
    if len(shares) != len(rankings):
        raise DomainError(f"{len(rankings)} rankings need as many weights; got {len(shares)}.")
    scores: dict[Item, float] = {}
    for ranking, weight in zip(rankings, shares, strict=True):
        for rank, item in enumerate(dict.fromkeys(ranking), start=1):
            scores[item] = scores.get(item, 0.0) + weight / (k + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
