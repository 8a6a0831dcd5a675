"""Attention against numbers worked out by hand, a loop that spells out the definition, and torch's own kernels."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from attention_core.attention import (
    MultiHeadAttention,
    causal_mask,
    linear_attention,
    local_window_mask,
    masked_softmax,
    merge_heads,
    padding_mask,
    rotate,
    scaled_dot_product_attention,
    sinusoidal_positions,
    split_heads,
    streaming_attention,
    top_k_attention,
)
from domain.errors import DomainError

seeds = st.integers(0, 2**16)
lengths = st.integers(1, 9)


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_mask(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.6


def loop_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """The definition, one query and one key at a time, for arrays without a batch."""
    rows = []
    for i, q in enumerate(query):
        shares = [math.exp(float(q @ k) / math.sqrt(len(q))) if mask[i, j] else 0.0 for j, k in enumerate(key)]
        rows.append(sum((s * v for s, v in zip(shares, value, strict=True)), torch.zeros_like(value[0])))
        rows[-1] = rows[-1] / sum(shares) if sum(shares) else rows[-1]
    return torch.stack(rows)


def test_weights_are_the_softmax_of_the_scaled_products() -> None:
    query = torch.tensor([[2.0, 0.0, 0.0, 0.0]])  # width 4, so logits are halved
    key = torch.tensor([[math.log(4.0), 0, 0, 0], [0, 5.0, 0, 0]])
    value = torch.tensor([[10.0], [0.0]])
    values, weights = scaled_dot_product_attention(query, key, value)
    assert weights.tolist() == [[pytest.approx(0.8), pytest.approx(0.2)]]  # e^(ln 4) : e^0
    assert values.item() == pytest.approx(8.0)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, n_queries=lengths, n_keys=lengths)
def test_attention_equals_the_loop(seed: int, n_queries: int, n_keys: int) -> None:
    query, key, value = randn(seed, n_queries, 4), randn(seed + 1, n_keys, 4), randn(seed + 2, n_keys, 3)
    mask = random_mask(seed, n_queries, n_keys)
    values, _ = scaled_dot_product_attention(query, key, value, mask)
    torch.testing.assert_close(values, loop_attention(query, key, value, mask))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_equals_torchs_kernel(causal: bool) -> None:
    query, key, value = (randn(seed, 2, 3, 7, 8) for seed in range(3))
    mask = causal_mask(7) if causal else None
    ours = scaled_dot_product_attention(query, key, value, mask).values
    theirs = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
    torch.testing.assert_close(ours, theirs)


def test_a_query_that_may_see_nothing_gets_zeros_and_a_finite_gradient() -> None:
    query = randn(0, 2, 4).requires_grad_()
    key, mask = randn(1, 3, 4), torch.tensor([[True, False, True], [False, False, False]])
    values, weights = scaled_dot_product_attention(query, key, key, mask)
    assert weights[1].tolist() == [0, 0, 0] and values[1].tolist() == [0, 0, 0, 0]
    assert weights[0, 1] == 0 and weights[0].sum().item() == pytest.approx(1)
    torch.autograd.backward(values.sum())
    assert query.grad is not None and query.grad.isfinite().all()


def test_large_logits_do_not_overflow() -> None:
    assert masked_softmax(torch.tensor([[1e4, 1e4 - math.log(3)]]), torch.ones(1, 2, dtype=torch.bool))[
        0, 0
    ] == pytest.approx(0.75, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, order=st.permutations(range(6)))
def test_reordering_keys_reorders_weights_and_leaves_values(seed: int, order: list[int]) -> None:
    query, key, value = randn(seed, 3, 4), randn(seed + 1, 6, 4), randn(seed + 2, 6, 2)
    values, weights = scaled_dot_product_attention(query, key, value)
    shuffled = scaled_dot_product_attention(query, key[order], value[order])
    torch.testing.assert_close(shuffled.values, values)
    torch.testing.assert_close(shuffled.weights, weights[:, order])


def test_a_causal_mask_for_fewer_queries_than_keys_is_that_of_the_last_queries() -> None:
    assert causal_mask(2, 4).tolist() == causal_mask(4)[2:].tolist()


def test_changing_a_later_token_changes_no_earlier_output() -> None:
    x, other = randn(0, 1, 5, 8), randn(0, 1, 5, 8)
    other[:, 4] += 1
    attention = MultiHeadAttention(8, 2, rotary=True).double()
    before, after = attention(x, causal=True).values, attention(other, causal=True).values
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4], after[:, 4])


def test_padding_changes_nothing_for_the_real_tokens() -> None:
    x = randn(3, 1, 4, 8)
    padded = torch.cat((x, 100 * randn(4, 1, 3, 8)), dim=1)
    attention = MultiHeadAttention(8, 4).double()
    alone, beside = attention(x), attention(padded, key_mask=padding_mask(torch.tensor([4]), 7))
    torch.testing.assert_close(alone.values, beside.values[:, :4])
    assert beside.weights[..., 4:].abs().max() == 0


@pytest.mark.parametrize("cross", [False, True])
def test_multi_head_attention_equals_torchs_module(cross: bool) -> None:
    ours, theirs = MultiHeadAttention(12, 3).double(), torch.nn.MultiheadAttention(12, 3, batch_first=True).double()
    with torch.no_grad():
        parts = (ours.to_query, ours.to_key, ours.to_value)
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.load_state_dict(ours.to_output.state_dict())
    x = randn(0, 2, 5, 12)
    memory = randn(1, 2, 6, 12) if cross else x
    mask = padding_mask(torch.tensor([memory.shape[1], 3]), memory.shape[1])
    values, weights = ours(x, memory if cross else None, key_mask=mask)
    expected, expected_weights = theirs(x, memory, memory, key_padding_mask=~mask, average_attn_weights=False)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(weights, expected_weights)


def test_heads_are_contiguous_slices_of_the_width() -> None:
    x = torch.arange(6.0).view(1, 1, 6)
    heads = split_heads(x, 2)
    assert heads[0, :, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert merge_heads(heads).tolist() == x.tolist()


@pytest.mark.parametrize("n_heads", [0, 5])
def test_a_width_that_heads_do_not_divide_is_refused(n_heads: int) -> None:
    with pytest.raises(DomainError, match="equal heads"):
        MultiHeadAttention(12, n_heads)


def test_sinusoidal_products_depend_on_distance_alone() -> None:
    table = sinusoidal_positions(20, 16)
    gram = table @ table.T
    for distance in (0, 1, 5):
        diagonal = gram.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=0)


def test_rotary_positions_keep_lengths_and_depend_on_distance_alone() -> None:
    query, key = randn(0, 1, 8).expand(10, 8), randn(1, 1, 8).expand(10, 8)
    turned_query, turned_key = rotate(query), rotate(key)
    torch.testing.assert_close(turned_query.norm(dim=-1), query.norm(dim=-1))
    products = turned_query @ turned_key.T
    for distance in (-3, 0, 4):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=0)
    torch.testing.assert_close(rotate(query[4:], start=4), turned_query[4:])


def test_positions_of_an_odd_width_are_refused() -> None:
    with pytest.raises(DomainError, match="even"):
        sinusoidal_positions(3, 5)


@settings(max_examples=60, deadline=None)
@given(seed=seeds, n_keys=lengths, block_size=st.integers(1, 12), masked=st.booleans())
def test_streaming_gives_the_dense_values_for_any_block_size(
    seed: int, n_keys: int, block_size: int, masked: bool
) -> None:
    query, key, value = randn(seed, 2, 3, 4), 20 * randn(seed + 1, 2, n_keys, 4), randn(seed + 2, 2, n_keys, 5)
    mask = random_mask(seed, 2, 3, n_keys) if masked else None
    dense = scaled_dot_product_attention(query, key, value, mask).values
    torch.testing.assert_close(streaming_attention(query, key, value, mask, block_size=block_size), dense)


def test_streaming_over_blocks_that_are_hidden_at_first_and_at_all() -> None:
    query, key, value = randn(0, 1, 2), randn(1, 4, 2), randn(2, 4, 2)
    late = torch.tensor([[False, False, True, True]])
    expected = scaled_dot_product_attention(query, key, value, late).values
    torch.testing.assert_close(streaming_attention(query, key, value, late, block_size=1), expected)
    none = torch.zeros(1, 4, dtype=torch.bool)
    assert streaming_attention(query, key, value, none, block_size=1).tolist() == [[0, 0]]


def test_streaming_without_keys_gives_zeros() -> None:
    assert streaming_attention(randn(0, 2, 3), randn(1, 0, 3), randn(2, 0, 4)).tolist() == [[0] * 4] * 2


def test_a_window_of_radius_zero_copies_each_tokens_own_value() -> None:
    x = randn(0, 5, 3)
    torch.testing.assert_close(scaled_dot_product_attention(x, x, x, local_window_mask(5, 0)).values, x)


def test_top_1_copies_the_best_value_and_top_all_is_dense_attention() -> None:
    query, key, value = randn(0, 3, 4), randn(1, 6, 4), randn(2, 6, 2)
    best = (query @ key.T).argmax(-1)
    torch.testing.assert_close(top_k_attention(query, key, value, 1).values, value[best])
    dense = scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(top_k_attention(query, key, value, 9).values, dense.values)


def test_top_k_sees_exactly_k_keys_even_in_ties_and_no_masked_one() -> None:
    query, key = torch.zeros(1, 2), torch.zeros(4, 2)  # all logits tie
    assert top_k_attention(query, key, key, 2).weights.tolist() == [[0.5, 0.5, 0, 0]]
    mask = torch.tensor([[False, True, False, False]])
    assert top_k_attention(query, key, key, 2, mask).weights.tolist() == [[0, 1, 0, 0]]


def loop_linear_attention(query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
    rows = []
    for i in range(len(query)):
        shares = [float((torch.nn.functional.elu(query[i]) + 1) @ (torch.nn.functional.elu(k) + 1)) for k in key]
        shares = [share if visible[i, j] else 0.0 for j, share in enumerate(shares)]
        rows.append(sum((s * v for s, v in zip(shares, value, strict=True)), torch.zeros_like(value[0])) / sum(shares))
    return torch.stack(rows)


@pytest.mark.parametrize("causal", [False, True])
def test_linear_attention_equals_its_quadratic_loop(causal: bool) -> None:
    query, key, value = randn(0, 5, 4), randn(1, 5, 4), randn(2, 5, 3)
    visible = causal_mask(5) if causal else torch.ones(5, 5, dtype=torch.bool)
    expected = loop_linear_attention(query, key, value, visible)
    torch.testing.assert_close(linear_attention(query, key, value, causal=causal), expected)


def test_linear_attention_ignores_padding_and_survives_nothing_but_padding() -> None:
    query, key, value = randn(0, 1, 2, 4), randn(1, 1, 5, 4), randn(2, 1, 5, 3)
    short = linear_attention(query, key[:, :3], value[:, :3])
    masked = linear_attention(query, key, value, padding_mask(torch.tensor([3]), 5))
    torch.testing.assert_close(masked, short)
    assert linear_attention(query, key, value, padding_mask(torch.tensor([0]), 5)).abs().max() == 0


def test_looking_at_no_keys_is_refused() -> None:
    x = randn(0, 2, 2)
    with pytest.raises(DomainError, match="at least one key"):
        streaming_attention(x, x, x, block_size=0)
    with pytest.raises(DomainError, match="at least one key"):
        top_k_attention(x, x, x, 0)
