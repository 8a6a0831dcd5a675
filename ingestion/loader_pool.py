"""Several parsers behind one `load`, so that a parallel run has a child process for each of its threads."""

from __future__ import annotations

from collections.abc import Callable
from queue import LifoQueue
from types import TracebackType
from typing import Protocol

from domain.documents import LoadedDocument


class Parser(Protocol):
    """What the pool needs of `ingestion.sandbox.Sandbox`."""

    def load(self, data: bytes, name: str, media_type: str | None = None) -> LoadedDocument: ...

    def close(self) -> None: ...


class LoaderPool:
    """Hands each call to a free parser, waiting while all are busy. Close it, or use it as a context manager."""

    def __init__(self, make_parser: Callable[[], Parser], size: int = 2) -> None:
        self._parsers = [make_parser() for _ in range(size)]
        # Last in, first out: a run that needs only one parser starts only one child.
        self._free: LifoQueue[Parser] = LifoQueue()
        for parser in self._parsers:
            self._free.put(parser)

    def __enter__(self) -> LoaderPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def load(self, data: bytes, name: str, media_type: str | None = None) -> LoadedDocument:
        """Read one file. Raises LoadError."""
        parser = self._free.get()
        try:
            return parser.load(data, name, media_type)
        finally:
            self._free.put(parser)

    def close(self) -> None:
        for parser in self._parsers:
            parser.close()
