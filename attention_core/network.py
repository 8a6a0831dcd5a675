"""The reranker as a network that learns: the same mathematics as `reranker.py`, in torch.

    lower states ── top layers of the encoder ── token states
    token states ── centre, project, scale to length 1, round to 4 bits ── the keys that are stored
    or, where no layer learns: the stored keys themselves
    question states ── the same, and a gate: how much each token of the question counts
    best match of each question token per sentence, neighbourhood, chunk ── weighted sums ── log-odds

What is stored at ingest is rounded, so it is rounded here too; the gradient passes the rounding as if it were not
there (the straight-through estimator, Bengio et al. 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from attention_core.examples import Batch, Example, TrainingSet
from attention_core.interaction import MEAN_TOKENS
from attention_core.interaction_module import Interaction
from attention_core.projection import Projection
from attention_core.scorer import ScorerWeights
from domain.errors import DomainError
from domain.search import FloatArray

_LARGEST_CODE = 7  # of 4 bits, as in `codec.py`
_UNASKED = 0.1  # of the question's tokens are left out of each step: evidence must not hang on one word
_LEAST_ASKED = 0.2  # of the weights of a question's tokens must remain, else all of them do


class TopLayers(Protocol):
    """The part of the encoder that learns: lower states (B, T, H) and mask (B, T) -> token states (B, T, H)."""

    def __call__(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True)
class Scores:
    """What the network says of a batch of B questions, C chunks with S sentences in all.

    sentences: (B, S) and chunks: (B, C) log-odds. attended_sentences, attended_chunks: the same from attention alone,
    without the dense and lexical scores. drift: () how far the sentence vectors have moved, 1 - cosine.
    """

    sentences: torch.Tensor
    chunks: torch.Tensor
    attended_sentences: torch.Tensor
    attended_chunks: torch.Tensor
    drift: torch.Tensor


@dataclass(frozen=True, slots=True)
class _Keys:
    """Tokens of all chunks, flat: vectors (N, d), sentence (N,) of each; of each sentence the one that it is
    `read_with` (S,) and its chunk (S,); pooled (C, H), None where no layer learns.
    """

    vectors: torch.Tensor
    sentence: torch.Tensor
    read_with: torch.Tensor
    chunk: torch.Tensor
    pooled: torch.Tensor | None


class TrainableScorer(nn.Module):
    """Everything of the reranker that learns but the encoder's layers, which are passed in and may stay frozen."""

    def __init__(self, start: ScorerWeights, width: int) -> None:
        """`width` is that of the encoder's token vectors. Raises DomainError without a floor of the dense scores."""
        super().__init__()
        if start.dense_floor is None:
            raise DomainError("Training starts from the floor of the dense scores; fit it first.")
        self.projects = start.projection is not None
        if start.projection is not None:
            self.mean = nn.Parameter(torch.tensor(start.projection.mean))
            self.matrix = nn.Parameter(torch.tensor(start.projection.matrix))
        self.gate = nn.Parameter(torch.zeros(width) if start.gate is None else torch.tensor(start.gate))
        self.sentence_form = nn.Parameter(torch.tensor(start.forms.sentence))
        self.chunk_form = nn.Parameter(torch.tensor(start.forms.chunk))
        self.temperature = nn.Parameter(torch.ones(()))
        self.interaction = Interaction(start.projection.dim if start.projection else width)
        if start.interaction is not None:
            self.interaction.start_from(start.interaction)
        self._start, self._floor = start, start.dense_floor

    def forward(self, batch: Batch, top: TopLayers | None) -> Scores:
        """Scores of every question of the batch over all of its chunks; `top` None: the states are stored tokens."""
        keys = self._keys(batch.source, batch.rows, top)
        queries, weights, pooled = self._queries(batch.source, batch.examples, top)
        lead = _lead(batch, weights.shape[1])
        sentence, window, chunk, best = _evidence(queries, weights, keys, lead)
        vectors = torch.from_numpy(np.stack([batch.source.chunks[row].vector for row in batch.rows]))
        questions = torch.from_numpy(np.stack([example.vector for example in batch.examples]))
        dense = (questions @ vectors.T - self._floor) / (1 - self._floor)
        own, around, whole, meaning, words = self.sentence_form
        sentences = own * sentence + around * window
        sentences = sentences + (whole * chunk + meaning * dense + words * batch.lexical)[:, keys.chunk]
        whole, top_one, meaning, words = self.chunk_form
        chunks = whole * chunk + top_one * best + meaning * dense + words * batch.lexical
        numbers = _numbers(keys, (sentence, window, chunk, best), dense, batch.lexical)
        read = [self._read(batch, at, keys, queries, weights, numbers[at]) for at in range(len(batch.examples))]
        sentences = sentences + torch.stack([one for one, _ in read])
        chunks = chunks + torch.stack([one for _, one in read])
        drift = _drift(keys.pooled, vectors) + _drift(pooled, questions)
        return Scores(
            sentences,
            chunks,
            self.temperature * (14 * sentence + 6 * window),
            self.temperature * 8 * (chunk + best),
            drift,
        )

    def weights(self) -> ScorerWeights:
        """What was learned, for `reranker.py`."""
        old = self._start.forms
        forms = replace(old, sentence=_copied(self.sentence_form), chunk=_copied(self.chunk_form))
        projection = Projection(_copied(self.mean), _copied(self.matrix)) if self.projects else None
        return replace(
            self._start,
            projection=projection,
            gate=_copied(self.gate),
            forms=forms,
            interaction=self.interaction.weights(),
            digest="",
        )

    def _read(
        self,
        batch: Batch,
        at: int,
        keys: _Keys,
        queries: torch.Tensor,
        weights: torch.Tensor,
        numbers: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the interaction network adds for question `at`: (S,) and (C,), 0 outside its listed chunks."""
        length, listed = len(batch.examples[at].take), batch.listed[at]
        owner = keys.chunk[keys.sentence]  # (N,)
        tokens, sentences = listed[owner], listed[keys.chunk]
        new_sentence, new_chunk = sentences.cumsum(0) - 1, listed.cumsum(0) - 1
        own, best = self.interaction(
            keys.vectors[tokens],
            queries[at, :length],
            weights[at, :length],
            numbers[sentences],
            torch.bincount(owner, minlength=len(listed))[listed].tolist(),
            new_sentence[keys.sentence[tokens]],
            new_chunk[keys.chunk[sentences]],
        )
        nothing, none = numbers.new_zeros(len(sentences)), numbers.new_zeros(len(listed))
        return nothing.masked_scatter(sentences, own), none.masked_scatter(listed, best)

    def _project(self, states: torch.Tensor) -> torch.Tensor:
        if not self.projects:
            return functional.normalize(states, dim=-1)
        return functional.normalize((functional.normalize(states, dim=-1) - self.mean) @ self.matrix, dim=-1)

    def _keys(self, source: TrainingSet, rows: Sequence[int], top: TopLayers | None) -> _Keys:
        chunks = [source.chunks[row] for row in rows]
        if top is None:
            stored = torch.cat([source.chunk_states.row(row) for row in rows])
            vectors, pooled = functional.normalize(stored, dim=-1), None
        else:
            taken, pooled = _chunk_states(source, rows, top)
            vectors = _rounded(self._project(taken))
        sizes = [len(chunk.sentence_tokens) for chunk in chunks]
        first = np.concatenate(([0], np.cumsum(sizes)))
        sentence = np.concatenate([chunk.token_sentence + first[at] for at, chunk in enumerate(chunks)])
        read_with = np.concatenate([chunk.read_with + first[at] for at, chunk in enumerate(chunks)])
        owner = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor(sizes))
        return _Keys(vectors, torch.from_numpy(sentence), torch.from_numpy(read_with), owner, pooled)

    def _queries(
        self, source: TrainingSet, examples: Sequence[Example], top: TopLayers | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Question vectors (B, Tq, d) and weights (B, Tq), zero behind the end of a question; pooled (B, H)."""
        padded, mask = source.question_states.padded([example.row for example in examples])
        states, pooled = (padded, None) if top is None else _states(padded, mask, top)
        longest = max(len(example.take) for example in examples)
        vectors, weights = [], []
        for at, example in enumerate(examples):
            taken = states[at, torch.from_numpy(example.take)]
            gate = functional.normalize(taken, dim=-1) @ self.gate
            own = torch.from_numpy(example.weights) * torch.exp(gate)
            room = longest - len(own)
            vectors.append(functional.pad(self._project(taken), (0, 0, 0, room)))
            weights.append(functional.pad(own / own.sum(), (0, room)))
        together = torch.stack(weights)
        return torch.stack(vectors), _thinned(together) if self.training else together, pooled


def _copied(parameter: nn.Parameter) -> FloatArray:
    values: FloatArray = parameter.detach().numpy().copy()
    return values


def _states(states: torch.Tensor, mask: torch.Tensor, top: TopLayers) -> tuple[torch.Tensor, torch.Tensor]:
    """Token states (B, T, H) and their mean over the real tokens, unit length (B, H)."""
    output = top(states, mask)
    return output, functional.normalize((output * mask[..., None]).sum(1), dim=-1)


def _chunk_states(source: TrainingSet, rows: Sequence[int], top: TopLayers) -> tuple[torch.Tensor, torch.Tensor]:
    """Token states (N, H) of chunks, those that are stored, and means (C, H) over all."""
    order = sorted(range(len(rows)), key=lambda at: source.chunk_states.length(rows[at]))
    taken, means = [torch.empty(0)] * len(rows), [torch.empty(0)] * len(rows)
    for places in (order[: len(order) // 2], order[len(order) // 2 :]):  # short ones are not padded to the longest
        if places:
            states, pooled = _states(*source.chunk_states.padded([rows[at] for at in places]), top)
            for place, at in enumerate(places):
                taken[at] = states[place, torch.from_numpy(source.chunks[rows[at]].take)]
                means[at] = pooled[place]
    return torch.cat(taken), torch.stack(means)


def _thinned(weights: torch.Tensor) -> torch.Tensor:
    """Weights (B, Tq) that sum to 1, some of them dropped and the others raised to sum to 1 again."""
    kept = weights * (torch.rand(weights.shape) >= _UNASKED)
    total = kept.sum(1, keepdim=True)
    return torch.where(total >= _LEAST_ASKED, kept / total.clamp_min(_LEAST_ASKED), weights)


def _drift(pooled: torch.Tensor | None, held: torch.Tensor) -> torch.Tensor:
    """Mean of 1 - cosine of unit rows (N, H) with those that they should stay; 0 where no layer learns."""
    return torch.zeros(()) if pooled is None else (1 - (pooled * held).sum(-1)).mean()


def _lead(batch: Batch, length: int) -> torch.Tensor:
    """What title and headings match, (B, Tq, C), 0 behind the end of a question."""
    lead = torch.zeros(len(batch.examples), length, len(batch.rows))
    for at, example in enumerate(batch.examples):
        for place, row in enumerate(batch.rows):
            if row in example.lead:
                lead[at, : len(example.take), place] = torch.from_numpy(example.lead[row])
    return lead


def _rounded(vectors: torch.Tensor) -> torch.Tensor:
    peaks = vectors.abs().amax(-1, keepdim=True).clamp_min(1e-9)
    codes = functional.normalize(torch.round(vectors * (_LARGEST_CODE / peaks)), dim=-1)
    return vectors + (codes - vectors).detach()


def _numbers(
    keys: _Keys,
    evidence: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    dense: torch.Tensor,
    lexical: torch.Tensor,
) -> torch.Tensor:
    """`interaction.sentence_numbers` for several questions: (B, S, 8)."""
    sentence, window, chunk, best = evidence
    count = len(keys.chunk)
    tokens = torch.bincount(keys.sentence, minlength=count).clamp_min(1)
    sizes = torch.bincount(keys.chunk)
    place = torch.arange(count) - (sizes.cumsum(0) - sizes)[keys.chunk]
    shared = (torch.log(tokens / MEAN_TOKENS), place / (sizes[keys.chunk] - 1).clamp_min(1))
    return torch.stack(
        (
            sentence,
            window,
            chunk[:, keys.chunk],
            best[:, keys.chunk] - sentence,
            dense[:, keys.chunk],
            lexical[:, keys.chunk],
            *(values.expand_as(sentence) for values in shared),
        ),
        dim=-1,
    )


def _evidence(
    queries: torch.Tensor, weights: torch.Tensor, keys: _Keys, lead: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """`evidence.gather` for several questions: sentence and window (B, S), chunk and best (B, C)."""
    count, length, width = queries.shape
    n_chunks = lead.shape[-1]
    similarity = queries.reshape(count * length, width) @ keys.vectors.T
    matches = segment_amax(similarity, keys.sentence, len(keys.chunk))  # (B * Tq, S)
    matches = torch.maximum(matches, matches[:, keys.read_with])
    joined = keys.chunk[1:] == keys.chunk[:-1]
    before = functional.pad(matches[:, :-1].masked_fill(~joined, -1.0), (1, 0), value=-1.0)
    after = functional.pad(matches[:, 1:].masked_fill(~joined, -1.0), (0, 1), value=-1.0)
    window = torch.maximum(matches, torch.maximum(before, after))
    chunk = torch.maximum(segment_amax(matches, keys.chunk, n_chunks), lead.reshape(-1, n_chunks))

    def weighed(values: torch.Tensor) -> torch.Tensor:
        return (values.reshape(count, length, -1) * weights[..., None]).sum(1)

    sentence = weighed(matches)
    return sentence, weighed(window), weighed(chunk), segment_amax(sentence, keys.chunk, n_chunks)


def segment_amax(values: torch.Tensor, segments: torch.Tensor, count: int) -> torch.Tensor:
    """The largest entry of each segment of the last dimension: (R, N) -> (R, count); 0 for an empty segment."""
    out = values.new_zeros(values.shape[0], count)
    return out.scatter_reduce(-1, segments.expand(values.shape[0], -1), values, "amax", include_self=False)
