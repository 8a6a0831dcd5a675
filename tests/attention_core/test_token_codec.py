"""Token vectors survive packing; damaged or foreign bytes are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_core.codec import QuantizedTokenCodec, codec_for
from attention_core.projection import Projection, fit_projection, unit_rows
from attention_core.scorer import ScorerWeights
from domain.errors import DomainError
from domain.search import TokenVectors


def random_tokens(seed: int, count: int, width: int = 384) -> TokenVectors:
    rng = np.random.default_rng(seed)
    starts = np.cumsum(rng.integers(0, 300, count))
    offsets = np.stack((starts, starts + rng.integers(0, 200, count)), axis=1).astype(np.int32)
    vectors = unit_rows(rng.normal(size=(count, width)).astype(np.float32))
    return TokenVectors(vectors, rng.integers(0, 250_037, count).astype(np.int32), offsets)


def random_projection(width: int = 384, dim: int = 128) -> Projection:
    return fit_projection(np.random.default_rng(5).normal(size=(2 * width, width)).astype(np.float32), dim)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray((unit_rows(a) * unit_rows(b)).sum(axis=1))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), count=st.integers(0, 300))
def test_ids_and_offsets_come_back_exactly_and_vectors_nearly(seed: int, count: int) -> None:
    tokens = random_tokens(seed, count)
    codec = QuantizedTokenCodec()
    back = codec.decode(codec.encode(tokens))
    np.testing.assert_array_equal(back.ids, tokens.ids)
    np.testing.assert_array_equal(back.offsets, tokens.offsets)
    assert back.vectors.shape == tokens.vectors.shape and back.vectors.dtype == np.float32
    assert (cosines(back.vectors, tokens.vectors) >= 0.999).all()
    np.testing.assert_allclose(np.linalg.norm(back.vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("bits", "least"), [(4, 0.98), (8, 0.9999)])
def test_a_projected_row_comes_back_as_its_projection(bits: int, least: float) -> None:
    projection, tokens = random_projection(), random_tokens(1, 50)
    codec = QuantizedTokenCodec(projection, bits)  # type: ignore[arg-type]
    back = codec.decode(codec.encode(tokens))
    assert back.vectors.shape == (50, 128)
    assert cosines(back.vectors, projection.apply(tokens.vectors)).min() >= least


def test_codes_are_the_row_over_its_largest_entry() -> None:
    tokens = TokenVectors(
        np.array([[0.6, -0.8, 0.0, 0.0]], np.float32), np.array([7], np.int32), np.array([[0, 3]], np.int32)
    )
    four = QuantizedTokenCodec(bits=4)
    batch = four.decode_many([four.encode(tokens)])
    assert batch.codes.tolist() == [[5, -7, 0, 0]]  # .6 / .8 * 7 = 5.25
    assert batch.scales.tolist() == [pytest.approx(1 / np.sqrt(74))]


def test_many_blobs_decode_as_one_by_one() -> None:
    codec = QuantizedTokenCodec(random_projection(), bits=4)
    texts = [random_tokens(seed, count) for seed, count in enumerate((3, 0, 40, 1, 0))]
    blobs = [codec.encode(tokens) for tokens in texts]
    batch = codec.decode_many(blobs)
    assert batch.counts.tolist() == [3, 0, 40, 1, 0]
    singles = [codec.decode(blob) for blob in blobs]
    np.testing.assert_array_equal(batch.ids, np.concatenate([one.ids for one in singles]))
    np.testing.assert_array_equal(batch.offsets, np.concatenate([one.offsets for one in singles]))
    np.testing.assert_array_equal(batch.vectors(), np.concatenate([one.vectors for one in singles]))


def test_no_blobs_give_an_empty_batch() -> None:
    batch = QuantizedTokenCodec().decode_many([])
    assert len(batch.ids) == len(batch.counts) == len(batch.codes) == 0


def test_a_zero_row_stays_zero() -> None:
    tokens = TokenVectors(np.zeros((1, 8), np.float32), np.zeros(1, np.int32), np.zeros((1, 2), np.int32))
    codec = QuantizedTokenCodec()
    assert codec.decode(codec.encode(tokens)).vectors.tolist() == [[0.0] * 8]


def test_a_chunk_of_200_tokens_takes_less_than_14_kilobytes_with_projection() -> None:
    tokens = random_tokens(0, 200)
    words = np.stack((np.arange(200) * 5, np.arange(200) * 5 + 4), axis=1).astype(np.int32)
    codec = QuantizedTokenCodec(random_projection(), bits=4)
    assert len(codec.encode(TokenVectors(tokens.vectors, tokens.ids, words))) <= 14_000


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_any_changed_byte_is_noticed(position: int, flip: int) -> None:
    codec = QuantizedTokenCodec(bits=4)
    blob = bytearray(codec.encode(random_tokens(2, 5, width=16)))
    blob[position % len(blob)] ^= flip
    with pytest.raises(DomainError):
        codec.decode(bytes(blob))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(DomainError, match="reindex"):
        QuantizedTokenCodec().decode(garbage)


@settings(max_examples=40, deadline=None)
@given(keep=st.floats(0, 0.999))
def test_a_cut_off_blob_is_refused(keep: float) -> None:
    codec = QuantizedTokenCodec()
    blob = codec.encode(random_tokens(3, 4, width=8))
    with pytest.raises(DomainError, match="reindex"):
        codec.decode(blob[: int(keep * len(blob))])


def test_bytes_of_another_codec_are_refused_by_name() -> None:
    full, projected = QuantizedTokenCodec(), QuantizedTokenCodec(random_projection())
    assert full.codec_id != projected.codec_id != QuantizedTokenCodec(random_projection(), bits=4).codec_id
    with pytest.raises(DomainError, match=projected.codec_id):
        projected.decode(full.encode(random_tokens(0, 2)))


def test_blobs_of_different_widths_are_not_mixed() -> None:
    codec = QuantizedTokenCodec()
    with pytest.raises(DomainError, match=r"\[8, 16\]"):
        codec.decode_many([codec.encode(random_tokens(0, 2, 8)), codec.encode(random_tokens(0, 2, 16))])


@pytest.mark.parametrize(
    ("offsets", "why"), [([[4, 5], [1, 2]], "ascending"), ([[0, 1], [5, 3]], "ascending"), ([[0, 1]], "disagree")]
)
def test_tokens_that_cannot_be_are_not_stored(offsets: list[list[int]], why: str) -> None:
    tokens = TokenVectors(np.eye(2, 4, dtype=np.float32), np.zeros(2, np.int32), np.array(offsets, np.int32))
    with pytest.raises(DomainError, match=why):
        QuantizedTokenCodec().encode(tokens)


def test_vectors_that_are_not_numbers_are_not_stored() -> None:
    tokens = random_tokens(0, 2, 4)
    tokens.vectors[1, 1] = np.nan
    with pytest.raises(DomainError, match="not a number"):
        QuantizedTokenCodec().encode(tokens)


def test_four_bits_need_an_even_width_and_other_depths_do_not_exist() -> None:
    with pytest.raises(DomainError, match="even width"):
        QuantizedTokenCodec(bits=4).encode(random_tokens(0, 2, 5))
    with pytest.raises(DomainError, match="4 or 8 bits"):
        QuantizedTokenCodec(bits=6)  # type: ignore[arg-type]


def test_weights_with_a_projection_store_four_bits_and_others_full_width() -> None:
    projected = codec_for(ScorerWeights(random_projection()))
    assert projected.codec_id.startswith("tokens1-int4-pca128-")
    for weights in (None, ScorerWeights(projection=None)):
        assert codec_for(weights).codec_id == "tokens1-int8-full"
