"""Progress on stderr: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from domain.jobs import IngestProgress

_PLAIN_EVERY_SECONDS = 10.0


class ProgressLine:
    """Shows `done` of `total` things, with a rate in things a second and the time left."""

    def __init__(self, unit: str, work: str = "", label: str = "") -> None:
        """`unit` is what is counted against a total; `work`, where given, a finer count that shows the speed. `label`
        names the stage where the unit alone does not.
        """
        self._unit, self._work, self._label = unit, work, label or unit
        self._started = self._printed = time.monotonic()
        self._first: int | None = None  # a resumed run starts above zero: its rate counts from there
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.fields[label]}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("", total=None, label=self._label, rate="")

    def update(self, done: int, total: int | None, work_done: int = 0) -> None:
        self._first = done if self._first is None else self._first
        text = self._rate(done, total, work_done)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, rate=text)
        elif time.monotonic() - self._printed >= _PLAIN_EVERY_SECONDS:
            self._printed = time.monotonic()
            print(f"{done} of {total or '?'} {self._label}, {text}", file=sys.stderr, flush=True)

    def follow(self, state: IngestProgress) -> None:
        """`update` with what an ingest run reports."""
        self.update(state.documents_done, state.documents_total, state.chunks_done)

    def _rate(self, done: int, total: int | None, work_done: int) -> str:
        """Speed and time left, for example "1,824 chunks, 21.1 chunks/s, 1:02 left"."""
        seconds = max(time.monotonic() - self._started, 1e-6)
        speed = (done - (self._first or 0)) / seconds
        if self._work:
            parts = [f"{work_done:,} {self._work}", f"{work_done / seconds:.1f} {self._work}/s"]
        else:
            parts = [f"{speed:.1f} {self._unit}/s"]
        if total is not None and speed > 0:
            parts.append(f"{_clock((total - done) / speed)} left")
        return ", ".join(parts)

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


class Stages:
    """One progress line after the other: a stage begins when another thing is counted."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._what = ""
        self._line: ProgressLine | None = None

    def update(self, what: str, done: int, total: int) -> None:
        if what != self._what or self._line is None:
            self._stack.close()
            self._what, self._line = what, self._stack.enter_context(ProgressLine(_unit(what), label=what))
        self._line.update(done, total)

    def __enter__(self) -> Stages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _unit(what: str) -> str:
    """What is counted: "questions asked (default)" counts questions."""
    return what.partition(" ")[0]
