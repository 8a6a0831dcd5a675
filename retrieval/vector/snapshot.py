"""The file of a vector index: a header, all keys, all rows, and a checksum over everything before it.

    offset  bytes       content (little-endian)
    0       8           b"FOVEAVEC"
    8       4           format version
    12      4           D, dimensions of a row
    16      8           N, number of rows
    24      8 N         keys, int64
    .       4 N D       rows, float32
    .       4           CRC-32 of all bytes before

FAISS's own file is not used: it has no checksum (a flipped bit loads silently and gives other neighbours), its reader
trusts the sizes it finds, and writing it needs a second copy of the index in memory. This one streams.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from domain.search import FloatArray
from retrieval.vector.rows import KeyArray

_MAGIC, _VERSION = b"FOVEAVEC", 1
_HEADER = struct.Struct("<8sIIQ")
_CHECKSUM = struct.Struct("<I")
_BATCH = 8192  # rows a read: 12 MB at 384 dimensions


def write_snapshot(path: Path, dim: int, parts: Sequence[tuple[KeyArray, FloatArray]]) -> None:
    """Write `parts`, pairs of keys (n,) and rows (n, dim), as one file; an existing file is overwritten."""
    count = sum(len(keys) for keys, _ in parts)
    with path.open("wb") as file:
        checksum = _write(file, _HEADER.pack(_MAGIC, _VERSION, dim, count), 0)
        for keys, _ in parts:
            checksum = _write(file, np.ascontiguousarray(keys, dtype="<i8").data, checksum)
        for _, rows in parts:
            for start in range(0, len(rows), _BATCH):
                block = np.ascontiguousarray(rows[start : start + _BATCH], dtype="<f4")
                checksum = _write(file, block.data, checksum)
        file.write(_CHECKSUM.pack(checksum))


def read_snapshot(path: Path, dim: int) -> Iterator[tuple[KeyArray, FloatArray]]:
    """Yield (keys, rows) in batches. The checksum is compared at the end: use nothing before the iterator is exhausted.

    Raises ValueError when the file cannot be read, is damaged, or holds vectors of another dimension.
    """
    try:
        with path.open("rb") as file:
            yield from _read(file, path, dim)
    except OSError as error:
        raise ValueError(f"The vector snapshot {path} cannot be read: {error}. Rebuild the index.") from error


def _read(file: BinaryIO, path: Path, dim: int) -> Iterator[tuple[KeyArray, FloatArray]]:
    header = file.read(_HEADER.size)
    count = _checked_count(header, path, dim)
    checksum = zlib.crc32(header)
    raw_keys = file.read(8 * count)
    checksum = zlib.crc32(raw_keys, checksum)
    keys = np.frombuffer(raw_keys, dtype="<i8").astype(np.int64, copy=False)
    for start in range(0, count, _BATCH):
        batch = keys[start : start + _BATCH]
        raw_rows = file.read(4 * dim * len(batch))
        checksum = zlib.crc32(raw_rows, checksum)
        yield batch, np.frombuffer(raw_rows, dtype="<f4").astype(np.float32, copy=False).reshape(len(batch), dim)
    if file.read() != _CHECKSUM.pack(checksum):
        raise ValueError(f"The vector snapshot {path} is damaged: its checksum does not match. Rebuild the index.")


def _checked_count(header: bytes, path: Path, dim: int) -> int:
    if len(header) < _HEADER.size or header[:8] != _MAGIC:
        raise ValueError(f"{path} is not a vector snapshot. Rebuild the index.")
    _, version, found, count = _HEADER.unpack(header)
    if version != _VERSION:
        raise ValueError(f"The vector snapshot {path} has format {version}, this version reads {_VERSION}. Rebuild it.")
    if found != dim:
        raise ValueError(f"The vector snapshot {path} holds {found} dimensions, the index {dim}. Rebuild the index.")
    # Compared before anything of that size is allocated: a damaged count must not ask for terabytes.
    expected, actual = _HEADER.size + count * (8 + 4 * dim) + _CHECKSUM.size, path.stat().st_size
    if actual != expected:
        raise ValueError(f"The vector snapshot {path} has {actual} bytes instead of {expected}. Rebuild the index.")
    return int(count)


def _write(file: BinaryIO, data: bytes | memoryview, checksum: int) -> int:
    file.write(data)
    return zlib.crc32(data, checksum)
