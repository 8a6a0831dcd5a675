"""Parts that are dear to build, built when they are first needed: `fovea list` must not load a model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from domain.protocols import TokenCounter

T_co = TypeVar("T_co", covariant=True)  # a value is only given out: `Once[Circle]` serves as `Once[Shape]`


class Once(Generic[T_co]):
    """The value of `make()`, made by the first caller and kept; other threads wait for it."""

    def __init__(self, make: Callable[[], T_co]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[T_co] = []

    def get(self) -> T_co:
        if not self._made:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]


class LazyCounter:
    """A TokenCounter that loads its tokenizer on first use."""

    def __init__(self, make: Callable[[], TokenCounter]) -> None:
        self._counter = Once(make)

    @property
    def name(self) -> str:
        return self._counter.get().name

    def count(self, text: str) -> int:
        return self._counter.get().count(text)
