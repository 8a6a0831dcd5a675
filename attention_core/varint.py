"""Small numbers in few bytes: LEB128, seven bits a byte, the high bit saying that more follow.

Token ids and the distances between offsets are small most of the time; one to three bytes hold what an int32 array
would spend four on. Both directions loop over the byte position (at most five times), never over the numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from domain.errors import DomainError

_MAX_BYTES = 5  # 5 * 7 bits hold any unsigned 32-bit number


def pack_varints(values: NDArray[np.integer]) -> bytes:
    """Write non-negative 32-bit numbers; none give no bytes.

    >>> pack_varints(np.array([1, 127, 128, 300])).hex(" ")
    '01 7f 80 01 ac 02'
    """
    numbers = np.asarray(values, dtype=np.int64)
    if numbers.size and (numbers.min() < 0 or numbers.max() > 0xFFFF_FFFF):
        raise DomainError(f"Varints hold 0 to 2^32 - 1, got {numbers.min()} to {numbers.max()}.")
    sizes = np.ones(len(numbers), dtype=np.int64)
    for position in range(1, _MAX_BYTES):
        sizes += numbers >= 1 << (7 * position)
    starts = np.cumsum(sizes) - sizes
    packed = np.zeros(int(sizes.sum()), dtype=np.uint8)
    for position in range(_MAX_BYTES):
        reaches = sizes > position
        low = (numbers[reaches] >> (7 * position)) & 0x7F
        more = np.where(sizes[reaches] > position + 1, 0x80, 0)
        packed[starts[reaches] + position] = low | more
    return packed.tobytes()


def unpack_varints(data: bytes) -> NDArray[np.int64]:
    """Read all numbers of `data`, shape (N,). Raises DomainError when the last one is cut off or one is too long."""
    raw = np.frombuffer(data, dtype=np.uint8)
    if not len(raw):
        return np.empty(0, dtype=np.int64)
    ends = np.flatnonzero(raw < 0x80)
    if not len(ends) or ends[-1] != len(raw) - 1:
        raise DomainError("A packed number is cut off; the bytes are damaged.")
    starts = np.concatenate(([0], ends[:-1] + 1))
    sizes = ends - starts + 1
    if sizes.max() > _MAX_BYTES:
        raise DomainError(f"A packed number of {sizes.max()} bytes is longer than 32 bits need; the bytes are damaged.")
    values = np.zeros(len(ends), dtype=np.int64)
    for position in range(int(sizes.max())):
        reaches = sizes > position
        values[reaches] |= (raw[starts[reaches] + position] & 0x7F).astype(np.int64) << (7 * position)
    return values
