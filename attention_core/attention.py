"""Attention, from the definition to the variants that make it affordable.

Attention answers a question by a weighted mean. Every query vector is compared with every key vector; the
comparisons become weights by a softmax; the weights mix the value vectors:

    weights = softmax(Q K^T / sqrt(D))        shape (Tq, Tk), each row sums to 1
    values  = weights V                       shape (Tq, D)

Written like that it needs a table of Tq x Tk numbers, so a text of twice the length costs four times the memory.
The rest of the file is about that: `streaming_attention` gives the same values and keeps only one block of keys
in hand; `local_window_mask` and `top_k_attention` look at fewer keys; `linear_attention` replaces the softmax by a
kernel, so that keys and values fold into one D x D state.

Letters in shapes: B batch, H heads, T tokens (Tq queries, Tk keys), D width. A leading `...` stands for any number
of batch dimensions. A mask is boolean, True where a key may be seen, and is applied before the softmax. A query
that may see nothing gets zero weights and a zero value, never NaN.

This file is the reading copy and the home of torch; `reranker.py` computes the same weights in numpy, because
importing torch would cost the first question seconds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from domain.errors import DomainError


class Attended(NamedTuple):
    """What attention gives: `values` (..., Tq, D) and the `weights` (..., Tq, Tk) they were mixed with."""

    values: Tensor
    weights: Tensor


# --- masks ------------------------------------------------------------------------------------------------------


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """Mark the real tokens of padded rows: shape (B, size) for `lengths` of shape (B,).

    >>> padding_mask(torch.tensor([1, 3]), 3).int().tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def causal_mask(n_queries: int, n_keys: int | None = None) -> Tensor:
    """Let every token see itself and what came before: shape (Tq, Tk).

    With more keys than queries the queries are the last ones, as when a text goes on from a cache.

    >>> causal_mask(3).int().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    n_keys = n_queries if n_keys is None else n_keys
    return torch.ones(n_queries, n_keys, dtype=torch.bool).tril(n_keys - n_queries)


def local_window_mask(n_tokens: int, radius: int) -> Tensor:
    """Let every token see itself and `radius` neighbours on either side: shape (T, T), about T * (2 radius + 1) cells.

    >>> local_window_mask(4, 1).int().tolist()
    [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    """
    position = torch.arange(n_tokens)
    return (position[:, None] - position[None, :]).abs() <= radius


# --- the definition ---------------------------------------------------------------------------------------------


def masked_softmax(logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax over the last dimension among the cells where `mask` is True; a row without any becomes all zero.

    >>> masked_softmax(torch.tensor([[0.0, 0.0, 9.0], [5.0, 5.0, 5.0]]),
    ...                torch.tensor([[True, True, False], [False, False, False]])).tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """
    if mask is None:
        return logits.softmax(-1)
    logits = logits.masked_fill(~mask, -math.inf)
    # A row of nothing but -inf has no maximum to subtract; 0 keeps exp(-inf - 0) = 0 instead of NaN.
    peak = logits.amax(-1, keepdim=True).clamp_min(torch.finfo(logits.dtype).min)
    unnormalised = (logits - peak).exp()
    return unnormalised / unnormalised.sum(-1, keepdim=True).clamp_min(torch.finfo(logits.dtype).tiny)


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, scale: float | None = None
) -> Attended:
    """Mix the values by how well their keys match each query (Vaswani et al. 2017, equation 1).

    query (..., Tq, D), key (..., Tk, D), value (..., Tk, Dv), mask broadcastable to (..., Tq, Tk).
    `scale` defaults to 1 / sqrt(D), which keeps the variance of a logit at 1 when the entries have variance 1.

    The query below matches the first key with logit ln 3 and the second with 0, so the weights are 3/4 and 1/4:

    >>> q = torch.tensor([[math.log(3.0)]])
    >>> k, v = torch.tensor([[1.0], [0.0]]), torch.tensor([[8.0], [4.0]])
    >>> values, weights = scaled_dot_product_attention(q, k, v)
    >>> round(weights[0, 0].item(), 4), round(values.item(), 4)
    (0.75, 7.0)
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    logits = query @ key.transpose(-2, -1) * scale  # (..., Tq, Tk)
    weights = masked_softmax(logits, mask)
    return Attended(weights @ value, weights)


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    """Cut the width into heads: (B, T, H * D) -> (B, H, T, D)."""
    batch, tokens, width = x.shape
    return x.view(batch, tokens, n_heads, width // n_heads).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Lay the heads side by side again: (B, H, T, D) -> (B, T, H * D)."""
    return x.transpose(1, 2).flatten(2)


class MultiHeadAttention(nn.Module):
    """Attention in `n_heads` subspaces at once, each with its own idea of what matches.

    Self-attention with one argument, cross-attention when `memory` gives the keys and values. With `rotary` the
    positions of queries and keys turn their vectors, which is meant for self-attention.
    """

    def __init__(self, width: int, n_heads: int, *, rotary: bool = False) -> None:
        super().__init__()
        if n_heads < 1 or width % n_heads:
            raise DomainError(f"A width of {width} cannot be cut into {n_heads} equal heads; choose a divisor.")
        self.n_heads = n_heads
        self.rotary = rotary
        self.to_query = nn.Linear(width, width)
        self.to_key = nn.Linear(width, width)
        self.to_value = nn.Linear(width, width)
        self.to_output = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        *,
        key_mask: Tensor | None = None,
        causal: bool = False,
    ) -> Attended:
        """Attend from `x` (B, Tq, W) over `memory` (B, Tk, W), or over `x` itself.

        `key_mask` (B, Tk) is True at real tokens. Gives values (B, Tq, W) and weights (B, H, Tq, Tk).
        """
        memory = x if memory is None else memory
        query = split_heads(self.to_query(x), self.n_heads)  # (B, H, Tq, D)
        key = split_heads(self.to_key(memory), self.n_heads)  # (B, H, Tk, D)
        value = split_heads(self.to_value(memory), self.n_heads)
        if self.rotary:
            query, key = rotate(query), rotate(key)
        mask = _combined_mask(x.shape[1], memory.shape[1], key_mask, causal)
        values, weights = scaled_dot_product_attention(query, key, value, mask)
        return Attended(self.to_output(merge_heads(values)), weights)


def _combined_mask(n_queries: int, n_keys: int, key_mask: Tensor | None, causal: bool) -> Tensor | None:
    mask = causal_mask(n_queries, n_keys) if causal else None
    if key_mask is None:
        return mask
    visible = key_mask[:, None, None, :]  # (B, 1, 1, Tk): the same for every head and query
    return visible if mask is None else visible & mask.to(visible.device)


# --- positions --------------------------------------------------------------------------------------------------


def sinusoidal_positions(n_tokens: int, width: int) -> Tensor:
    """Position vectors whose inner product depends on distance alone: shape (T, width), sines and cosines in turn.

    Column 2i is sin(t / 10000^(2i / width)), column 2i + 1 the cosine (Vaswani et al. 2017, section 3.5).

    >>> sinusoidal_positions(2, 2)   # sin 0, cos 0; sin 1, cos 1
    tensor([[0.0000, 1.0000],
            [0.8415, 0.5403]])
    """
    angles = _angles(n_tokens, width)  # (T, width / 2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


def rotate(x: Tensor, start: int = 0) -> Tensor:
    """Turn each pair of neighbouring columns by an angle that grows with the position (RoPE, Su et al. 2021).

    x (..., T, D) with D even; the first token stands at position `start`. Lengths do not change, and the inner
    product of a query at m with a key at n depends on n - m alone. Position 1 turns the first pair by one radian:

    >>> rotate(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))   # cos 1, sin 1
    tensor([[1.0000, 0.0000],
            [0.5403, 0.8415]])
    """
    angles = _angles(x.shape[-2], x.shape[-1], start)  # (T, D / 2)
    cos, sin = angles.cos().to(x), angles.sin().to(x)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def _angles(n_tokens: int, width: int, start: int = 0) -> Tensor:
    if width % 2:
        raise DomainError(f"Positions are written in pairs of columns, but the width is {width}; make it even.")
    frequencies = 10000.0 ** (-torch.arange(0, width, 2) / width)
    return torch.arange(start, start + n_tokens)[:, None] * frequencies


# --- the same values with less memory ---------------------------------------------------------------------------


def streaming_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    block_size: int = 128,
    scale: float | None = None,
) -> Tensor:
    """Give the values of `scaled_dot_product_attention` while holding one block of keys at a time.

    The online softmax (Milakov & Gimelshein 2018; FlashAttention, Dao et al. 2022): keep for every query the largest
    logit so far and the sum of exp(logit - largest). When a block brings a larger one, what was summed before
    shrinks by exp(old - new). Memory is O(Tq * block_size), whatever Tk is.
    """
    if block_size < 1:
        raise DomainError(f"block_size is {block_size}; at least one key must be looked at in a step.")
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    batch = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2])  # type: ignore[no-untyped-call]
    shape = (*batch, query.shape[-2])
    peak = query.new_full((*shape, 1), torch.finfo(query.dtype).min)  # running maximum, (..., Tq, 1)
    total = query.new_zeros((*shape, 1))  # running normaliser
    mixed = query.new_zeros((*shape, value.shape[-1]))  # running sum of weighted values, (..., Tq, Dv)
    for start in range(0, key.shape[-2], block_size):
        block = slice(start, start + block_size)
        logits = query @ key[..., block, :].transpose(-2, -1) * scale  # (..., Tq, block)
        if mask is not None:
            logits = logits.masked_fill(~mask.expand(*mask.shape[:-1], key.shape[-2])[..., block], -math.inf)
        new_peak = torch.maximum(peak, logits.amax(-1, keepdim=True))
        shrink, weights = (peak - new_peak).exp(), (logits - new_peak).exp()
        total = total * shrink + weights.sum(-1, keepdim=True)
        mixed = mixed * shrink + weights @ value[..., block, :]
        peak = new_peak
    return mixed / total.clamp_min(torch.finfo(query.dtype).tiny)


# --- other values for less work ---------------------------------------------------------------------------------


def top_k_attention(query: Tensor, key: Tensor, value: Tensor, k: int, mask: Tensor | None = None) -> Attended:
    """Attend to the `k` best keys of each query alone; the others get weight 0. Ties go to the earlier key.

    With k >= Tk this is `scaled_dot_product_attention`; with k = 1 it copies the value of the best key.
    """
    if k < 1:
        raise DomainError(f"k is {k}; at least one key must stay visible.")
    logits = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5  # (..., Tq, Tk)
    if mask is not None:
        logits = logits.masked_fill(~mask, -math.inf)
    ranked = logits.sort(dim=-1, descending=True, stable=True).indices[..., :k]
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, ranked, True)
    weights = masked_softmax(logits, kept & logits.isfinite())
    return Attended(weights @ value, weights)


def linear_attention(
    query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None = None, *, causal: bool = False
) -> Tensor:
    """Attend in time linear in the length: the kernel elu(x) + 1 in place of exp (Katharopoulos et al. 2020).

    phi(Q) (phi(K)^T V) / phi(Q) sum(phi(K)): multiplying the right-hand pair first gives a D x Dv state that does not
    grow with the text. `key_mask` (..., Tk) is True at real tokens. An approximation of another function, not of the
    softmax: weights are smoother, so it is shown for its cost and not used for ranking.
    """
    phi_query = nn.functional.elu(query) + 1
    phi_key = nn.functional.elu(key) + 1
    if key_mask is not None:
        phi_key = phi_key * key_mask[..., None]
    if causal:
        state = (phi_key[..., :, None] * value[..., None, :]).cumsum(-3)  # (..., T, D, Dv)
        mixed = (phi_query[..., None, :] @ state).squeeze(-2)
        total = (phi_query * phi_key.cumsum(-2)).sum(-1, keepdim=True)
    else:
        mixed = phi_query @ (phi_key.transpose(-2, -1) @ value)
        total = (phi_query * phi_key.sum(-2, keepdim=True)).sum(-1, keepdim=True)
    return mixed / total.clamp_min(torch.finfo(query.dtype).tiny)
