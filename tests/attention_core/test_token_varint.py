"""Packed numbers come back, and damaged bytes do not go unnoticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attention_core.varint import pack_varints, unpack_varints
from domain.errors import DomainError


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_numbers_come_back(numbers: list[int]) -> None:
    assert unpack_varints(pack_varints(np.array(numbers, dtype=np.int64))).tolist() == numbers


@pytest.mark.parametrize(("number", "size"), [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (2**32 - 1, 5)])
def test_sizes_grow_every_seven_bits(number: int, size: int) -> None:
    assert len(pack_varints(np.array([number]))) == size


@pytest.mark.parametrize("number", [-1, 2**32])
def test_numbers_that_do_not_fit_are_refused(number: int) -> None:
    with pytest.raises(DomainError, match="Varints hold"):
        pack_varints(np.array([number]))


@pytest.mark.parametrize(
    ("data", "why"), [(b"\x80", "cut off"), (b"\x01\xff", "cut off"), (b"\x80" * 5 + b"\x01", "longer")]
)
def test_damaged_bytes_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(DomainError, match=why):
        unpack_varints(data)
