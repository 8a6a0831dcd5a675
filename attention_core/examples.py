"""What training reads: questions with their evidence, over chunks whose states are kept on disk.

Where layers of the encoder learn, the states are those below them: the lower layers stay as they are, so their output
is computed once and every step starts from there. Where none learns, the states of a chunk are the codes that are
stored of it, and those of a question its token vectors. Everything is a row number: of a chunk, of a question, of a
sentence in its chunk.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attention_core.pooling import Segments
from domain.search import FloatArray

_NEAR = 40  # candidates that negatives are drawn from, by fused rank; deeper ones are rarely hard
_RANK_OFFSET = 3  # the first candidate is drawn 1 + 20 / 3 times as often as the twenty-first
_OTHERS = 4  # chunks of other questions that a question's own list is filled up with: easy negatives
_SIBLING_SHARE = 0.15  # of the negatives: another chunk of the gold document, whatever its rank


@dataclass(frozen=True, slots=True)
class States:
    """Ragged rows of states: `data` (N, H), row r at bounds[r]:bounds[r + 1].

    `data` is float16 or float32, or uint16, which means bfloat16 bit patterns; it may be a memory map: ten thousand
    chunks are 1.5 GB.
    """

    data: NDArray[Any]
    bounds: NDArray[np.int64]

    @property
    def width(self) -> int:
        """H."""
        return int(self.data.shape[1])

    def row(self, row: int) -> torch.Tensor:
        """States (T, H) of one row, float32."""
        values = torch.from_numpy(np.array(self.data[self.bounds[row] : self.bounds[row + 1]]))
        return (values.view(torch.bfloat16) if values.dtype == torch.uint16 else values).float()

    def length(self, row: int) -> int:
        """T of one row."""
        return int(self.bounds[row + 1] - self.bounds[row])

    def padded(self, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """States (B, T, H), float32, zero behind the end of a row, and the mask (B, T) of real tokens."""
        lengths = [self.length(row) for row in rows]
        states = torch.zeros(len(rows), max(lengths), self.width)
        mask = torch.zeros(len(rows), max(lengths), dtype=torch.bool)
        for at, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            states[at, :length] = self.row(row)
            mask[at, :length] = True
        return states, mask


@dataclass(frozen=True, slots=True)
class TrainingChunk:
    """A chunk: which of its states are stored tokens, and the sentence of each.

    take: (T,) positions among the states. token_sentence: (T,), ascending. sentence_tokens: (S,) lengths.
    read_with: (S,) the sentence that each one is read together with: the header of its table, else itself.
    vector: (D,) the sentence vector that training holds in place.
    """

    document: str
    take: NDArray[np.intp]
    token_sentence: Segments
    sentence_tokens: FloatArray
    read_with: Segments
    vector: FloatArray


@dataclass(frozen=True, slots=True)
class Example:
    """A question: its token weights (Tq,) by IDF, sentence vector (D,), candidates by fused rank with BM25 shares.

    lead: chunk row -> (Tq,) what the title and headings above it match, left out where that is nothing.
    gold: chunk row -> sentences that carry the answer. blocked: chunks that hold the words of an answer somewhere
    else, which are neither right nor wrong. ranked: False where the same question is asked of several documents,
    so that only the sentences of the gold document can be compared.
    """

    row: int
    take: NDArray[np.intp]
    weights: FloatArray
    vector: FloatArray
    candidates: tuple[int, ...]
    lexical: Mapping[int, float]
    lead: Mapping[int, FloatArray]
    gold: Mapping[int, tuple[int, ...]]
    blocked: frozenset[int]
    document: str
    ranked: bool = True


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The examples of one collection; `share` is its part of all steps, relative to the other sets'.

    Documents of `held_out` examples give no negatives to the others.
    """

    name: str
    chunks: Sequence[TrainingChunk]
    chunk_states: States
    question_states: States
    examples: Sequence[Example]
    held_out: Sequence[Example]
    held_documents: frozenset[str]
    share: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples over their chunks together: every chunk of the batch is a negative for the other questions.

    gold: (B, S) over all sentences of `rows`. chunk_gold, allowed: (B, C); not allowed is what is neither right nor
    wrong for that question. listed: (B, C), the chunks that are a question's own and a few others: what the dearer
    part of the network judges for it. lexical: (B, C).
    """

    source: TrainingSet
    examples: Sequence[Example]
    rows: Sequence[int]
    gold: torch.Tensor
    chunk_gold: torch.Tensor
    allowed: torch.Tensor
    listed: torch.Tensor
    lexical: torch.Tensor


def batches(sets: Sequence[TrainingSet], questions: int, negatives: int, seed: int, start: int = 0) -> Iterator[Batch]:
    """An endless stream of batches, each from one set; the n-th is the same for the same seed, wherever one starts."""
    step = start
    while True:
        draw = random.Random(f"{seed}/{step}")  # not one running generator: a resumed run must see the same batches
        source = draw.choices(sets, [one.share for one in sets])[0]
        examples = draw.sample(source.examples, min(questions, len(source.examples)))
        own = [_own_rows(source, example, negatives, draw) for example in examples]
        yield gather(source, examples, own, draw)
        step += 1


def held_out_batches(sets: Sequence[TrainingSet], limit: int, candidates: int) -> Iterator[Batch]:
    """Each held-out question (at most `limit` a set, spread evenly) with its gold chunks and its first candidates."""
    for source in sets:
        every = max(1, -(-len(source.held_out) // limit))
        for example in source.held_out[::every]:
            rows = [*example.gold, *(row for row in example.candidates[:candidates] if example.ranked)]
            yield gather(source, [example], [rows], random.Random(0))


def gather(
    source: TrainingSet, examples: Sequence[Example], own: Sequence[Sequence[int]], draw: random.Random
) -> Batch:
    """Lay out the batch of `examples` over the chunks `own` of each; `draw` picks the others that are listed."""
    rows = list(dict.fromkeys(row for mine in own for row in mine))
    sizes = [len(source.chunks[row].sentence_tokens) for row in rows]
    first = np.concatenate(([0], np.cumsum(sizes)))
    place = {row: at for at, row in enumerate(rows)}
    gold = torch.zeros(len(examples), int(first[-1]), dtype=torch.bool)
    chunk_gold = torch.zeros(len(examples), len(rows), dtype=torch.bool)
    allowed = torch.ones(len(examples), len(rows), dtype=torch.bool)
    lexical = torch.zeros(len(examples), len(rows))
    for at, example in enumerate(examples):
        for row, sentences in example.gold.items():
            if row in place:
                chunk_gold[at, place[row]] = True
                gold[at, [int(first[place[row]]) + sentence for sentence in sentences]] = True
        for row in rows:
            lexical[at, place[row]] = example.lexical.get(row, 0.0)
            foreign = not example.ranked and source.chunks[row].document != example.document
            allowed[at, place[row]] = row in example.gold or not (foreign or row in example.blocked)
    listed = _listed(allowed, [[place[row] for row in mine] for mine in own], draw)
    return Batch(source, examples, rows, gold, chunk_gold, allowed, listed, lexical)


def _listed(allowed: torch.Tensor, own: Sequence[Sequence[int]], draw: random.Random) -> torch.Tensor:
    """(B, C): the places `own` of each question and at most `_OTHERS` more that are allowed."""
    listed = torch.zeros_like(allowed)
    for at, mine in enumerate(own):
        others = [place for place in torch.nonzero(allowed[at])[:, 0].tolist() if place not in mine]
        listed[at, [*mine, *draw.sample(others, min(_OTHERS, len(others)))]] = True
    return listed


def _own_rows(source: TrainingSet, example: Example, count: int, draw: random.Random) -> list[int]:
    """One gold chunk and `count` hard negatives."""
    chosen = [draw.choice(list(example.gold))]
    if not example.ranked:
        return chosen
    pool = [
        row
        for row in example.candidates[:_NEAR]
        if row not in example.gold
        and row not in example.blocked
        and source.chunks[row].document not in source.held_documents
    ]
    siblings = [row for row in pool if source.chunks[row].document == example.document]
    for _ in range(min(count, len(pool))):
        if siblings and draw.random() < _SIBLING_SHARE:
            pick = draw.choice(siblings)
        else:
            pick = draw.choices(pool, [1 / (rank + _RANK_OFFSET) for rank in range(len(pool))])[0]
        chosen.append(pick)
        pool.remove(pick)
        siblings = [row for row in siblings if row != pick]
        if not pool:
            break
    return chosen
