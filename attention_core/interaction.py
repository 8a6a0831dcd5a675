"""What repeats the question is not what answers it: a small network that reads each chunk token beside the question.

The maxima of `evidence.py` find the words of the question. "When was it founded?" is answered by a number behind
"founded", which no word of the question resembles. So every token t of a chunk looks at the question (cross-attention
in the other direction), and a network of some thirty thousand weights judges token and message together:

    a_t = softmax over question tokens of (beta * similarity + log weight)      who speaks to me
    m_t = sum of a_ti * q_i                                                     the message
    x_t = relu(W_in [k_t, m_t, 8 k_t * m_t, largest similarity, 8 sum a_ti w_i])
    x_t = x_t + relu(convolution over five tokens of the chunk)                 the words around decide with it
    x_t = x_t + relu(W_mid x_t)
    sentence: [max x_t, mean x_t, eight numbers] -> relu(W) -> one log-odds, added to the linear form's

Every product with the question's side is folded into it first (m_t W = a_t (Q W)), so a chunk token costs two products
of width 128 and a convolution: 50 chunks of 200 tokens take some 20 ms on one core. Stored vectors are all it needs;
nothing is computed at ingest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from attention_core.batching import Layout
from attention_core.evidence import Evidence
from attention_core.pooling import Values, segment_max, segment_sum
from domain.search import FloatArray

WIDTH = 5  # tokens that the convolution sees
SCALE = 8.0  # products of unit vectors' entries are small; this brings them to the size of the others
MEAN_TOKENS = 20.0
_LEAST = 1e-6  # of a question token's weight, for its logarithm


@dataclass(frozen=True, slots=True)
class InteractionWeights:
    """For tokens of width d and h hidden units; matrices map rows from the right.

    beta: (1,). key, message, product: (d, h). numbers: (2, h). first_bias: (h,). around: (WIDTH, h, h) with
    around_bias (h,). middle: (h, h) with middle_bias (h,). pooled: (2 h + 8, p) with pooled_bias (p,). out: (p,).
    chunk: (1,), what the best sentence's share adds to its chunk.
    """

    beta: FloatArray
    key: FloatArray
    message: FloatArray
    product: FloatArray
    numbers: FloatArray
    first_bias: FloatArray
    around: FloatArray
    around_bias: FloatArray
    middle: FloatArray
    middle_bias: FloatArray
    pooled: FloatArray
    pooled_bias: FloatArray
    out: FloatArray
    chunk: FloatArray

    def tensors(self) -> dict[str, FloatArray]:
        """By name, for storing."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @classmethod
    def of(cls, tensors: Mapping[str, FloatArray]) -> InteractionWeights:
        """From what `tensors` gave. Raises KeyError for a missing one."""
        return cls(**{item.name: tensors[item.name] for item in fields(cls)})


def interact(
    tokens: Values,
    similarity: Values,
    question: Values,
    weights: Values,
    numbers: Values,
    layout: Layout,
    network: InteractionWeights,
) -> tuple[Values, Values]:
    """What the network adds to the log-odds of sentences (S,) and of chunks (C,).

    tokens: (N, d) unit rows. similarity: (N, Tq) with question (Tq, d), whose token weights (Tq,) sum to 1.
    numbers: (S, 8), see `sentence_numbers`.
    """
    looks = network.beta * similarity + np.log(np.maximum(weights, _LEAST))
    looks = np.exp(looks - looks.max(axis=1, keepdims=True))
    looks /= looks.sum(axis=1, keepdims=True)  # (N, Tq)
    hidden = tokens @ network.key
    hidden += looks @ (question @ network.message)
    hidden += (tokens * (looks @ question)) @ (SCALE * network.product)
    hidden += similarity.max(axis=1)[:, None] * network.numbers[0]
    hidden += (looks @ weights)[:, None] * (SCALE * network.numbers[1])
    hidden = np.maximum(hidden + network.first_bias, 0.0)
    hidden += np.maximum(_around(hidden, layout, network), 0.0)
    hidden += np.maximum(hidden @ network.middle + network.middle_bias, 0.0)
    added = _judged(hidden, numbers, layout, network)
    return added, network.chunk * segment_max(added, layout.sentence_chunk, layout.n_chunks, empty=0.0)


def sentence_numbers(evidence: Evidence, dense: Values, lexical: Values, layout: Layout, tokens: Values) -> Values:
    """What is known of each sentence besides its tokens, (S, 8).

    Evidence of sentence, window and chunk; how far the sentence lies behind the best of its chunk; the chunk's dense
    and lexical score; the logarithm of its length `tokens` (S,) over 20; its place in the chunk, 0 first to 1 last.
    """
    chunk = layout.sentence_chunk
    sizes = np.diff(layout.first_sentence)
    place = np.arange(layout.n_sentences) - layout.first_sentence[chunk]
    columns = (
        evidence.sentence,
        evidence.window,
        evidence.chunk[chunk],
        evidence.best[chunk] - evidence.sentence,
        dense[chunk],
        lexical[chunk],
        np.log(np.maximum(tokens, 1) / MEAN_TOKENS),
        place / np.maximum(sizes[chunk] - 1, 1),
    )
    return np.stack(columns, axis=1).astype(np.float32)


def _around(hidden: Values, layout: Layout, network: InteractionWeights) -> Values:
    """The convolution: token t sees t - 2 .. t + 2 of its own chunk, zeros beyond its ends; (N, h)."""
    reach = WIDTH // 2
    place = np.arange(len(hidden)) + reach * (1 + 2 * layout.token_chunk)  # a gap of zeros around every chunk
    padded = np.zeros((len(hidden) + 2 * reach * layout.n_chunks, hidden.shape[1]), dtype=hidden.dtype)
    padded[place] = hidden
    length = len(padded) - 2 * reach
    seen = padded[:length] @ network.around[0]
    for step in range(1, WIDTH):
        seen += padded[step : step + length] @ network.around[step]
    result: Values = seen[place - reach] + network.around_bias
    return result


def _judged(hidden: Values, numbers: Values, layout: Layout, network: InteractionWeights) -> Values:
    """From token states (N, h) to one number a sentence (S,)."""
    sentence, count = layout.token_sentence, layout.n_sentences
    largest = segment_max(hidden, sentence, count, empty=0.0)
    sizes = np.bincount(sentence, minlength=count)[:, None]
    mean = segment_sum(hidden, sentence, count) / np.maximum(sizes, 1).astype(hidden.dtype)
    joined = np.concatenate((largest, mean, numbers), axis=1) @ network.pooled + network.pooled_bias
    judged: Values = np.maximum(joined, 0.0) @ network.out
    return judged
