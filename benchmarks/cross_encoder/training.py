"""Training the cross-encoder on what the reranker is trained on.

Questions, candidates, gold sentences and blocked chunks come from `service.training.data.collect`, held-out documents
from `benchmarks.weights`, negatives and losses from `attention_core`. Two things differ. A question is compared with
its own list alone (one gold chunk and its negatives), because every other chunk of a batch would be a pair to read.
And the questions that collections ask themselves are left out.

    a step: 8 questions x (1 gold + 3 hard chunks) ── frozen half ── upper half ── loss, one question at a time ── AdamW
"""

from __future__ import annotations

import json
import math
import os
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from attention_core.examples import Batch, States, TrainingSet, batches
from attention_core.objective import chunk_loss, sentence_loss
from benchmarks.cross_encoder.network import CrossNetwork
from benchmarks.cross_encoder.pairs import Pair, join, planned
from benchmarks.labelled import drawn
from benchmarks.weights import TrainingCorpus
from domain.documents import document_id
from domain.search import DEFAULT_TENANT, Query, StoredChunk
from retrieval.embedders.split import SplitEncoder
from service.labelled_questions import LabelledQuestion
from service.parts import Parts
from service.training.data import Labelled, collect, known_documents
from service.training.tokens import Step, TokenRow

_CHUNK = 0.5  # weight of the loss over chunks, as in attention_core/objective.py
_HEADS = 20  # times the rate of the layers: heads start from nothing
_WARM_UP, _LEAST_RATE, _CLIP = 0.1, 0.02, 1.0
_SAVE_EVERY, _TELL_EVERY = 50, 25  # steps
_STRIDE = 1_000_003
_HELD = 20  # held-out documents that one question each is asked about, so that `collect` holds out the same ones

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """rate: of the layers, at its peak. questions, negatives: of one step, and for each question."""

    steps: int = 300
    questions: int = 8
    negatives: int = 3
    rate: float = 5e-5
    seed: int = 0


@dataclass(frozen=True, slots=True)
class PairSet:
    """A training set with what the encoder reads of its questions and chunks, by their rows."""

    training: TrainingSet
    questions: Sequence[TokenRow]
    chunks: Sequence[TokenRow]

    def pairs(self, batch: Batch) -> list[Pair]:
        """The rows of a batch of one question, in the order of its chunks."""
        asked = self.questions[batch.examples[0].row]
        known = self.training.chunks
        return [
            join(asked, self.chunks[row], known[row].token_sentence, len(known[row].sentence_tokens))
            for row in batch.rows
        ]


# -- data ------------------------------------------------------------------------------------------------------------


class Readings:
    """A TokenSource without states: the ids that the encoder reads are all that a cross-encoder starts from."""

    def __init__(self, encoder: SplitEncoder) -> None:
        self._encoder = encoder

    def question(self, query: Query) -> TokenRow:
        return planned(self._encoder.plan_queries([query.text])[0])

    def question_states(self, rows: Sequence[TokenRow], folder: Path, step: Step) -> States:
        return _nothing(len(rows))

    def chunks(
        self, collection: str, chunks: Sequence[StoredChunk], folder: Path, step: Step
    ) -> tuple[list[TokenRow], States]:
        plans = self._encoder.plan_documents([one.chunk.passage(one.document.title) for one in chunks])
        return [planned(plan) for plan in plans], _nothing(len(chunks))


def _nothing(rows: int) -> States:
    return States(np.zeros((0, 1), dtype=np.float32), np.zeros(rows + 1, dtype=np.int64))


def gather(parts: Parts, corpus: TrainingCorpus, encoder: SplitEncoder, most: int, step: Step) -> PairSet:
    """At most `most` teaching questions of an ingested set, 0 takes all, and their candidates; nothing held out.

    The set's share of the steps is that which it has when the reranker is trained.
    """
    questions = known_documents(parts, corpus.name, _asked(corpus, most))
    labelled = Labelled(corpus.name, tuple(questions), 0, math.sqrt(len(corpus.questions)))
    found = collect(parts, labelled, Readings(encoder), Path(), step)
    held = frozenset(document_id(DEFAULT_TENANT, corpus.name, source) for source in corpus.held_out)
    teaching = [one for one in found.training.examples if one.document not in held]
    training = replace(found.training, examples=teaching, held_out=(), held_documents=held)
    return PairSet(training, found.question_tokens, found.chunk_tokens)


def _asked(corpus: TrainingCorpus, most: int) -> list[LabelledQuestion]:
    teaching = [one for one in corpus.questions if one.document not in corpus.held_out]
    held = {one.document: one for one in corpus.questions if one.document in corpus.held_out}
    return [*drawn(teaching, most), *list(held.values())[:_HELD]]


# -- training --------------------------------------------------------------------------------------------------------


def train(
    network: CrossNetwork, sets: Sequence[PairSet], options: Options, checkpoint: Path, tell: Tell = print
) -> None:
    """Fit the network in place. Goes on from `checkpoint` where that file is of the same run."""
    run = _Run(network, [one for one in sets if one.training.examples], options, checkpoint)
    run.resume()
    losses: list[float] = []
    started = time.perf_counter()
    while run.step < options.steps:
        losses.append(run.take_step())
        if run.step % _SAVE_EVERY == 0 or run.step == options.steps:
            run.save()
        if run.step % _TELL_EVERY == 0 or run.step == options.steps:
            seconds = (time.perf_counter() - started) / len(losses)
            tell(f"step {run.step} of {options.steps}: loss {np.mean(losses):.3f}, {seconds:.2f} s a step")
            losses, started = [], time.perf_counter()
    network.learning.eval()


class _Run:
    """One training run with all that must survive a kill."""

    def __init__(self, network: CrossNetwork, sets: Sequence[PairSet], options: Options, checkpoint: Path) -> None:
        self.step = 0
        self._network, self._options, self._checkpoint = network, options, checkpoint
        self._sets: Mapping[str, PairSet] = {one.training.name: one for one in sets}
        rates = {"layers": options.rate, "heads": _HEADS * options.rate}
        self._optimizer = torch.optim.AdamW(_parameters(network.learning, rates), betas=(0.9, 0.98))
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        known = {one.training.name: [len(one.training.examples), len(one.chunks)] for one in sets}
        self._identity = json.dumps([asdict(options), network.encoder.spec.fingerprint, known])

    def take_step(self) -> float:
        """Some questions, one update; the mean loss before it."""
        share = min(1.0, (self.step + 1) / max(1, int(_WARM_UP * self._options.steps)))
        share *= max(_LEAST_RATE, 1 - self.step / self._options.steps)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        torch.manual_seed(_STRIDE * self._options.seed + self.step)  # dropout too is the same after a resume
        self._network.learning.train()
        loss = sum(self._learn(batch) for batch in self._batches())
        nn.utils.clip_grad_norm_(self._network.learning.parameters(), _CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.step += 1
        return loss

    def _batches(self) -> list[Batch]:
        """The questions of this step, one a batch, so that a batch lists nothing but a question's own chunks."""
        options, sets = self._options, [one.training for one in self._sets.values()]
        stream = batches(sets, 1, options.negatives, options.seed, self.step * options.questions)
        return list(islice(stream, options.questions))

    def _learn(self, batch: Batch) -> float:
        chunks, sentences = self._network.scores(self._sets[batch.source.name].pairs(batch))
        loss = sentence_loss(sentences[None], batch, batch.allowed)
        if batch.examples[0].ranked:
            loss = loss + _CHUNK * chunk_loss(chunks[None], batch, batch.allowed)
        loss = loss / self._options.questions
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def save(self) -> None:
        """Write all that a killed run needs to go on, in place of what was there."""
        state = {
            "identity": self._identity,
            "step": self.step,
            "learning": self._network.learning.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        draft = self._checkpoint.with_suffix(".draft")
        torch.save(state, draft)
        os.replace(draft, self._checkpoint)

    def resume(self) -> None:
        """Continue from the checkpoint where it is of this run, else start anew."""
        try:
            state = torch.load(self._checkpoint, weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):  # none, or damaged
            return
        if state["identity"] == self._identity:
            self._network.learning.load_state_dict(state["learning"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]


def _parameters(learning: nn.ModuleDict, rates: Mapping[str, float]) -> list[dict[str, object]]:
    """Matrices decay, biases and norms do not."""
    return [
        {"params": [one for one in learning[name].parameters() if (one.ndim > 1) == wide], "lr": rate,
         "weight_decay": 0.01 if wide else 0.0}
        for name, rate in rates.items()
        for wide in (True, False)
    ]  # fmt: skip
