"""Which token belongs to which sentence and chunk: ragged candidates laid out flat.

Tokens know their place by characters, sentences by spans. Shifting each chunk's characters behind those of the chunk
before it makes one long line of text, on which a single binary search finds every token's sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attention_core.pooling import Segments
from domain.documents import Chunk
from domain.search import IntArray


@dataclass(frozen=True, slots=True)
class Layout:
    """Segment ids of N tokens, S sentences and C chunks that lie one after the other.

    token_sentence: (N,) the sentence of each token, counted over all chunks. token_chunk: (N,). sentence_chunk: (S,).
    first_sentence: (C + 1,), so that chunk c owns sentences first_sentence[c]:first_sentence[c + 1].
    """

    token_sentence: Segments
    token_chunk: Segments
    sentence_chunk: Segments
    first_sentence: NDArray[np.int64]

    @property
    def n_sentences(self) -> int:
        return len(self.sentence_chunk)

    @property
    def n_chunks(self) -> int:
        return len(self.first_sentence) - 1


def lay_out(chunks: Sequence[Chunk], counts: NDArray[np.int64], offsets: IntArray) -> Layout:
    """Assign tokens to sentences by their first character.

    counts: (C,) tokens of each chunk. offsets: (N, 2), characters from the start of each chunk's text. A token that
    starts in the blank between two sentences (some tokenizers count the blank to the word) belongs to the later one;
    one behind the last sentence to the last. Every chunk must have a sentence.
    """
    sizes = np.array([len(chunk.sentences) for chunk in chunks], dtype=np.int64)
    sentence_chunk = np.repeat(np.arange(len(chunks)), sizes)
    first_sentence = np.concatenate(([0], np.cumsum(sizes)))
    shifts = np.cumsum([0, *(len(chunk.text) + 1 for chunk in chunks)])[:-1]  # + 1 keeps empty tails apart
    ends = np.array(
        [
            sentence.span.end - chunk.span.start + shift
            for chunk, shift in zip(chunks, shifts, strict=True)
            for sentence in chunk.sentences
        ],
        dtype=np.int64,
    )
    token_chunk = np.repeat(np.arange(len(chunks)), counts)
    starts = offsets[:, 0] + shifts[token_chunk]
    found = np.searchsorted(ends, starts, side="right")
    token_sentence = np.minimum(found, first_sentence[token_chunk + 1] - 1)
    return Layout(token_sentence, token_chunk, sentence_chunk, first_sentence)


def rows_under_headers(chunks: Sequence[Chunk], layout: Layout) -> tuple[Segments, Segments]:
    """The rows of tables whose header row is a sentence of the same chunk: (rows, their headers), sentence ids (R,)."""
    rows: list[int] = []
    headers: list[int] = []
    for chunk, first in zip(chunks, layout.first_sentence.tolist(), strict=False):
        header = _header_place(chunk)
        if header is not None:
            own = [first + sentence.ordinal for sentence in chunk.sentences if sentence.is_row]
            rows += own
            headers += [first + header] * len(own)
    return np.array(rows, dtype=np.int64), np.array(headers, dtype=np.int64)


def _header_place(chunk: Chunk) -> int | None:
    """The place of the sentence that holds the header row; None where the header lies before the chunk or is none."""
    if chunk.header is None:
        return None
    holding = (at for at, sentence in enumerate(chunk.sentences) if sentence.span.contains(chunk.header))
    return next(holding, None)
