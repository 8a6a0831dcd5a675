"""Counts that a language model's own count does not exceed, for models whose tokenizer is not at hand.

An encoder's tokenizer is no upper bound by itself. Against it, the tokenizers of eight families of language models
(GPT-4, GPT-4o, Qwen 2 and 3.6, DeepSeek, Mistral, Llama 2 and 3) made up to 1.6 times the tokens in English (Llama 2:
1.8), up to 2.7 times in Chinese, 3.2 times in strings of digits, which many of them read one by one, and without bound
where the encoder collapses what it does not know: runs of blanks, rare Han characters, emoji.

What does hold: a byte-level tokenizer never makes more tokens than there are bytes. Only for Latin letters is that too
far off to be useful (4 to 5 times), and there the encoder's count is a good guide. So letters are counted by the
encoder, times a measured factor, and every other character as its bytes.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from collections import deque
from collections.abc import Sequence

from context.budget import template_tokens
from domain.asking import Message
from domain.protocols import TokenCounter

log = logging.getLogger(__name__)

LETTERS_FACTOR = 1.5  # the worst of the eight made 1.33 times as many tokens of a text's words (Llama 2), others 1.14
_WORD = re.compile(r"[A-Za-z]{1,16}")  # cut: a WordPiece tokenizer takes a very long word for one unknown token
_LETTERS = re.compile(r" ?[A-Za-z]+")  # with the blank before a word, which is part of its first token everywhere
_CAPITALS = re.compile(r"(?<=[A-Za-z])[A-Z]")  # an uncased encoder does not see them; in capitals a word is 3 tokens
_FIRST_BLANK = 1  # some tokenizers put one before a text

_LARGEST_FACTOR = 2.0  # a server that reports more adds text of its own, which no factor on ours can foresee
_REMEMBERED = 200  # reports: an odd text is forgotten after as many others


class SafeBound:
    """An upper bound on the tokens of an unknown model, from an encoder's counter."""

    def __init__(self, counter: TokenCounter, letters_factor: float = LETTERS_FACTOR) -> None:
        self._counter, self._factor = counter, letters_factor

    @property
    def name(self) -> str:
        return f"{self._counter.name}, upper bound"

    def count(self, text: str) -> int:
        """At least as many tokens as a language model makes of the text; 0 for an empty one."""
        if not text:
            return 0
        letters = self._counter.count(" ".join(_WORD.findall(text)))
        rest = _LETTERS.sub("", text).encode("utf-8", "surrogatepass")
        capitals = len(_CAPITALS.findall(text))
        return _FIRST_BLANK + math.ceil(self._factor * letters) + capitals + len(rest)


class LearnedBound:
    """A bound corrected by the counts that the model reports: where one exceeds ours, later counts rise with it.

    `factor` is the largest correction among the latest reports, from 1 to 2. Safe to share between threads.
    """

    def __init__(self, bound: TokenCounter) -> None:
        self._bound = bound
        self._lock = threading.Lock()
        self._reports: deque[float] = deque(maxlen=_REMEMBERED)
        self.factor = 1.0

    @property
    def name(self) -> str:
        return self._bound.name

    def count(self, text: str) -> int:
        """The bound's count times the factor."""
        return math.ceil(self._bound.count(text) * self.factor)

    def observe(self, messages: Sequence[Message], reported: int) -> None:
        """Learn from the prompt tokens that the model reported for these messages."""
        counted = sum(self._bound.count(message.content) for message in messages)
        if counted <= 0 or reported <= 0:
            return
        with self._lock:
            self._reports.append((reported - template_tokens(messages)) / counted)
            before, self.factor = self.factor, min(_LARGEST_FACTOR, max(1.0, *self._reports))
        if self.factor > before:
            log.warning(
                "prompt_tokens_undercounted counter=%s counted=%d reported=%d factor=%.3f",
                self.name, counted + template_tokens(messages), reported, self.factor,
            )  # fmt: skip
