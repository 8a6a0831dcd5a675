"""Other ways of storing token vectors: what they keep, what they cost, and which one is chosen."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attention_core.codec import QuantizedTokenCodec
from attention_core.projection import Projection, fit_projection, unit_rows
from attention_core.reranker import AttentionReranker
from attention_core.scorer import ScorerWeights
from benchmarks.storage_forms import FULL_WIDTH, Form, Marks, ceiling, draw, forms_of, knee, table
from benchmarks.token_variants import (
    Tokens,
    VariantCodec,
    blob_of,
    centred_only,
    groups,
    ordered_axes,
    quantised,
    truncated,
)
from domain.documents import Chunk, DocumentRef, Sentence, Span
from domain.search import Candidate, Query, StoredChunk, TokenVectors

WIDTH, DIM = 32, 16


def rows(count: int, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).normal(size=(count, width)))


def projection() -> Projection:
    return fit_projection(rows(500, seed=9) * np.linspace(2, 0.2, WIDTH, dtype=np.float32), DIM)


def chunk(number: int, sizes: list[int]) -> Chunk:
    """Sentences of so many words of three letters."""
    bounds = np.cumsum([0, *(4 * size for size in sizes)]).tolist()
    sentences = tuple(Sentence(at, Span(*pair)) for at, pair in enumerate(pairwise(bounds)))
    return Chunk(f"c{number}", number, "d", number, Span(0, bounds[-1]), "abc " * (bounds[-1] // 4), sentences)


def tokens_of(count: int, seed: int) -> TokenVectors:
    starts = 4 * np.arange(count, dtype=np.int32)
    return TokenVectors(
        rows(count, seed=seed), np.arange(count, dtype=np.int32), np.stack((starts, starts + 3), axis=1)
    )


def joined(several: list[TokenVectors]) -> Tokens:
    ids, offsets, vectors = (
        np.concatenate([getattr(one, name) for one in several]) for name in ("ids", "offsets", "vectors")
    )
    return Tokens(vectors, ids, offsets, np.array([len(one) for one in several]))


@pytest.mark.parametrize("bits", [4, 8])
def test_four_and_eight_bits_are_those_of_the_product(bits: Literal[4, 8]) -> None:
    tokens = tokens_of(40, seed=1)
    codec = QuantizedTokenCodec(bits=bits)
    np.testing.assert_allclose(quantised(tokens.vectors, bits), codec.decode(codec.encode(tokens)).vectors, atol=1e-6)


def test_two_bits_give_four_levels_and_keep_the_direction() -> None:
    vectors = rows(50, 128)
    stored = quantised(vectors, 2)
    assert {len(np.unique(row.round(5))) for row in stored} == {4}
    # Max 1960 loses .1175 of a normal variance with four levels; the cosine of what is left is its root.
    assert np.einsum("td,td->t", vectors, stored).mean() == pytest.approx(np.sqrt(1 - 0.1175), abs=0.01)


def test_more_bits_lose_less() -> None:
    vectors = rows(50, 128)
    kept = [float(np.einsum("td,td->t", vectors, quantised(vectors, bits)).mean()) for bits in (2, 4, 8, 32)]
    assert kept == sorted(kept) and kept[-1] == pytest.approx(1)


def test_the_leading_axes_are_those_in_which_the_rows_lie() -> None:
    projected = unit_rows(rows(300, DIM) * np.array([0.01] * 12 + [1.0] * 4, np.float32))  # all in the last four
    axes = ordered_axes(projected)
    np.testing.assert_allclose(axes.T @ axes, np.eye(DIM), atol=1e-5)
    assert np.linalg.norm(projected @ axes[:, :4], axis=1).min() > 0.98


def test_a_truncated_projection_keeps_most_of_each_product_and_the_full_one_is_itself() -> None:
    whole, vectors = projection(), rows(200, seed=3)
    axes = ordered_axes(whole.apply(vectors))
    assert truncated(whole, DIM, axes) is whole
    exact = whole.apply(vectors) @ whole.apply(vectors).T
    errors = [
        float(np.abs(part.apply(vectors) @ part.apply(vectors).T - exact).mean())
        for part in (truncated(whole, dim, axes) for dim in (4, 8, 12))
    ]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.1


def test_the_full_width_less_the_mean() -> None:
    full = centred_only(projection())
    assert full.dim == WIDTH
    np.testing.assert_allclose(full.apply(rows(3)), unit_rows(rows(3) - projection().mean), atol=1e-6)


def test_the_most_alike_neighbours_are_pooled_first() -> None:
    east, north, nearly_east = [1, 0, 0], [0, 1, 0], [0.9, 0.1, 0]
    assert groups(np.array([east, north, north, nearly_east], np.float32), 2) == [0, 1]  # {east} {north, north, nearly}
    assert groups(np.array([north, east, nearly_east, north], np.float32), 2) == [0, 3]  # {north, east, nearly} {north}
    assert groups(np.array([east, nearly_east, north], np.float32), 2) == [0, 2]
    assert groups(np.array([east], np.float32), 3) == [0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=4), min_size=1, max_size=4), st.integers(1, 3))
@example([[0], [0, 0]], 2)
def test_pooling_leaves_one_token_for_each_factor_in_every_sentence(sizes: list[list[int]], factor: int) -> None:
    chunks = [chunk(at, own) for at, own in enumerate(sizes)]
    whole = joined([tokens_of(sum(own), seed=at) for at, own in enumerate(sizes)])
    pooled = whole.pooled(chunks, factor)
    assert pooled.counts.tolist() == [sum(-(-size // factor) for size in own) for own in sizes]
    assert len(pooled.rows) == len(pooled.ids) == pooled.counts.sum()
    np.testing.assert_allclose(np.linalg.norm(pooled.rows, axis=1), 1, atol=1e-5)


def test_a_pooled_token_lies_where_its_tokens_lay_and_between_them() -> None:
    one = tokens_of(4, seed=0)
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    pooled = Tokens(vectors, one.ids, one.offsets, np.array([4])).pooled([chunk(0, [4])], 2)
    assert pooled.offsets.tolist() == [[0, 7], [8, 15]] and pooled.ids.tolist() == [0, 2]
    assert pooled.rows.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("bits", [4, 8])
def test_bytes_are_those_of_the_products_own_blob(bits: Literal[4, 8]) -> None:
    tokens = tokens_of(200, seed=4)
    blob = QuantizedTokenCodec(projection(), bits).encode(tokens)
    stored = Tokens(projection().apply(tokens.vectors), tokens.ids, tokens.offsets, np.array([200]))
    assert stored.bytes_of_chunk(bits, 200) == len(blob)


def test_the_reranker_gives_the_same_scores_through_a_variant_as_through_the_codec() -> None:
    sizes, base = [[5, 3], [6], [1, 2, 4]], projection()
    codec = QuantizedTokenCodec(base, bits=4)
    chunks, tokens = (
        [chunk(at, own) for at, own in enumerate(sizes)],
        [tokens_of(sum(own), at) for at, own in enumerate(sizes)],
    )
    whole = joined(tokens)
    keys = [one.key for one in chunks]
    variant = VariantCodec(base, Tokens(quantised(base.apply(whole.rows), 4), *_places(whole)), keys)
    asked = tokens_of(5, seed=30)
    query, ref = Query("abc " * 5, asked.vectors.mean(axis=0), asked), DocumentRef("d", "d", "d")

    def pool(blobs: list[bytes]) -> list[Candidate]:
        return [Candidate(StoredChunk(one, ref, blob), {}) for one, blob in zip(chunks, blobs, strict=True)]

    weights = ScorerWeights(base)
    ours = AttentionReranker(variant, weights).rerank(query, pool([blob_of(key) for key in keys]))
    theirs = AttentionReranker(codec, weights).rerank(query, pool([codec.encode(one) for one in tokens]))
    assert [one.chunk.id for one in ours] == [one.chunk.id for one in theirs]
    assert [one.score for one in ours] == pytest.approx([one.score for one in theirs], abs=1e-5)


def _places(tokens: Tokens) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tokens.ids, tokens.offsets, tokens.counts


# --- choosing ---


def marks(quality: float, size: float) -> Marks:
    values = [(quality, quality, quality)] * 4
    return Marks(["a", "a", "a", "b"], ["a/1", "a/2", "a/3", "b/1"], values, [size, size])


def measured() -> dict[Form, Marks]:
    return {
        FULL_WIDTH: marks(0.80, 300_000),
        Form(128, 32): marks(0.90, 100_000),
        Form(128, 4): marks(0.899, 13_000),
        Form(64, 4): marks(0.896, 7_000),
        Form(64, 2): marks(0.85, 4_000),
        Form(128, 8): marks(0.9, 26_000),
        Form(128, 4, pool=2): marks(0.9, 6_500),
        Form(128, 4, network=True): marks(0.95, 13_000),
    }


def test_the_knee_is_the_smallest_form_within_half_a_point_of_the_better_float32() -> None:
    assert ceiling(measured()) == Form(128, 32)
    assert knee(measured()) == Form(64, 4)


def test_without_a_form_that_near_the_best_one_is_the_knee() -> None:
    far = {form: one for form, one in measured().items() if form in (FULL_WIDTH, Form(128, 32), Form(64, 2))}
    assert knee(far) == Form(64, 2)


def test_sets_weigh_the_same_however_many_questions_they_have() -> None:
    one, other = marks(0.0, 1), marks(0.0, 1)
    one.values = [(0.0, 0.0, 0.0)] * 3 + [(1.0, 1.0, 1.0)]
    assert one.means().tolist() == [0.5, 0.5, 0.5]
    assert one.against(other).mean == pytest.approx(0.5)


def test_the_table_marks_the_knee_and_the_plot_names_its_lines(tmp_path) -> None:
    assert "**64, 4 bits** (knee) | 7,000 | 0.896 |" in table(measured())
    assert "| -0.4 [-0.4, -0.4] |" in table(measured())
    draw({"untrained": measured(), "trained": measured()}, tmp_path / "token-storage.svg")
    svg = (tmp_path / "token-storage.svg").read_text()
    assert "4 bits, 64 to 128 axes" in svg and "knee" in svg and "128, float32" in svg


def test_every_width_is_tried_at_every_number_of_bits() -> None:
    forms = forms_of(Projection(np.zeros(384, np.float32), np.zeros((384, 128), np.float32)))
    assert len(forms) == len(set(forms)) == 2 + 12 + 4 and forms[0] == FULL_WIDTH
    narrow = forms_of(projection())
    assert {form.dim for form in narrow} == {0, DIM}
