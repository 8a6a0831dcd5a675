"""An encoder without a model, for tests and demonstrations: texts that share words are near, and nothing else is.

Every word has a fixed pseudo-random direction, drawn from the bytes of its hash. In Chinese and Japanese every
character has one, mixed from itself and from the pair it forms with the next character, so that shared words count
more than shared characters. A text's sentence vector is the weighted sum of its tokens' vectors. Words of up to three
letters weigh little: most of them are "the" and "is".

In 64 dimensions two strangers have a cosine of 0 +- 1/8, enough to tell documents of a test apart.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from domain.documents import Passage
from domain.search import Encoding, FloatArray, TokenVectors
from retrieval.embedders.tokenizer import WordTokenCounter

_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(f"[{_IDEOGRAPH}]|[^\\W_{_IDEOGRAPH}]+")
_IS_IDEOGRAPH = re.compile(f"[{_IDEOGRAPH}]")
_SHORT_WORD, _SHORT_WEIGHT = 3, 0.2


class HashingEncoder:
    """Implements `TokenEncoder` deterministically on every machine; a token is a word, or one Chinese character."""

    def __init__(self, dim: int = 64) -> None:
        self.dim = dim
        self.model_id = f"hashing/{dim}"
        self.counter = WordTokenCounter()

    def encode_documents(self, passages: Sequence[Passage]) -> list[Encoding]:
        """One Encoding a passage; the lead's words count in the sentence vector only."""
        return [self._encode(passage) for passage in passages]

    def encode_query(self, text: str) -> Encoding:
        return self._encode(Passage(text))

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Shape (N, D)."""
        return np.array([self.embed_query(text) for text in texts], dtype=np.float32).reshape(-1, self.dim)

    def embed_query(self, text: str) -> FloatArray:
        """Shape (D,)."""
        return self.encode_query(text).vector

    def _encode(self, passage: Passage) -> Encoding:
        tokens, weights = self._tokens(passage.text)
        lead, lead_weights = self._tokens(passage.lead)
        total = weights @ tokens.vectors + lead_weights @ lead.vectors
        if not total.any():  # a text without a word still needs a direction
            total = _direction("", self.dim)
        return Encoding(_unit(total), tokens)

    def _tokens(self, text: str) -> tuple[TokenVectors, FloatArray]:
        """The tokens of a text and their weights, shape (T,)."""
        matches = list(_TOKEN.finditer(text))
        vectors = np.zeros((len(matches), self.dim), dtype=np.float32)
        for row, match in enumerate(matches):
            vectors[row] = self._token_vector(text, match)
        ids = np.array([_hash(_fold(match.group())) for match in matches], dtype=np.int32)
        offsets = np.array([match.span() for match in matches], dtype=np.int32).reshape(-1, 2)
        weights = np.array([_weight(match.group()) for match in matches], dtype=np.float32)
        return TokenVectors(vectors, ids, offsets), weights

    def _token_vector(self, text: str, match: re.Match[str]) -> FloatArray:
        word = _fold(match.group())
        following = text[match.end() : match.end() + 1]
        if _IS_IDEOGRAPH.match(word) and _IS_IDEOGRAPH.match(following):
            return _unit(_direction(word, self.dim) + 2 * _direction(word + following, self.dim))
        return _direction(word, self.dim)


@lru_cache(maxsize=1 << 16)  # a text repeats its words
def _direction(word: str, dim: int) -> FloatArray:
    digest = hashlib.shake_256(word.encode()).digest(dim)
    direction = _unit(np.frombuffer(digest, dtype=np.uint8).astype(np.float32) - 127.5)
    direction.setflags(write=False)
    return direction


def _fold(word: str) -> str:
    return unicodedata.normalize("NFKC", word).casefold()


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest()) & 0x7FFF_FFFF


def _weight(word: str) -> float:
    return _SHORT_WEIGHT if len(word) <= _SHORT_WORD and not _IS_IDEOGRAPH.match(word) and word.isalpha() else 1.0


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)
