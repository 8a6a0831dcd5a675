"""Times of reranking, by the number of candidates and by their tokens, on two cores.

Every round times every shape once, in a new random order, so that a machine that slows down slows all of them. What is
slow is timed once in ten rounds and compared with the rounds around it.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.metrics import Estimate, median_estimate
from domain.search import Candidate, Query

CANDIDATES, TOKENS = (10, 25, 50, 100, 200), (50, 100, 200, 400)
USUAL_CANDIDATES, USUAL_TOKENS = 50, 200
CORES = 2
_BLOCK = 10  # rounds around one run of the cross-encoder

Rerank = Callable[[Query, Sequence[Candidate]], Any]


@dataclass(frozen=True, slots=True, order=True)
class Shape:
    """So many candidates of so many tokens."""

    candidates: int
    tokens: int


SHAPES = tuple(
    sorted({Shape(one, USUAL_TOKENS) for one in CANDIDATES} | {Shape(USUAL_CANDIDATES, one) for one in TOKENS})
)
USUAL = Shape(USUAL_CANDIDATES, USUAL_TOKENS)


@dataclass(slots=True)
class Timings:
    """Milliseconds of every run by variant and shape; `cross` of the cross-encoder, `blocks` the rounds around each."""

    runs: dict[tuple[str, Shape], list[float]] = field(default_factory=dict)
    cross: list[float] = field(default_factory=list)
    blocks: list[list[float]] = field(default_factory=list)

    def median(self, variant: str, shape: Shape) -> float:
        return float(np.median(self.runs[variant, shape]))

    def p95(self, variant: str, shape: Shape) -> float:
        return float(np.quantile(self.runs[variant, shape], 0.95))


def measure(
    rerankers: Mapping[str, Rerank],
    query: Query,
    pools: Mapping[Shape, Sequence[Candidate]],
    repetitions: int,
    cross: Rerank | None = None,
    seed: int = 0,
) -> Timings:
    """Time every reranker on every pool `repetitions` times, and `cross` on the usual one once in ten rounds.

    The first of `rerankers` is what `cross` is compared with.
    """
    random_order = random.Random(seed)
    jobs = [(name, shape) for name in rerankers for shape in pools]
    timings = Timings({job: [] for job in jobs})
    for name, shape in 2 * jobs:  # caches, buffers of the allocator
        rerankers[name](query, pools[shape])
    if cross is not None:
        cross(query, pools[USUAL])
    compared, block = next(iter(rerankers)), list[float]()
    for number in range(repetitions):
        random_order.shuffle(jobs)
        for name, shape in jobs:
            timings.runs[name, shape].append(_milliseconds(rerankers[name], query, pools[shape]))
        block.append(timings.runs[compared, USUAL][-1])
        if cross is not None and (len(block) == _BLOCK or number == repetitions - 1):
            timings.cross.append(_milliseconds(cross, query, pools[USUAL]))
            timings.blocks.append(block)
            block = []
    return timings


def _milliseconds(rerank: Rerank, query: Query, candidates: Sequence[Candidate]) -> float:
    started = time.perf_counter()
    rerank(query, candidates)
    return 1000 * (time.perf_counter() - started)


def times_faster(timings: Timings, seed: int = 0) -> Estimate:
    """The median over blocks of the cross-encoder's time over the reranker's, with its bootstrap interval."""
    blocks = zip(timings.cross, timings.blocks, strict=True)
    return median_estimate([one / float(np.median(block)) for one, block in blocks], seed)


def peak_mebibytes(rerank: Rerank, query: Query, candidates: Sequence[Candidate]) -> float:
    """The most that one call holds allocated at once; numpy reports its arrays to tracemalloc."""
    tracemalloc.start()
    rerank(query, candidates)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


@contextlib.contextmanager
def two_cores() -> Iterator[None]:
    """Hold the process and the matrix kernels to two cores where the system can."""
    from threadpoolctl import threadpool_limits

    pin = getattr(os, "sched_setaffinity", None)
    own = os.sched_getaffinity(0) if pin is not None else set()
    if pin is not None:
        pin(0, set(sorted(own)[:CORES]))
    try:
        with threadpool_limits(limits=CORES):
            yield
    finally:
        if pin is not None:
            pin(0, own)
