"""Which documents teach, which stop the training and set the levels, and which judge the result.

    hash of a document below 20 % ── held out ─┬─ levelling    early stopping, and what scores mean
                                               └─ comparison   old weights against new ones, and nothing else
    all others ── training

Documents are split, not questions: what is held out shares no document with what teaches. The hash makes a later run
hold the same documents out, so that weights which it is compared with have not seen them either. A small collection
holds out the next ones in the order of the hash, up to 40 % of its documents: fewer than twenty say little.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

_SHARE = 0.2
_WANTED, _LARGEST_SHARE = 20, 0.4  # documents that are held out where that is at most this share of them
_LEAST = 6  # documents that are held out of any collection; fewer say nothing
_SMALLEST = 12  # documents; of fewer none is held out: half of them would be


@dataclass(frozen=True, slots=True)
class Split:
    """Clusters (see `LabelledQuestion.cluster`) that are held out, in two halves."""

    levelling: frozenset[str]
    comparison: frozenset[str]

    @property
    def held_out(self) -> frozenset[str]:
        return self.levelling | self.comparison


def split_clusters(clusters: Iterable[str], seed: int) -> Split:
    """The split of one collection; the same for the same seed, in whatever order the clusters come."""
    ordered = sorted(set(clusters), key=lambda name: (_place(name, seed), name))
    if len(ordered) < _SMALLEST:
        return Split(frozenset(), frozenset())
    few = max(_LEAST, min(_WANTED, int(_LARGEST_SHARE * len(ordered))))
    count = max(few, sum(_place(name, seed) < _SHARE for name in ordered))
    held = sorted(ordered[:count], key=lambda name: (_place(name, f"{seed}/half"), name))
    first = sum(_place(name, f"{seed}/half") < 0.5 for name in held)
    first = min(max(first, _LEAST // 2), count - _LEAST // 2)
    return Split(frozenset(held[:first]), frozenset(held[first:]))


def _place(name: str, seed: int | str) -> float:
    """A number in 0..1 that depends on nothing but the name and the seed."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
