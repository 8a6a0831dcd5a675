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
from numpy.typing import NDArray

from attention_core.batching import Layout
from attention_core.evidence import Evidence
from attention_core.pooling import Values, segment_max, segment_sum
from domain.search import FloatArray

WIDTH = 5  # tokens that the convolution sees
SCALE = 8.0  # products of unit vectors' entries are small; this brings them to the size of the others
MEAN_TOKENS = 20.0
_LEAST = 1e-6  # of a question token's weight, for its logarithm
_TIE = 1e-5  # a matrix kernel's last bits depend on where a row stands; equal tokens must tie all the same


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


@dataclass(frozen=True, slots=True)
class Read:
    """What the network reads of one search.

    tokens: (N, d) unit rows. similarity: (N, Tq) with question (Tq, d), whose token weights (Tq,) sum to 1.
    numbers: (S, 8), see `sentence_numbers`.
    """

    tokens: Values
    similarity: Values
    question: Values
    weights: Values
    numbers: Values
    layout: Layout


def interact(read: Read, network: InteractionWeights) -> tuple[Values, Values]:
    """What the network adds to the log-odds of sentences (S,) and of chunks (C,)."""
    layout = read.layout
    states = _states(read, _looks(read, network), network)
    added = np.maximum(_before(*_pooled(states, layout), read.numbers, network), 0.0) @ network.out
    return added, network.chunk * segment_max(added, layout.sentence_chunk, layout.n_chunks, empty=0.0)


@dataclass(frozen=True, slots=True)
class Attribution:
    """What the log-odds that the network added to a sentence come from.

    tokens: (N,), from each token, of either sign. rest: (S,), from the numbers of the sentence and the biases. The
    tokens of a sentence and its rest add up to what `interact` gives. looks: (N, Tq), the share of its look that each
    token gave to each token of the question; rows sum to 1.
    """

    tokens: Values
    rest: Values
    looks: Values


def attribute(read: Read, network: InteractionWeights) -> Attribution:
    """Divide what `interact` adds to each sentence among its tokens. Nothing is approximated.

    Over the token states x (T, h) of a sentence the network is piecewise linear, and at the point where it stands the
    piece is known. With M_k = max_t x_tk, m_k = mean_t x_tk, numbers n and z = A'M + B'm + C'n + b,

        added = sum over j with z_j > 0 of o_j z_j = sum_k u_k M_k + sum_k v_k m_k + r
        u = A s,  v = B s,  r = (C'n + b) s,  s_j = o_j where z_j > 0, else 0

    M_k belongs to the tokens that reach it, m_k to every token for its part:

        c_t = sum_k u_k M_k [t reaches M_k] / (tokens that reach M_k) + sum_k v_k x_tk / T
        sum_t c_t + r = added

    States are sums of rectified terms, so none is negative and a unit that no token switched on gives nothing. A state
    is that of a token among its neighbours: the convolution has already seen two to each side.
    """
    layout, looks = read.layout, _looks(read, network)
    states = _states(read, looks, network).astype(np.float64)
    largest, mean = _pooled(states, layout)
    on = _before(largest, mean, read.numbers, network) > 0  # (S, p)
    slopes = np.where(on, network.out.astype(np.float64), 0.0)  # s
    hidden = states.shape[1]
    of_max, of_mean, of_numbers = np.split(slopes @ network.pooled.T, (hidden, 2 * hidden), axis=1)  # u, v, C s
    sentence = layout.token_sentence
    by_max = _won(states, largest, layout) * (of_max * largest)[sentence]
    by_mean = states * (of_mean / _sizes(layout))[sentence]
    rest = (of_numbers * read.numbers).sum(axis=1) + slopes @ network.pooled_bias
    return Attribution((by_max + by_mean).sum(axis=1), rest, looks)


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


def _looks(read: Read, network: InteractionWeights) -> Values:
    """How each token of the chunks divides its look among the question's tokens (N, Tq)."""
    looks: Values = network.beta * read.similarity + np.log(np.maximum(read.weights, _LEAST))
    looks = np.exp(looks - looks.max(axis=1, keepdims=True))
    looks /= looks.sum(axis=1, keepdims=True)
    return looks


def _states(read: Read, looks: Values, network: InteractionWeights) -> Values:
    """What the network knows of each token before it pools them, (N, h); nothing is negative."""
    tokens, question = read.tokens, read.question
    hidden = tokens @ network.key
    hidden += looks @ (question @ network.message)
    hidden += (tokens * (looks @ question)) @ (SCALE * network.product)
    hidden += read.similarity.max(axis=1)[:, None] * network.numbers[0]
    hidden += (looks @ read.weights)[:, None] * (SCALE * network.numbers[1])
    hidden = np.maximum(hidden + network.first_bias, 0.0)
    hidden += np.maximum(_around(hidden, read.layout, network), 0.0)
    hidden += np.maximum(hidden @ network.middle + network.middle_bias, 0.0)
    return hidden


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


def _pooled(states: Values, layout: Layout) -> tuple[Values, Values]:
    """The largest and the mean of the states (N, h) of each sentence's tokens, (S, h) each; 0 where it has none."""
    largest = segment_max(states, layout.token_sentence, layout.n_sentences, empty=0.0)
    total = segment_sum(states, layout.token_sentence, layout.n_sentences)
    return largest, total / _sizes(layout).astype(states.dtype)


def _before(largest: Values, mean: Values, numbers: Values, network: InteractionWeights) -> Values:
    """The pooled units (S, p) before they are rectified."""
    before: Values = np.concatenate((largest, mean, numbers), axis=1) @ network.pooled + network.pooled_bias
    return before


def _sizes(layout: Layout) -> NDArray[np.int64]:
    """The tokens of each sentence (S, 1), at least 1 so that it can be divided by."""
    sizes = np.bincount(layout.token_sentence, minlength=layout.n_sentences)[:, None]
    return np.maximum(sizes, 1)


def _won(states: Values, largest: Values, layout: Layout) -> Values:
    """The part (N, h) that each token has in each maximum of its sentence: 1 where it reaches it alone."""
    reached = (states >= (1 - _TIE) * largest[layout.token_sentence]).astype(states.dtype)
    winners = segment_sum(reached, layout.token_sentence, layout.n_sentences)
    won: Values = reached / winners[layout.token_sentence]
    return won
