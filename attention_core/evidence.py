"""How well chunks and sentences answer, from one table of similarities.

Every question token looks for its best match (Khattab & Zaharia 2020, "ColBERT": the sum of maxima), which is
attention with its temperature at zero. The maximum is taken at four grains, on the way from tokens up:

    sentence   inside the sentence
    window     inside the sentence or the one before or after it: a name is given, then "it" says what happened
    chunk      inside the chunk, or in the title and headings above it
    best       the best sentence of the chunk

and the question's weights sum what was found. Scores are linear forms of the four, of the lexical score and of the
dense score. The last knows what the tokens of a chunk do not: the title and headings that the encoder read before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attention_core.batching import Layout
from attention_core.pooling import Values, neighbour_max, segment_max

# Constants of the linear forms, in log-odds per unit of evidence. The proportions come from a listwise logistic loss
# over 750 questions on the first half of the documents of five sets, English and Chinese, rounded; a sentence cosine
# and the sentence's length added nothing. The biases come from a logistic fit of the labels with as many questions
# that nothing answers (the forms came out as log-odds, slope 1), then 3.6 is added: among 50 chunks one sentence in
# some 300 carries the answer, and the raw chance of a good one would look small. `weights/README.md` has the
# measurements on the second halves.
_SENTENCE, _WINDOW, _CHUNK, _DENSE, _LEXICAL, _BIAS = 9.0, 5.0, 3.5, 4.0, 3.0, -14.3
_CHUNK_CHUNK, _CHUNK_BEST, _CHUNK_DENSE, _CHUNK_LEXICAL, _CHUNK_BIAS = 8.0, 8.0, 6.0, 4.5, -13.6

# What the dense evidence is on average for a chunk of this evidence, where no dense score is known.
_DENSE_INTERCEPT, _DENSE_SLOPE = -0.28, 1.12


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


def sentence_logits(evidence: Evidence, dense: Values, lexical: Values, layout: Layout) -> Values:
    """Log-odds (S,) that a sentence supports the question; `dense` and `lexical` (C,) belong to its chunk."""
    chunk_part = _CHUNK * evidence.chunk + _DENSE * dense + _LEXICAL * lexical  # (C,)
    own_part = _SENTENCE * evidence.sentence + _WINDOW * evidence.window
    logits: Values = own_part + chunk_part[layout.sentence_chunk] + _BIAS
    return logits


def chunk_logits(evidence: Evidence, dense: Values, lexical: Values) -> Values:
    """Log-odds (C,) that a chunk supports the question."""
    attention = _CHUNK_CHUNK * evidence.chunk + _CHUNK_BEST * evidence.best
    logits: Values = attention + _CHUNK_DENSE * dense + _CHUNK_LEXICAL * lexical + _CHUNK_BIAS
    return logits


def probability(logits: Values) -> Values:
    """The logistic function, 1 / (1 + exp(-x)).

    >>> probability(np.array([0.0, np.log(3.0)])).tolist()
    [0.5, 0.75]
    """
    chances: Values = 1 / (1 + np.exp(-np.clip(logits, -60.0, 60.0)))
    return chances
