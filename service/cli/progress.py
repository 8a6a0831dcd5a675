"""Progress on stderr: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_PLAIN_EVERY_SECONDS = 10.0


class ProgressLine:
    """Shows `done` of `total` things, with a rate in things a second and the time left."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._started = self._printed = time.monotonic()
        self._first: int | None = None  # a resumed run starts above zero: its rate counts from there
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.fields[label]}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("", total=None, label=unit, rate="")

    def update(self, done: int, total: int | None, detail: str = "") -> None:
        self._first = done if self._first is None else self._first
        rate = (done - self._first) / max(time.monotonic() - self._started, 1e-6)
        text = f"{rate:.1f} {self._unit}/s {detail}".rstrip()
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, rate=text)
        elif time.monotonic() - self._printed >= _PLAIN_EVERY_SECONDS:
            self._printed = time.monotonic()
            left = f", {_clock((total - done) / rate)} left" if total is not None and rate > 0 else ""
            print(f"{done} of {total or '?'} {self._unit}, {text}{left}", file=sys.stderr, flush=True)

    def __enter__(self) -> ProgressLine:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
