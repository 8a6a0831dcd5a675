"""A few questions of a batch under way at a time, each in a thread that ends with its call to the model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from domain.answers import Answer
from domain.asking import Message
from domain.batches import BatchItem
from domain.errors import JobLost, Overloaded

_PAUSE_SECONDS = 1.0
_LOOK_SECONDS = 0.2


class Answering(Protocol):
    """The engine's verb that a batch needs."""

    def stream(self, question: str, **options: Any) -> Iterator[str | Answer]: ...


class Askers:
    """Asks questions side by side and gives their answers back in the order in which they come.

    The threads are daemons: a model that takes its time must not keep a process alive that has been told to end.
    `given_up` is asked between two parts of an answer; where it is true, the call is broken off.
    """

    def __init__(self, given_up: Callable[[], bool]) -> None:
        self._given_up = given_up
        self._cancelled = False
        self._answered: SimpleQueue[tuple[BatchItem, Answer | Exception]] = SimpleQueue()
        self._under_way: dict[int, BatchItem] = {}
        self._streams: set[Any] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    def holds(self, item: BatchItem) -> bool:
        return item.ordinal in self._under_way

    def ask(self, engine: Answering, item: BatchItem) -> None:
        self._under_way[item.ordinal] = item
        thread = threading.Thread(target=self._ask, args=(engine, item), name="fovea-batch", daemon=True)
        thread.start()

    def next(self) -> tuple[BatchItem, Answer | Exception] | None:
        """The next answer, or the error in its place; None where none comes within a moment."""
        try:
            item, answer = self._answered.get(timeout=_LOOK_SECONDS)
        except Empty:
            return None
        del self._under_way[item.ordinal]
        return item, answer

    def cancel(self) -> None:
        """Break off what is under way; returns at once."""
        self._cancelled = True
        for stream in list(self._streams):
            getattr(stream, "cancel", lambda: None)()

    def _ask(self, engine: Answering, item: BatchItem) -> None:
        try:
            self._answered.put((item, self._patiently(engine, item)))
        except Exception as error:
            self._answered.put((item, error))

    def _patiently(self, engine: Answering, item: BatchItem) -> Answer:
        """One answer. A server whose encoder is busy is asked again: nobody stands in line behind a batch."""
        while True:
            try:
                return self._answer(engine, item)
            except Overloaded:
                self._check()
                threading.Event().wait(_PAUSE_SECONDS)

    def _answer(self, engine: Answering, item: BatchItem) -> Answer:
        stream = engine.stream(item.question, **_arguments(item))
        self._streams.add(stream)
        try:
            self._check()  # `cancel` may have come before there was a stream to cancel
            for part in stream:
                self._check()
                if isinstance(part, Answer):
                    return part
            raise RuntimeError("The engine's stream ended without an answer.")
        finally:
            self._streams.discard(stream)
            getattr(stream, "close", lambda: None)()

    def _check(self) -> None:
        if self._cancelled or self._given_up():
            raise JobLost("Nobody waits for this answer any more.")


def _arguments(item: BatchItem) -> dict[str, Any]:
    """The engine's keyword arguments; a conversation is kept as JSON."""
    options = dict(item.options)
    if "history" in options:
        options["history"] = [Message(turn["role"], turn["content"]) for turn in options["history"]]
    return options
