"""The token encoder of the product: one forward pass gives sentence vectors and token vectors.

Equal texts get equal vectors, to the bit, whatever else is in the batch. A matrix kernel sums in another order when the
padded length is not a multiple of its block, which moves a bf16 vector by 1e-3; padding every row to a multiple of
16 tokens removes that (OpenVINO in bf16 and f32: no difference over batch sizes, neighbours and padding).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from domain.documents import Passage
from domain.search import Encoding, FloatArray, TokenVectors
from retrieval.embedders.tokenizer import EncoderTokenCounter
from retrieval.embedders.windows import Plan, Window, WindowPlanner

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD_TO = 16  # tokens
# Padded tokens of one forward pass, for bounded memory; more is not faster on a processor, and a question
# that arrives in the middle of an ingest run waits for one pass.
TOKEN_BUDGET = 2048


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """What must be known of a model to use it. `max_length` counts special tokens and is a multiple of PAD_TO.

    name: the model's name. fingerprint: of its weights. dim: width of a sentence vector.
    """

    name: str
    fingerprint: str
    dim: int
    max_length: int
    pad_id: int
    query_prompt: str = ""
    document_prompt: str = ""


class ForwardPass(Protocol):
    """A model at its barest. `family` names backend and precision, for example "openvino-bf16"."""

    family: str

    def __call__(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """For ids and mask (1 = real token) of shape (B, T): token states (B, T, H) and pooled vectors (B, D)."""
        ...


class TransformerEncoder:
    """Implements `TokenEncoder` over any forward pass. Safe to share between threads when the pass is."""

    def __init__(self, spec: EncoderSpec, tokenizer: Tokenizer, forward: ForwardPass) -> None:
        self._spec = spec
        self._planner = WindowPlanner(tokenizer, spec.max_length)
        self._forward = forward
        self.dim = spec.dim
        self.model_id = f"{spec.name}/{spec.fingerprint}/{forward.family}"
        self.counter = EncoderTokenCounter.of(tokenizer, spec.name)

    def encode_documents(self, passages: Sequence[Passage]) -> list[Encoding]:
        """One Encoding a passage, in order; the lead is read but its tokens are left out.

        A text longer than the model's window is read in several; its sentence vector is the mean of theirs,
        weighted by the tokens that each is the first to see.
        """
        plans = self._planner.plan(passages, self._spec.document_prompt)
        return self._encode(plans)

    def encode_query(self, text: str) -> Encoding:
        """The encoding of a question, under the model's query prompt, whose tokens are left out."""
        return self.encode_queries([text])[0]

    def encode_queries(self, texts: Sequence[str]) -> list[Encoding]:
        """The encodings of several questions in as few passes as hold them: each is that of `encode_query`."""
        return self._encode(self._planner.plan([Passage(text) for text in texts], self._spec.query_prompt))

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Sentence vectors of shape (N, D), equal to those of `encode_documents` for passages without a lead."""
        plans = self._planner.plan([Passage(text) for text in texts], self._spec.document_prompt)
        vectors = np.zeros((len(plans), self.dim), dtype=np.float32)
        for row, _, pooled in self._run(plans):
            vectors[row.owner] += row.window.weight * _unit(pooled)
        return _unit(vectors)

    def embed_query(self, text: str) -> FloatArray:
        """Shape (D,)."""
        return self.encode_query(text).vector

    def _encode(self, plans: Sequence[Plan]) -> list[Encoding]:
        vectors = np.zeros((len(plans), self.dim), dtype=np.float32)
        parts: list[list[FloatArray]] = [[_NONE] * len(plan.windows) for plan in plans]
        for row, states, pooled in self._run(plans):
            vectors[row.owner] += row.window.weight * _unit(pooled)
            parts[row.owner][row.position] = _unit(states[row.window.take])
        return [
            Encoding(vector, TokenVectors(np.concatenate(part), plan.ids, plan.offsets))
            for vector, part, plan in zip(_unit(vectors), parts, plans, strict=True)
        ]

    def _run(self, plans: Sequence[Plan]) -> Iterator[tuple[_Row, FloatArray, FloatArray]]:
        """Yield (row, token states (T, H), pooled vector (D,)) of every window, the short ones first."""
        rows = [_Row(i, j, window) for i, plan in enumerate(plans) for j, window in enumerate(plan.windows)]
        for batch in _batches(rows):
            states, pooled = self._forward(*self._pad(batch))
            yield from zip(batch, states, pooled, strict=True)

    def _pad(self, batch: Sequence[_Row]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids and mask, both of shape (B, T), for a batch whose last row is the longest."""
        width = _padded(len(batch[-1].window.ids))
        ids = np.full((len(batch), width), self._spec.pad_id, dtype=np.int64)
        mask = np.zeros((len(batch), width), dtype=np.int64)
        for i, row in enumerate(batch):
            ids[i, : len(row.window.ids)] = row.window.ids
            mask[i, : len(row.window.ids)] = 1
        return ids, mask


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a batch: the window `position` of the plan `owner`."""

    owner: int
    position: int
    window: Window


_NONE: FloatArray = np.zeros((0, 0), dtype=np.float32)


def _batches(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Group rows, shortest first, so that the number of rows times the padded length stays within TOKEN_BUDGET."""
    batch: list[_Row] = []
    for row in sorted(rows, key=lambda row: len(row.window.ids)):
        if batch and (len(batch) + 1) * _padded(len(row.window.ids)) > TOKEN_BUDGET:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _padded(length: int) -> int:
    return -(-length // PAD_TO) * PAD_TO


def _unit(vectors: FloatArray) -> FloatArray:
    """Scale rows to length 1; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
