"""Milliseconds by stage, for the `timings` of every result; and a span each, where the request is traced."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.tracing import start_part


class Stopwatch:
    """Adds up the time spent in named stages, in the order in which they first ran."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start, end_part, failed = time.perf_counter(), start_part(name), True
        try:
            yield
            failed = False
        finally:
            self._stages[name] = self._stages.get(name, 0.0) + time.perf_counter() - start
            if end_part is not None:
                end_part(failed)

    def timings(self, total: bool = False) -> dict[str, float]:
        """Milliseconds by stage so far; with `total`, the whole time since the start as well."""
        stages = {name: round(seconds * 1000, 2) for name, seconds in self._stages.items()}
        return stages | ({"total": round((time.perf_counter() - self._started) * 1000, 2)} if total else {})
