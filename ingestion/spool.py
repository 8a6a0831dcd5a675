"""A sequence of blobs that moves to disk when it grows.

The token vectors of a long document are the largest thing an ingest run makes (13 kB a chunk with the default encoder,
some 80 kB with others), and all of them are needed in the one transaction that stores the document. They wait here
instead of in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from tempfile import SpooledTemporaryFile
from typing import overload

_IN_MEMORY = 32 * 2**20  # bytes a document; nearly all documents stay below and never touch the disk


class BlobSpool(Sequence[bytes | None]):
    """`size` places, all None at first, each filled once and in any order. Close it after use."""

    def __init__(self, size: int, in_memory: int = _IN_MEMORY) -> None:
        self._places: list[tuple[int, int] | None] = [None] * size
        self._file = SpooledTemporaryFile(max_size=in_memory)
        self._end = 0

    def put(self, index: int, blob: bytes) -> None:
        self._file.seek(self._end)
        self._file.write(blob)
        self._places[index] = (self._end, len(blob))
        self._end += len(blob)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> bytes | None: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes | None]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes | None] | None:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        place = self._places[index]
        if place is None:
            return None
        self._file.seek(place[0])
        return self._file.read(place[1])

    def close(self) -> None:
        self._file.close()
