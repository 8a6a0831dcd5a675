"""How well chunks and sentences answer, from one table of similarities.

Every question token looks for its best match (Khattab & Zaharia 2020, "ColBERT": the sum of maxima), which is
attention with its temperature at zero. The maximum is taken at four grains, on the way from tokens up:

    sentence   inside the sentence
    window     inside the sentence or the one before or after it: a name is given, then "it" says what happened
    chunk      inside the chunk, or in the title and headings above it
    best       the best sentence of the chunk

and the question's weights sum what was found. Scores are linear forms (`Forms`) of the four, of the lexical
score and of the dense score. The last knows what the tokens of a chunk do not: the title and headings that the encoder
read before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from attention_core.batching import Layout
from attention_core.pooling import Values, neighbour_max, segment_max
from domain.search import FloatArray

# What the dense evidence is on average for a chunk of this evidence, where no dense score is known.
_DENSE_INTERCEPT, _DENSE_SLOPE = -0.28, 1.12


def _array(*values: float) -> FloatArray:
    return np.array(values, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Forms:
    """Log-odds per unit of evidence.

    sentence: (5,) of the sentence, its window, its chunk, the chunk's dense and lexical score. chunk: (4,) of the
    chunk, its best sentence, dense and lexical score. The biases make the sums log-odds.

    The defaults are untrained: their proportions come from a listwise logistic loss over 750 questions on the first
    half of the documents of five sets, English and Chinese, rounded; the biases from a logistic fit with as many
    questions that nothing answers, then 3.6 is added: among 50 chunks one sentence in some 300 carries the answer,
    and the raw chance of a good one would look small.
    """

    sentence: FloatArray = field(default_factory=lambda: _array(9.0, 5.0, 3.5, 4.0, 3.0))
    chunk: FloatArray = field(default_factory=lambda: _array(8.0, 8.0, 6.0, 4.5))
    sentence_bias: float = -14.3
    chunk_bias: float = -13.6


@dataclass(frozen=True, slots=True)
class Evidence:
    """Weighted sums of best matches, each in -1..1: `sentence` and `window` (S,), `chunk` and `best` (C,)."""

    sentence: Values
    window: Values
    chunk: Values
    best: Values


def gather(sentence_matches: Values, lead_matches: Values, weights: Values, layout: Layout) -> Evidence:
    """Evidence at every grain from `sentence_matches` (S, Tq): each sentence's best match for each question token.

    `lead_matches` (C, Tq) are those of the title and headings above a chunk; they count for the chunk as a whole.
    """
    window_matches = np.maximum(sentence_matches, neighbour_max(sentence_matches, layout.sentence_chunk))
    chunk_matches = segment_max(sentence_matches, layout.sentence_chunk, layout.n_chunks, empty=0.0)  # (C, Tq)
    chunk_matches = np.maximum(chunk_matches, lead_matches)
    sentence = sentence_matches @ weights
    best = segment_max(sentence, layout.sentence_chunk, layout.n_chunks, empty=0.0)
    return Evidence(sentence, window_matches @ weights, chunk_matches @ weights, best)


def dense_evidence(scores: Sequence[float | None], chunk: Values, floor: float | None) -> Values:
    """Dense scores (C,) on a scale where 0 is `floor`, the cosine of unrelated texts, and 1 a cosine of 1.

    Encoders differ in that floor; where it or a score is unknown, the expected value given `chunk` (C,) stands in.
    """
    expected = _DENSE_INTERCEPT + _DENSE_SLOPE * chunk
    if floor is None:
        return expected
    known = np.array([score is not None for score in scores], dtype=bool)
    scaled = (np.array([score or 0.0 for score in scores], dtype=np.float32) - floor) / (1 - floor)
    return np.where(known, scaled, expected)


def sentence_logits(evidence: Evidence, dense: Values, lexical: Values, layout: Layout, forms: Forms) -> Values:
    """Log-odds (S,) that a sentence supports the question; `dense` and `lexical` (C,) belong to its chunk."""
    own, around, whole, meaning, words = forms.sentence
    chunk_part = whole * evidence.chunk + meaning * dense + words * lexical  # (C,)
    own_part = own * evidence.sentence + around * evidence.window
    logits: Values = own_part + chunk_part[layout.sentence_chunk] + forms.sentence_bias
    return logits


def chunk_logits(evidence: Evidence, dense: Values, lexical: Values, forms: Forms) -> Values:
    """Log-odds (C,) that a chunk supports the question."""
    whole, best, meaning, words = forms.chunk
    attention = whole * evidence.chunk + best * evidence.best
    logits: Values = attention + meaning * dense + words * lexical + forms.chunk_bias
    return logits


def probability(logits: Values) -> Values:
    """The logistic function, 1 / (1 + exp(-x)).

    >>> probability(np.array([0.0, np.log(3.0)])).tolist()
    [0.5, 0.75]
    """
    chances: Values = 1 / (1 + np.exp(-np.clip(logits, -60.0, 60.0)))
    return chances
