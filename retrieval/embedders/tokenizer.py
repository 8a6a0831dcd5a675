"""Tokenizers of encoders, without the model: loading them and counting with them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import islice
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

_LONGEST_WORD = 32  # characters of what is remembered; a clause of Chinese or a link comes once
_REMEMBERED = 100_000  # words, some 10 MB
# What a tokenizer that reads word by word must count alike in one text and word by word.
_PROBES = (
    "one two",
    " a  b \n\n c ",
    "\ta\t b",
    "a\u00a0b \u3000 c",
    "a \u200b b\u200b",
    "a \x01 b\x1cc",
    "\u00a8a \u0308b",
)


class EncoderTokenCounter:
    """Counts tokens as the encoder of `tokenizer_json` does, special tokens not included.

    A text counts what it costs standing alone. Safe to share between threads.

    Tokenizers of encoders read word by word: what a word makes does not depend on its neighbours, so a text costs the
    sum of its words (`reads_word_by_word`). Words come again and again, and remembering theirs counts a text ten times
    as fast. The byte-level tokenizers of language models are asked for the whole text.
    """

    def __init__(self, tokenizer_json: Path, name: str | None = None) -> None:
        self._prepare(load_tokenizer(tokenizer_json), name or tokenizer_json.parent.name)

    @classmethod
    def of(cls, tokenizer: Tokenizer, name: str) -> EncoderTokenCounter:
        """A counter over a tokenizer that is loaded already."""
        counter = cls.__new__(cls)
        counter._prepare(tokenizer, name)
        return counter

    def _prepare(self, tokenizer: Tokenizer, name: str) -> None:
        self._tokenizer, self.name = tokenizer, name
        self._word_by_word = reads_word_by_word(tokenizer)
        self._known: dict[str, int] = {}

    def count(self, text: str) -> int:
        """The number of tokens; 0 for an empty text."""
        return self._sum_of_words(text) if self._word_by_word else self._whole(text)

    def count_batch(self, texts: Sequence[str]) -> list[int]:
        """`count` of each text, using all cores."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def _whole(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def _sum_of_words(self, text: str) -> int:
        known = self._known
        total = 0
        new: dict[str, int] = {}  # how often
        for word in _words(text):
            size = known.get(word)
            if size is None:
                new[word] = new.get(word, 0) + 1
            else:
                total += size
        if not new:
            return total
        sizes = self.count_batch(list(new))
        if len(known) + len(new) > _REMEMBERED:
            known.clear()  # what another thread adds meanwhile is right, too
        pairs = islice(zip(new, sizes, strict=True), _REMEMBERED)
        known.update((word, size) for word, size in pairs if len(word) <= _LONGEST_WORD)
        return total + sum(size * times for size, times in zip(sizes, new.values(), strict=True))


def reads_word_by_word(tokenizer: Tokenizer) -> bool:
    """Whether a text has as many tokens as its words, for blanks and line ends as the borders of words.

    So it is with the pre-tokenizers of BERT and of SentencePiece with a blank put before every word, where no added
    token holds a blank. What comes before them, the normalizer, is asked for samples of what could join words or make
    tokens of blanks; one made to join certain words would pass.
    """
    if any(set(token.content) & {" ", "\n"} for token in tokenizer.get_added_tokens_decoder().values()):
        return False
    # Its pickled state is its part of a tokenizer.json; the whole of that would take a fifth of a second.
    first = json.loads(tokenizer.pre_tokenizer.__getstate__()) if tokenizer.pre_tokenizer else {}
    if first.get("type") == "Sequence":
        first = first["pretokenizers"][0]
    borders = first.get("type") in ("BertPreTokenizer", "WhitespaceSplit") or (
        first.get("type") == "Metaspace" and first.get("prepend_scheme") == "always" and first.get("split")
    )
    return bool(borders) and all(
        len(tokenizer.encode(text, add_special_tokens=False))
        == sum(len(tokenizer.encode(word, add_special_tokens=False)) for word in _words(text))
        for text in _PROBES
    )


def _words(text: str) -> list[str]:
    # Not `split()`: that also cuts at control characters, which normalizers remove.
    return [word for word in text.replace("\n", " ").split(" ") if word]


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
