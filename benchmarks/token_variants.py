"""Ways of storing token vectors, more than the product has: any width, 2, 4, 8 or 32 bits, tokens pooled.

    token vectors (T, D) ── projected, fewer axes (T, d) ── neighbours pooled (P, d) ── quantised ── what a search reads

4 and 8 bits are the product's codec: a row is divided by its largest entry and rounded. At 2 bits that would leave
three levels, most of them 0, so the four levels of Max (1960, "Quantizing for minimum distortion") for normal entries
are used, +-0.4528 and +-1.510 of the row's root mean square, cut at 0 and +-0.9816. 32 bits keep the row.

Axes are dropped from the end. Those of a trained projection have no order, so the plane in which its outputs have most
of their length comes first: the leading eigenvectors of their second moments, which lose least of all inner products.

Pooling follows Clavié, Chaffin & Adams 2024 ("Reducing the footprint of multi-vector retrieval with minimal performance
impact via token pooling"), with neighbours only, so that a pooled token is still a place in the text: inside a sentence
the two adjacent groups with the largest cosine of their sums are joined until one group is left for every `factor`
tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from attention_core.batching import lay_out
from attention_core.codec import TokenBatch
from attention_core.projection import Projection, unit_rows
from attention_core.varint import pack_varints
from domain.documents import Chunk
from domain.search import FloatArray, IntArray

_LARGEST_CODE = {4: 7, 8: 127}
_CUT, _INNER, _OUTER = 0.9816, 0.4528, 1.510  # of a standard normal entry
_HEADER_BYTES = 20
_CHUNK_TOKENS = 200  # of the chunk whose bytes are given


def quantised(rows: FloatArray, bits: int) -> FloatArray:
    """Unit rows (T, d) as they are read back after storing at `bits` (2, 4, 8 or 32) a dimension: unit rows again."""
    if bits == 32:
        return unit_rows(rows)
    if bits == 2:
        size = np.sqrt(np.square(rows).mean(axis=1, keepdims=True)).clip(1e-12)
        return unit_rows(np.copysign(np.where(np.abs(rows) < _CUT * size, _INNER, _OUTER), rows))
    peaks = np.abs(rows).max(axis=1, keepdims=True, initial=1e-12)
    return unit_rows(np.rint(rows * (_LARGEST_CODE[bits] / peaks)))


def ordered_axes(projected: FloatArray) -> FloatArray:
    """A rotation (d, d) whose leading columns hold most of the length of the rows `projected` (N, d)."""
    rows = np.asarray(projected, dtype=np.float64)
    _, axes = np.linalg.eigh(rows.T @ rows)  # ascending
    return np.ascontiguousarray(axes[:, ::-1], dtype=np.float32)


def truncated(projection: Projection, dim: int, axes: FloatArray) -> Projection:
    """The projection to its `dim` leading axes by `axes`; at full width itself, without a rotation."""
    if dim == projection.dim:
        return projection
    return Projection(projection.mean, np.ascontiguousarray(projection.matrix @ axes[:, :dim]))


def centred_only(projection: Projection) -> Projection:
    """The encoder's full width, less the mean."""
    return Projection(projection.mean, np.eye(projection.width, dtype=np.float32))


def groups(rows: FloatArray, factor: int) -> list[int]:
    """The first rows of the groups into which T adjacent rows are pooled; ceil(T / factor) groups."""
    sums, firsts = [row.astype(np.float64) for row in rows], list(range(len(rows)))
    alike = [_cosine(left, right) for left, right in pairwise(sums)]
    for _ in range(len(rows) - -(-len(rows) // factor)):
        at = alike.index(max(alike))
        sums[at] = sums[at] + sums[at + 1]
        del sums[at + 1], firsts[at + 1], alike[at]
        if at < len(alike):
            alike[at] = _cosine(sums[at], sums[at + 1])
        if at:
            alike[at - 1] = _cosine(sums[at - 1], sums[at])
    return firsts


def _cosine(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    return float(left @ right / max(float(np.sqrt((left @ left) * (right @ right))), 1e-12))


@dataclass(frozen=True, slots=True)
class Tokens:
    """Stored tokens of C chunks, one after the other: rows (N, d), ids (N,), offsets (N, 2), counts (C,)."""

    rows: FloatArray
    ids: IntArray
    offsets: IntArray
    counts: NDArray[np.int64]

    def pooled(self, chunks: Sequence[Chunk], factor: int) -> Tokens:
        """The same with neighbours pooled; a group takes the id and the start of its first token."""
        if factor == 1 or not len(self.rows):
            return self
        layout = lay_out(chunks, self.counts, self.offsets)
        bounds = np.flatnonzero(np.diff(layout.token_sentence, prepend=-1, append=-1))
        firsts = [
            first + place
            for first, last in pairwise(bounds.tolist())
            for place in groups(self.rows[first:last], factor)
        ]
        at = np.array(firsts, dtype=np.int64)
        rows = unit_rows(np.add.reduceat(self.rows, at, axis=0))
        ends = np.append(at[1:], len(self.rows)) - 1
        offsets = np.stack((self.offsets[at, 0], self.offsets[ends, 1]), axis=1)
        counts = np.bincount(layout.token_chunk[at], minlength=len(chunks))
        return Tokens(rows, self.ids[at], offsets, counts)

    def bytes_of_chunk(self, bits: int, tokens: int) -> float:
        """What a chunk of 200 tokens takes in this form; `tokens` is how many N were before they were pooled."""
        starts = self.offsets[:, 0].astype(np.int64)
        heads = np.cumsum(self.counts)[self.counts > 0] - self.counts[self.counts > 0]
        steps = np.diff(starts, prepend=0)
        steps[heads] = starts[heads]
        lengths = self.offsets[:, 1] - self.offsets[:, 0]
        places = len(pack_varints(np.concatenate((self.ids, steps, lengths))))
        codes = self.rows.size * bits / 8
        return _HEADER_BYTES + _CHUNK_TOKENS * (codes + places) / tokens


class VariantCodec:
    """A `BatchCodec` that reads prepared tokens instead of bytes: the "blob" of a chunk is its key."""

    def __init__(self, projection: Projection, tokens: Tokens, keys: Sequence[int]) -> None:
        self._projection, self._tokens = projection, tokens
        ends = np.cumsum(tokens.counts)
        spans = zip((ends - tokens.counts).tolist(), ends.tolist(), strict=True)
        self._spans: Mapping[bytes, tuple[int, int]] = dict(zip(map(blob_of, keys), spans, strict=True))

    def project(self, vectors: FloatArray) -> FloatArray:
        """The question's vectors (Tq, D) in the space of the stored ones, in full precision."""
        return self._projection.apply(vectors)

    def decode_many(self, blobs: Sequence[bytes]) -> TokenBatch:
        """The tokens of the chunks, in order."""
        spans = [self._spans[blob] for blob in blobs]
        at = np.concatenate([np.arange(*span) for span in spans]) if spans else np.zeros(0, dtype=np.int64)
        counts = np.array([end - start for start, end in spans], dtype=np.int64)
        own = self._tokens
        return TokenBatch(own.rows[at], np.ones(len(at), np.float32), own.ids[at], own.offsets[at], counts)


def blob_of(key: int) -> bytes:
    """What stands for the stored tokens of the chunk `key`."""
    return key.to_bytes(8, "big")
