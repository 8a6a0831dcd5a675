"""What a pass of the reranker looked at and what its scores are made of, for people.

In each head a token of the question has one unit of attention, for all tokens of the search; what is left went nowhere:

    meaning      softmax of similarity over all tokens and a null key
    same token   equal shares to the tokens that are the same entry of the vocabulary
    network      where a network judges: what each token of a chunk added to the log-odds of its sentence
                 (`interaction.attribute`, only what raised them), divided among the question's tokens as it looked

The last counts in log-odds. A question token through which the network raised scores by more than one in all has its
shares divided by that sum; one through which it raised less keeps what is there, so that little stays little.

Parts say what the log-odds of a sentence add up from: the summands of the linear form, the network's, the bias.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from attention_core.batching import Layout
from attention_core.codec import TokenBatch
from attention_core.evidence import Evidence, Forms
from attention_core.interaction import Attribution
from attention_core.pooling import Values, segment_softmax
from domain.search import AttentionWeights, FloatArray, TokenVectors

Parts: TypeAlias = dict[str, float]

HEADS = ("meaning", "same token")
NETWORK_HEAD = "network"

# For showing weights: exp(30 * cosine) halves every 0.023; the null key takes over where nothing is closer than 0.35.
_SHARPNESS, _NULL_SIMILARITY = 30.0, 0.35


def attention_weights(
    similarity: FloatArray, batch: TokenBatch, tokens: TokenVectors, network: Attribution | None
) -> list[AttentionWeights]:
    """The weights of all heads, cut by chunk: (H, Tq, Td) each, H = 3 with a network's attribution, else 2.

    similarity: (N, Tq) of the stored tokens in `batch` with those of the question, `tokens`.
    """
    meaning = segment_softmax(_SHARPNESS * similarity, null=_SHARPNESS * _NULL_SIMILARITY)  # (N, Tq)
    same = _shares((batch.ids[:, None] == tokens.ids[None, :]).astype(np.float32))
    heads = [meaning, same] if network is None else [meaning, same, _raised(network)]
    stacked = np.stack(heads).transpose(0, 2, 1)  # (H, Tq, N)
    cuts = np.cumsum(batch.counts)[:-1]
    parts = zip(np.split(stacked, cuts, axis=2), np.split(batch.offsets, cuts), strict=True)
    return [AttentionWeights(np.ascontiguousarray(part), tokens.offsets, offsets) for part, offsets in parts]


def sentence_parts(
    evidence: Evidence, dense: Values, lexical: Values, added: Values | None, layout: Layout, forms: Forms
) -> list[Parts]:
    """By sentence, the summands of its log-odds: `evidence.sentence_logits`, and what a network `added` (S,) to them.

    "sentence", "window" and "chunk" are the evidence at these grains; "dense" and "lexical" belong to the chunk, the
    first with the value that stands in where no dense score is known. "network" is 0.0 where none judged.
    """
    chunk, count = layout.sentence_chunk, layout.n_sentences
    own, around, whole, meaning, words = forms.sentence
    columns = {
        "sentence": own * evidence.sentence,
        "window": around * evidence.window,
        "chunk": (whole * evidence.chunk)[chunk],
        "dense": (meaning * dense)[chunk],
        "lexical": (words * lexical)[chunk],
        "network": np.zeros(count) if added is None else added,
        "bias": np.full(count, forms.sentence_bias),
    }
    rows = np.stack([column.astype(np.float64) for column in columns.values()], axis=1).tolist()
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _raised(network: Attribution) -> FloatArray:
    """By token and token of the question, what raised the log-odds of sentences, as shares (N, Tq)."""
    raised = np.maximum(network.tokens, 0.0)[:, None] * network.looks
    return _shares(raised.astype(np.float32))


def _shares(amounts: FloatArray) -> FloatArray:
    """Amounts (N, Tq), 0 or more, divided by the sum of their column where that is more than 1."""
    shares: FloatArray = amounts / np.maximum(amounts.sum(axis=0), 1.0)
    return shares
