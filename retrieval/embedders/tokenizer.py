"""Tokenizers of encoders, without the model: loading them and counting with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def load_tokenizer(tokenizer_json: Path) -> Tokenizer:
    """Read a `tokenizer.json`, with truncation and padding switched off whatever the file says.

    The published all-MiniLM-L6-v2 cuts and pads to 128 tokens: every longer text would count 128.
    Raises ConfigurationError when the file is missing or malformed.
    """
    from tokenizers import Tokenizer  # costs 50 ms of the command line's start

    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_json))
    except Exception as error:  # the library raises bare Exception
        raise ConfigurationError(f"The tokenizer {tokenizer_json} cannot be read: {error}.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+|[^\w\s]")
_WORD_LETTERS = 6


class EncoderTokenCounter:
    """Counts tokens as the encoder of `tokenizer_json` does, special tokens not included.

    A text counts what it costs standing alone. Safe to share between threads.
    """

    def __init__(self, tokenizer_json: Path, name: str | None = None) -> None:
        self._tokenizer = load_tokenizer(tokenizer_json)
        self.name = name or tokenizer_json.parent.name

    @classmethod
    def of(cls, tokenizer: Tokenizer, name: str) -> EncoderTokenCounter:
        """A counter over a tokenizer that is loaded already."""
        counter = cls.__new__(cls)
        counter._tokenizer, counter.name = tokenizer, name
        return counter

    def count(self, text: str) -> int:
        """The number of tokens; 0 for an empty text."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def count_batch(self, texts: Sequence[str]) -> list[int]:
        """`count` of each text, using all cores."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in encodings]


class WordTokenCounter:
    """Counts words, numbers, signs and Chinese characters: for encoders whose own tokenizer is out of reach.

    A long word counts once for every six letters, so that the count stays near that of subword tokenizers.
    """

    name = "words"

    def count(self, text: str) -> int:
        """The number of tokens; 0 for a blank text."""
        return sum(1 + (len(word) - 1) // _WORD_LETTERS for word in _WORD.findall(text))

    def count_batch(self, texts: Sequence[str]) -> list[int]:
        """`count` of each text."""
        return [self.count(text) for text in texts]
