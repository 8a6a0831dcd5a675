"""Milliseconds by stage, for the `timings` of every result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up the time spent in named stages, in the order in which they first ran."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._stages[name] = self._stages.get(name, 0.0) + time.perf_counter() - start

    def timings(self, total: bool = False) -> dict[str, float]:
        """Milliseconds by stage so far; with `total`, the whole time since the start as well."""
        stages = {name: round(seconds * 1000, 2) for name, seconds in self._stages.items()}
        return stages | ({"total": round((time.perf_counter() - self._started) * 1000, 2)} if total else {})
