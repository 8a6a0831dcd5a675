"""Token vectors as compact bytes, and back.

A float32 vector of 384 dimensions costs 1,536 bytes; a chunk of 200 tokens would cost 300 KB. Three steps bring that
to about 13.5 KB with no measurable loss of ranking quality (see `weights/README.md`):

1. *Project*: centre and keep 128 principal axes (`projection.py`), where a projection for the encoder exists.
2. *Quantise*: divide each row by its largest entry and round to 4 bits (-7..7) or 8 bits (-127..127). The rows are
   unit vectors, so a row's scale is known from its codes (1 / |codes|) and is not stored.
3. *Pack*: two 4-bit codes a byte; ids, starts and lengths as varints of differences (`varint.py`).

A blob is a header, the codes, the varints:

    magic "FVTK" | version u8 | bits u8 | dim u16 | tokens u32 | crc32 of codec_id u32 | crc32 of all but itself
    codes   T * dim * bits / 8 bytes
    varints T ids, T differences of starts, T lengths

Half of a reranker's time could go into taking blobs apart one by one, so `decode_many` does all steps but the
header on one concatenated array.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from attention_core.projection import Projection, unit_rows
from attention_core.scorer import ScorerWeights
from attention_core.varint import pack_varints, unpack_varints
from domain.errors import DomainError
from domain.protocols import TokenCodec
from domain.search import FloatArray, IntArray, TokenVectors

_MAGIC = b"FVTK"
_VERSION = 1
_HEADER = struct.Struct("<4sBBHII")
_CHECKSUM = struct.Struct("<I")
_PAYLOAD_AT = _HEADER.size + _CHECKSUM.size
_LARGEST_CODE = {4: 7, 8: 127}

# One byte of two 4-bit codes -> both as float32, low half first; looked up as one complex64 so that a gather does both.
_NIBBLES = np.stack((np.arange(256) & 15, np.arange(256) >> 4), axis=1).astype(np.float32) - 8
_NIBBLE_PAIRS = np.ascontiguousarray(_NIBBLES).view(np.complex64).ravel()


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """The tokens of several texts, one after the other (N tokens of C texts in all), not yet scaled.

    codes: (N, d) float32, whole numbers. scales: (N,); `codes * scales[:, None]` are the unit rows, but scaling the
    few columns of a product with them is cheaper. ids: (N,). offsets: (N, 2), each text's own characters.
    counts: (C,) tokens of each text.
    """

    codes: FloatArray
    scales: FloatArray
    ids: IntArray
    offsets: IntArray
    counts: NDArray[np.int64]

    def vectors(self) -> FloatArray:
        """Shape (N, d), float32, unit rows."""
        return self.codes * self.scales[:, None]


@runtime_checkable
class BatchCodec(Protocol):
    """What the reranker needs of a codec: many blobs at once, and the question in the space of the stored vectors."""

    def decode_many(self, blobs: Sequence[bytes]) -> TokenBatch: ...

    def project(self, vectors: FloatArray) -> FloatArray: ...


class QuantizedTokenCodec:
    """Packs token vectors at `bits` (4 or 8) a dimension, projected first where a `projection` is given.

    Without a projection the full width is kept and 8 bits give a row back at cosine > .999. With one, `decode` gives
    rows in the projection's own space; compare them with `project(question_vectors)`.
    """

    def __init__(self, projection: Projection | None = None, bits: Literal[4, 8] = 8) -> None:
        if bits not in _LARGEST_CODE:
            raise DomainError(f"Token vectors are stored at 4 or 8 bits a dimension, not {bits}.")
        self._projection = projection
        self._bits = bits
        space = f"pca{projection.dim}-{projection.digest}" if projection else "full"
        self.codec_id = f"tokens{_VERSION}-int{bits}-{space}"
        self._tag = zlib.crc32(self.codec_id.encode())

    def project(self, vectors: FloatArray) -> FloatArray:
        """Take vectors of the encoder, shape (T, D), to the space of the stored ones, shape (T, d), unit rows."""
        return self._projection.apply(vectors) if self._projection else unit_rows(vectors)

    def encode(self, tokens: TokenVectors) -> bytes:
        """Pack one text's tokens. Raises DomainError when the arrays disagree or offsets do not ascend."""
        _check_tokens(tokens)
        rows = self.project(tokens.vectors)
        payload = self._pack_codes(rows) + _pack_positions(tokens)
        head = _HEADER.pack(_MAGIC, _VERSION, self._bits, rows.shape[1], len(tokens), self._tag)
        return head + _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(head))) + payload

    def decode(self, blob: bytes) -> TokenVectors:
        """Unpack one text's tokens. Raises DomainError for bytes that are damaged or of another codec."""
        batch = self.decode_many([blob])
        return TokenVectors(batch.vectors(), batch.ids, batch.offsets)

    def decode_many(self, blobs: Sequence[bytes]) -> TokenBatch:
        """Unpack several texts into one flat batch, in order. Raises DomainError as `decode` does."""
        parts = [self._open(blob) for blob in blobs]
        dim = parts[0][1] if parts else 0
        if any(part[1] != dim for part in parts):
            raise DomainError(
                f"Token vectors of widths {sorted({part[1] for part in parts})} cannot be compared; reindex."
            )
        counts = np.array([part[0] for part in parts], dtype=np.int64)
        codes = self._unpack_codes(b"".join(part[2] for part in parts), dim)
        norms = np.sqrt(np.einsum("td,td->t", codes, codes))
        scales = 1 / np.maximum(norms, 1)  # the norm of anything but zero is at least 1; a zero row stays one
        ids, offsets = _unpack_positions([part[3] for part in parts], counts)
        return TokenBatch(codes, scales, ids, offsets, counts)

    def _open(self, blob: bytes) -> tuple[int, int, bytes, bytes]:
        """(tokens, dim, codes, varints) of one blob, once header and checksum hold."""
        if len(blob) < _PAYLOAD_AT:
            raise DomainError(f"{len(blob)} bytes are too few for stored token vectors; reindex the document.")
        magic, version, bits, dim, count, tag = _HEADER.unpack_from(blob)
        if magic != _MAGIC or version != _VERSION:
            raise DomainError("The bytes are not token vectors of a known version; reindex the document.")
        if tag != self._tag or bits != self._bits:
            raise DomainError(f"The token vectors were stored by another codec than '{self.codec_id}'; reindex.")
        (checksum,) = _CHECKSUM.unpack_from(blob, _HEADER.size)
        payload = blob[_PAYLOAD_AT:]
        split = count * dim * bits // 8
        if zlib.crc32(payload, zlib.crc32(blob[: _HEADER.size])) != checksum or split > len(payload) or dim == 0:
            raise DomainError("Stored token vectors are damaged (checksum or length is wrong); reindex the document.")
        return count, dim, payload[:split], payload[split:]

    def _pack_codes(self, rows: FloatArray) -> bytes:
        largest = _LARGEST_CODE[self._bits]
        peaks = np.abs(rows).max(axis=1, keepdims=True, initial=1e-12)
        codes = np.rint(rows * (largest / peaks)).astype(np.int8)
        if self._bits == 8:
            return bytes(codes.data)
        if codes.shape[1] % 2:
            raise DomainError(f"4-bit codes are packed in pairs, but the width is {codes.shape[1]}; use an even width.")
        shifted = (codes + 8).astype(np.uint8)
        return bytes((shifted[:, 0::2] | shifted[:, 1::2] << 4).data)

    def _unpack_codes(self, data: bytes, dim: int) -> FloatArray:
        if not data:
            return np.empty((0, dim), dtype=np.float32)
        if self._bits == 8:
            return np.frombuffer(data, dtype=np.int8).reshape(-1, dim).astype(np.float32)
        return _NIBBLE_PAIRS[np.frombuffer(data, dtype=np.uint8)].view(np.float32).reshape(-1, dim)


class OneByOne:
    """A BatchCodec made of any `TokenCodec` whose `decode` gives vectors in the encoder's own space."""

    def __init__(self, codec: TokenCodec) -> None:
        self._codec = codec

    def decode_many(self, blobs: Sequence[bytes]) -> TokenBatch:
        """Decode one after the other. Raises what the codec raises."""
        texts = [self._codec.decode(blob) for blob in blobs]
        if not texts:
            return QuantizedTokenCodec().decode_many([])
        rows = unit_rows(np.concatenate([text.vectors for text in texts]))
        return TokenBatch(
            rows,
            np.ones(len(rows), dtype=np.float32),
            np.concatenate([text.ids for text in texts]),
            np.concatenate([text.offsets for text in texts]),
            np.array([len(text) for text in texts], dtype=np.int64),
        )

    def project(self, vectors: FloatArray) -> FloatArray:
        """Unit rows of the same width."""
        return unit_rows(vectors)


def batched(codec: TokenCodec | BatchCodec) -> BatchCodec:
    """The codec itself where it can decode in batches, else one that does so one by one."""
    return codec if isinstance(codec, BatchCodec) else OneByOne(codec)


def codec_for(weights: ScorerWeights | None) -> QuantizedTokenCodec:
    """The codec that suits an encoder: projected to 4 bits where it has weights with a projection, else full int8."""
    projection = weights.projection if weights else None
    return QuantizedTokenCodec(projection, bits=4) if projection else QuantizedTokenCodec()


def _check_tokens(tokens: TokenVectors) -> None:
    count = len(tokens)
    if tokens.vectors.ndim != 2 or len(tokens.vectors) != count or tokens.offsets.shape != (count, 2):
        raise DomainError(
            f"Token arrays disagree: {tokens.vectors.shape} vectors, {count} ids, {tokens.offsets.shape} offsets."
        )
    starts, ends = tokens.offsets[:, 0], tokens.offsets[:, 1]
    if (np.diff(starts, prepend=0) < 0).any() or (ends < starts).any():
        raise DomainError("Token offsets must be half-open ranges with ascending starts from 0.")
    if not np.isfinite(tokens.vectors).all():
        raise DomainError("Token vectors hold a value that is not a number; the encoder is broken.")


def _pack_positions(tokens: TokenVectors) -> bytes:
    starts, ends = tokens.offsets[:, 0], tokens.offsets[:, 1]
    return pack_varints(np.concatenate((tokens.ids, np.diff(starts, prepend=0), ends - starts)))


def _unpack_positions(streams: Sequence[bytes], counts: NDArray[np.int64]) -> tuple[IntArray, IntArray]:
    """Read ids (N,) and offsets (N, 2) of all texts; each stream holds three numbers a token."""
    numbers = unpack_varints(b"".join(streams))
    if len(numbers) != 3 * counts.sum() or any(stream and stream[-1] >= 0x80 for stream in streams):
        raise DomainError("Stored token positions do not match the number of tokens; reindex the document.")
    first = np.repeat(np.cumsum(counts) - counts, counts)  # (N,) index of the text's first token
    step = np.repeat(counts, counts)
    id_at = np.arange(len(first)) + 2 * first  # earlier texts hold three numbers a token
    deltas, lengths = numbers[id_at + step], numbers[id_at + 2 * step]
    total = np.cumsum(deltas)
    starts = total - (total - deltas)[first]  # the running sum restarts with each text
    offsets = np.stack((starts, starts + lengths), axis=1).astype(np.int32)
    return numbers[id_at].astype(np.int32), offsets
