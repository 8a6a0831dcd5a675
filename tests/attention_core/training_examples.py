"""Small random training sets whose questions repeat the vectors of their gold sentence, with some noise."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from attention_core.evidence import Forms
from attention_core.examples import Batch, Example, States, TrainingChunk, TrainingSet, gather
from attention_core.projection import fit_projection, unit_rows
from attention_core.scorer import ScorerWeights

WIDTH, DIM, SENTENCES, TOKENS = 16, 8, 3, 12


class Top(nn.Module):
    """Stands for the encoder's top layers: one matrix, at first the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH, bias=True)
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(WIDTH))
            self.linear.bias.zero_()

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.linear(states)


def random_rows(count: int, seed: int, width: int = WIDTH) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32) + 0.3)


def states_of(rows: list[np.ndarray]) -> States:
    bounds = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    return States(np.concatenate(rows), bounds)


def chunk_of(document: str, vector: np.ndarray, tokens: int = TOKENS) -> TrainingChunk:
    sentence = np.arange(tokens) * SENTENCES // tokens
    lengths = np.bincount(sentence, minlength=SENTENCES).astype(np.float32)
    return TrainingChunk(document, np.arange(tokens), sentence, lengths, np.arange(SENTENCES), vector)


def example_of(row: int, gold: dict[int, tuple[int, ...]], document: str, **changes) -> Example:
    given = {
        "row": row,
        "take": np.arange(4),
        "weights": np.full(4, 0.25, np.float32),
        "vector": random_rows(1, 900 + row)[0],
        "candidates": (0, 1, 2, 3, 4, 5),
        "lexical": {},
        "lead": {},
        "gold": gold,
        "blocked": frozenset(),
        "document": document,
    }
    return Example(**(given | changes))


def batch_of(source: TrainingSet, examples: Sequence[Example], own: Sequence[Sequence[int]]) -> Batch:
    """The batch of `examples` over the chunks `own` of each."""
    return gather(source, examples, own, random.Random(0))


def training_set(documents: int = 6, name: str = "toy", noise: float = 0.8, share: float = 1.0) -> TrainingSet:
    """Two chunks and two questions a document; the last two documents are held out.

    The noise of the questions lies in the second half of the dimensions, which can be learned.
    """
    chunks = [random_rows(TOKENS, seed) for seed in range(2 * documents)]
    vectors = random_rows(2 * documents, 77)
    draw = np.random.default_rng(5)
    questions, examples = [], []
    for row in range(2 * documents):
        place = int(draw.integers(SENTENCES))
        gold_tokens = chunks[row][4 * place : 4 * place + 4]
        blur = draw.normal(size=(4, WIDTH)) * np.where(np.arange(WIDTH) < WIDTH // 2, 0.1, 1.0)
        questions.append(unit_rows((gold_tokens + noise * blur).astype(np.float32)))
        order = tuple(int(at) for at in draw.permutation(2 * documents))
        examples.append(example_of(row, {row: (place,)}, f"d{row // 2}", candidates=order, vector=vectors[row]))
    held = {f"d{documents - 1}", f"d{documents - 2}"}
    return TrainingSet(
        name=name,
        chunks=[chunk_of(f"d{row // 2}", vectors[row]) for row in range(2 * documents)],
        chunk_states=states_of(chunks),
        question_states=states_of(questions),
        examples=[one for one in examples if one.document not in held],
        held_out=[one for one in examples if one.document in held],
        held_documents=frozenset(held),
        share=share,
    )


def start_weights(projected: bool = True) -> ScorerWeights:
    projection = fit_projection(random_rows(400, 1), DIM) if projected else None
    return ScorerWeights(projection=projection, forms=Forms(), dense_floor=0.5)
