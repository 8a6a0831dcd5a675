"""Chunks and a question of exact sizes, for timing: real texts and token ids, random vectors.

Chunks are shuffled sentences of the sample documents, cut to exactly so many tokens of the encoder's tokenizer and into
sentences of 25 of them; a last one may be shorter. The vectors are random unit vectors, packed by the product's own
codec: no step takes longer or shorter for what a vector says. The question has 16 tokens.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from attention_core.codec import QuantizedTokenCodec
from attention_core.projection import unit_rows
from domain.documents import Chunk, DocumentRef, Sentence, Span
from domain.search import Candidate, IntArray, Query, QueryTerm, StoredChunk, TokenVectors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SAMPLES = Path(__file__).parent.parent / "samples"
_SENTENCE_TOKENS, _QUESTION_TOKENS = 25, 16
_QUESTION = (
    "Which deposit does the tenant of the lighthouse pay to the trust before moving in, and when is it due back?"
)
_TERM_IDF, _DENSE, _LEXICAL = 4.0, 0.85, 6.0  # of an ordinary word and an ordinary candidate; no cost depends on them


class Texts:
    """Chunks of exactly so many tokens, made of shuffled sentences, and a question."""

    def __init__(self, tokenizer: Tokenizer, codec: QuantizedTokenCodec, width: int, seed: int = 0) -> None:
        """`width`: of the encoder's token vectors, before the codec projects them."""
        self._tokenizer, self._codec, self._width = tokenizer, codec, width
        self._random, self._numbers = random.Random(seed), np.random.default_rng(seed)
        samples = sorted(_SAMPLES.glob("*.[mt]*"))
        text = " ".join(path.read_text(encoding="utf-8") for path in samples if path.stem.isascii())
        self._sentences = [part for part in re.split(r"(?<=[.!?])\s+", text) if len(part) > 20]

    def candidate(self, number: int, tokens: int) -> Candidate:
        """Candidate `number` with `tokens` tokens."""
        text, offsets, ids = self._text(tokens)
        starts = list(range(0, tokens, _SENTENCE_TOKENS))
        ends = [*(int(offsets[at][0]) for at in starts[1:]), len(text)]
        spans = [Span(int(offsets[at][0]) if at else 0, end) for at, end in zip(starts, ends, strict=True)]
        sentences = tuple(Sentence(ordinal, span) for ordinal, span in enumerate(spans))
        chunk = Chunk(f"c{number}", number, "d", number, Span(0, len(text)), text, sentences, token_count=tokens)
        blob = self._codec.encode(self._vectors(ids, offsets))
        stored = StoredChunk(chunk, DocumentRef("d", "d", "The lease of the lighthouse"), blob)
        return Candidate(stored, {"dense": _DENSE, "lexical": _LEXICAL, "fused": 1 / (60 + number)})

    def question(self) -> Query:
        """A question of 16 tokens, each of its longer words a term of the lexical index."""
        encoded = self._tokenizer.encode(_QUESTION, add_special_tokens=False)
        offsets = np.array(encoded.offsets[:_QUESTION_TOKENS], dtype=np.int32)
        text = _QUESTION[: int(offsets[-1, 1])]
        words = [match for match in re.finditer(r"\w+", text) if len(match.group()) > 3]
        terms = tuple(QueryTerm(Span(*word.span()), word.group().lower(), _TERM_IDF) for word in words)
        tokens = self._vectors(encoded.ids[:_QUESTION_TOKENS], offsets)
        return Query(text, tokens.vectors.mean(axis=0), tokens, terms)

    def _text(self, tokens: int) -> tuple[str, IntArray, list[int]]:
        text, encoded = "", self._tokenizer.encode("", add_special_tokens=False)
        while len(encoded.ids) < tokens:
            text = " ".join([text, *self._random.sample(self._sentences, len(self._sentences) // 2)]).strip()
            encoded = self._tokenizer.encode(text, add_special_tokens=False)
        offsets = np.array(encoded.offsets[:tokens], dtype=np.int32)
        return text[: int(offsets[-1, 1])], offsets, encoded.ids[:tokens]

    def _vectors(self, ids: Sequence[int], offsets: IntArray) -> TokenVectors:
        rows = unit_rows(self._numbers.normal(size=(len(ids), self._width)))
        return TokenVectors(rows, np.array(ids, dtype=np.int32), offsets)
