"""What a cross-encoder reads: a question and a chunk as one row of tokens.

    [begin] query: question [end] passage: title / heading, text [end]          at most 320 tokens

Both are read as the encoder reads them, prompts and title included. What is too long is cut: a question at 64 tokens,
the chunk where the row is full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attention_core.batching import lay_out
from attention_core.pooling import Segments
from domain.documents import Passage
from domain.search import StoredChunk
from retrieval.embedders.encoder import EncoderSpec
from retrieval.embedders.windows import Plan, WindowPlanner
from service.training.tokens import TokenRow

LIMIT = 320  # tokens of a row: a chunk aims at 200, a title and a question take some 30
_QUESTION = 64  # of these at most


@dataclass(frozen=True, slots=True)
class Pair:
    """A row. take: (K,) positions in `ids` (T,) of tokens that belong to sentences; sentence: (K,) which, ascending.

    sentences: how many the chunk has; one that was cut off owns no token.
    """

    ids: NDArray[np.int64]
    take: NDArray[np.intp]
    sentence: Segments
    sentences: int


def join(question: TokenRow, chunk: TokenRow, sentence: Segments, sentences: int) -> Pair:
    """The row of a question and a chunk; `sentence` (K,) names that of each token which the chunk takes."""
    asked = _cut(question.content, _QUESTION)
    text = _cut(chunk.content[1:], LIMIT - len(asked))  # one begin mark opens the row
    take = chunk.take - 1 + len(asked)
    kept = take < LIMIT - 1  # the end mark stands last
    return Pair(np.concatenate([asked, text]), take[kept], sentence[kept], sentences)


def _cut(ids: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most `most` ids, the end mark among them."""
    return ids if len(ids) <= most else np.concatenate([ids[: most - 1], ids[-1:]])


def planned(plan: Plan) -> TokenRow:
    """What the encoder reads of a text in its first window, which nearly always is the only one."""
    window = plan.windows[0]
    count = len(window.take)
    return TokenRow(window.take, plan.ids[:count], plan.offsets[:count], window.ids)


class PairReader:
    """Lays out a question with stored chunks."""

    def __init__(self, planner: WindowPlanner, spec: EncoderSpec) -> None:
        self._planner, self._spec = planner, spec

    def read(self, question: str, chunks: Sequence[StoredChunk]) -> list[Pair]:
        """One row a chunk, in order."""
        asked = planned(self._planner.plan([Passage(question)], self._spec.query_prompt)[0])
        passages = [one.chunk.passage(one.document.title) for one in chunks]
        plans = self._planner.plan(passages, self._spec.document_prompt)
        return [_pair(asked, planned(plan), one) for plan, one in zip(plans, chunks, strict=True)]


def _pair(asked: TokenRow, read: TokenRow, stored: StoredChunk) -> Pair:
    chunk = stored.chunk
    if not chunk.sentences:
        return join(asked, read, np.zeros(len(read.take), dtype=np.int64), 0)
    layout = lay_out([chunk], np.array([len(read.take)]), read.offsets)
    return join(asked, read, layout.token_sentence, layout.n_sentences)


def segments(pairs: Sequence[Pair]) -> tuple[Segments, NDArray[np.int64]]:
    """Sentences of all pairs one after the other: that of each token taken (K,), and how many tokens each has (S,)."""
    first = np.cumsum([0, *(pair.sentences for pair in pairs)])
    owner = np.concatenate([pair.sentence + at for pair, at in zip(pairs, first[:-1], strict=True)])
    return owner, np.bincount(owner, minlength=int(first[-1]))


def groups(pairs: Sequence[Pair], tokens: int) -> Iterator[list[int]]:
    """Places in `pairs`, shortest rows first, in groups of at most `tokens` padded tokens."""
    group: list[int] = []
    for at in sorted(range(len(pairs)), key=lambda at: len(pairs[at].ids)):
        if group and (len(group) + 1) * len(pairs[at].ids) > tokens:
            yield group
            group = []
        group.append(at)
    if group:
        yield group
