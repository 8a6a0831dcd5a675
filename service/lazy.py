"""Parts that are dear to build, built when they are first needed: `fovea list` must not load a model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from domain.documents import Passage
from domain.protocols import TokenCounter, TokenEncoder
from domain.search import Encoding, FloatArray

T = TypeVar("T")


class Once(Generic[T]):
    """The value of `make()`, made by the first caller and kept; other threads wait for it."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[T] = []

    def get(self) -> T:
        if not self._made:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]


class LazyEncoder:
    """A TokenEncoder that loads its model on first use."""

    def __init__(self, make: Callable[[], TokenEncoder]) -> None:
        self._encoder = Once(make)

    @property
    def model_id(self) -> str:
        return self._encoder.get().model_id

    @property
    def dim(self) -> int:
        return self._encoder.get().dim

    @property
    def counter(self) -> TokenCounter | None:
        """The counter of the encoder's own tokenizer, where it offers one."""
        return getattr(self._encoder.get(), "counter", None)

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        return self._encoder.get().embed_documents(texts)

    def embed_query(self, text: str) -> FloatArray:
        return self._encoder.get().embed_query(text)

    def encode_documents(self, passages: Sequence[Passage]) -> list[Encoding]:
        return self._encoder.get().encode_documents(passages)

    def encode_query(self, text: str) -> Encoding:
        return self._encoder.get().encode_query(text)


class LazyCounter:
    """A TokenCounter that loads its tokenizer on first use."""

    def __init__(self, make: Callable[[], TokenCounter]) -> None:
        self._counter = Once(make)

    @property
    def name(self) -> str:
        return self._counter.get().name

    def count(self, text: str) -> int:
        return self._counter.get().count(text)
