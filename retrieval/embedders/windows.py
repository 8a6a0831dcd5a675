"""From a passage to the token windows that the encoder reads, and back to one row a token.

    [begin]  prompt  lead  text  [end]          one window, where everything fits
    [begin]  prompt  text: tokens 0..n  [end]   the text alone is too long: windows side by side,
    [begin]  prompt  text: tokens m..z  [end]   each starting a little before the last one ended

The prompt ("passage: "), the lead and the text are tokenised as one string, as sentence-transformers would, so that
the vectors are those of the reference. A lead that leaves too little room is cut at its end. Where the text is longer
than one window, the lead is left out and the next window repeats up to 64 tokens as context; a repeated token
keeps the vector of the window that saw it first, so every token has exactly one vector.

A token belongs to the text when it covers at least one visible character of it. A token that begins before the text
(a piece such as " Fovea" holds the space in front) is clipped to the text; one that covers only white space is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain.documents import Passage
from domain.errors import ConfigurationError
from domain.search import IntArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_OVERLAP = 64  # tokens a later window repeats, so that its first new token is not read without its sentence


@dataclass(frozen=True, slots=True)
class Window:
    """What one row of a batch reads. `ids`: shape (T,). `take`: the positions in it whose vectors are kept.

    `weight` is the number of text tokens that this window is the first to see, at least 1.
    """

    ids: NDArray[np.int64]
    take: NDArray[np.intp]
    weight: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A passage's windows, and the ids and offsets of the tokens which their `take` lists pick, in order."""

    windows: tuple[Window, ...]
    ids: IntArray
    offsets: IntArray


class WindowPlanner:
    """Tokenises passages and lays their tokens out in windows of at most `max_length` tokens."""

    def __init__(self, tokenizer: Tokenizer, max_length: int) -> None:
        self._tokenizer = tokenizer
        self._begin, self._end = _special_tokens(tokenizer)
        self._room = max_length - len(self._begin) - len(self._end)

    def plan(self, passages: Sequence[Passage], prompt: str) -> list[Plan]:
        """One plan a passage, in order."""
        heads = [prompt + (passage.lead + "\n" if passage.lead else "") for passage in passages]
        texts = [head + passage.text for head, passage in zip(heads, passages, strict=True)]
        encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return [
            self._lay_out(encoding, text, len(prompt), len(head))
            for encoding, text, head in zip(encodings, texts, heads, strict=True)
        ]

    def _lay_out(self, encoding: Any, text: str, lead_at: int, text_at: int) -> Plan:
        ids = np.array(encoding.ids, dtype=np.int64)
        offsets = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
        first = int(np.argmax(offsets[:, 1] > text_at)) if (offsets[:, 1] > text_at).any() else len(ids)
        lead = int((offsets[:first, 1] <= lead_at).sum())  # the prompt's tokens come first
        spans = _visible_spans(text, offsets[first:], text_at)
        kept = spans[:, 0] < spans[:, 1]
        windows = self._windows(ids[:lead], ids[lead:first], ids[first:], kept)
        return Plan(windows, ids[first:][kept].astype(np.int32), spans[kept] - np.int32(text_at))

    def _windows(
        self, prompt: NDArray[np.int64], lead: NDArray[np.int64], text: NDArray[np.int64], kept: NDArray[np.bool_]
    ) -> tuple[Window, ...]:
        room = self._room - len(prompt)
        if room < 1:
            raise ConfigurationError(
                f"The encoder's prompt takes {len(prompt)} of the {self._room} tokens it reads at once; shorten it."
            )
        if len(text) <= room:
            head = np.concatenate([prompt, lead[: room - len(text)]])
            return (self._window(head, text, kept),)
        windows, done = [], 0
        while done < len(text):
            start = max(0, min(done - min(_OVERLAP, room // 2), len(text) - room))
            fresh = kept[start : start + room].copy()
            fresh[: done - start] = False
            windows.append(self._window(prompt, text[start : start + room], fresh))
            done = start + room
        return tuple(windows)

    def _window(self, head: NDArray[np.int64], text: NDArray[np.int64], keep: NDArray[np.bool_]) -> Window:
        take = np.flatnonzero(keep) + len(self._begin) + len(head)
        return Window(np.concatenate([self._begin, head, text, self._end]), take, max(1, len(take)))


def _visible_spans(text: str, offsets: IntArray, text_at: int) -> IntArray:
    """Clip token offsets to the text and trim white space off both ends; an empty row is a token without one."""
    spans = np.maximum(offsets, text_at)
    for row in spans:
        start, end = int(row[0]), int(row[1])
        piece = text[start:end]
        row[0] = start + len(piece) - len(piece.lstrip())
        row[1] = max(int(row[0]), end - (len(piece) - len(piece.rstrip())))
    return spans


def _special_tokens(tokenizer: Tokenizer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ids that the model expects before and after every text."""
    encoding = tokenizer.encode("a")
    mask = np.array(encoding.special_tokens_mask, dtype=bool)
    ids = np.array(encoding.ids, dtype=np.int64)
    content = np.flatnonzero(~mask)
    return ids[: content[0]], ids[content[-1] + 1 :]
