"""Each library at its best: the setting that sends least while it answers as well as the product, chosen fairly.

The documents are halved by a hash of their names. For the questions about one half, the setting is chosen on the other
half (cross-fitting), so that no question is measured by a setting that it helped to choose, and none is left out. The
choice falls on the setting with the fewest evidence tokens among those whose answer recall is at most two points below
the product's there: the product's own bound of non-inferiority. Where none reaches that, on the highest recall.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.judging import Sent

MARGIN = 0.02  # of answer recall


@dataclass(frozen=True, slots=True)
class Tuned:
    """What is sent for each question, and the settings chosen for the first and the second half of the documents."""

    sent: tuple[Sent, ...]
    settings: tuple[str, str]


def tuned(settings: Mapping[str, Sequence[Sent]], wanted: Sequence[Sent], clusters: Sequence[str]) -> Tuned:
    """The best of `settings` for each half; `wanted` is what the product sends. All have one entry a question."""
    second = in_second_half(clusters)
    names = tuple(_chosen(settings, wanted, fitting) for fitting in (second, ~second))
    sent = tuple(settings[names[int(half)]][at] for at, half in enumerate(second))
    return Tuned(sent, (names[0], names[1]))


def in_second_half(clusters: Sequence[str]) -> NDArray[np.bool_]:
    """For each question whether its document belongs to the second half; shape (Q,)."""
    ordered = sorted(set(clusters), key=lambda one: hashlib.sha256(one.encode()).digest())
    second = frozenset(ordered[1::2])
    return np.array([one in second for one in clusters], dtype=bool)


def _chosen(settings: Mapping[str, Sequence[Sent]], wanted: Sequence[Sent], fitting: NDArray[np.bool_]) -> str:
    at = np.flatnonzero(fitting).tolist() or range(len(fitting))  # one document alone has no other half
    least = np.mean([wanted[place].recall for place in at]) - MARGIN
    recall = {name: float(np.mean([sent[place].recall for place in at])) for name, sent in settings.items()}
    tokens = {name: float(np.mean([sent[place].tokens for place in at])) for name, sent in settings.items()}
    good = [name for name in settings if recall[name] >= least]
    if good:
        return min(good, key=lambda name: (tokens[name], -recall[name]))
    return min(settings, key=lambda name: (-recall[name], tokens[name]))
