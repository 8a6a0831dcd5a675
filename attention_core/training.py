"""Fitting the reranker, and with it the top layers of the encoder, to labelled questions.

    batches of questions over their gold and hard chunks (`examples.py`)
      -> scores (`network.py`) -> loss (`objective.py`) -> AdamW with a linear warm-up and decay
      -> every `check_every` steps the loss on held-out documents; the best state so far is what comes out

A run is decided by its options and data: the n-th batch depends on the seed and n alone, so a run that was killed goes
on from its last checkpoint and ends where it would have ended.

Runs of different seeds start from the same network and see other batches, so their weights can be averaged: the mean
of several fine-tuned from one start is often better than each, at the cost of one (Wortsman et al. 2022, "Model
soups").
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from attention_core.examples import Batch, TrainingSet, batches, held_out_batches
from attention_core.interaction import InteractionWeights
from attention_core.network import TopLayers, TrainableScorer
from attention_core.objective import objective, sentence_loss
from attention_core.projection import Projection
from attention_core.scorer import ScorerWeights
from domain.errors import DomainError, UsageError
from domain.search import FloatArray

_HELD_OUT, _HELD_CANDIDATES = 32, 8  # questions a set and candidates a question: a check costs about ten steps
_SCALES = tuple(2 ** (power / 4) for power in range(-6, 7))  # .35 to 2.8
_CLIP = 1.0
_STRIDE = 1_000_003
_LEAST_RATE = 0.02
_SAVE_EVERY = 20  # steps: what a kill can cost, about half a minute


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How to train. `rate` is that of the encoder's layers; the projection learns at twice, the few numbers faster.

    steps: at most; patience: checks without improvement after which training stops. questions, negatives: a batch
    holds `questions` gold chunks and `negatives` hard ones for each.
    """

    steps: int = 500
    questions: int = 16
    negatives: int = 3
    rate: float = 1e-4
    seed: int = 0
    check_every: int = 100
    patience: int = 3


@dataclass(frozen=True, slots=True)
class Progress:
    """One step done of `steps`; `held_out` is the latest loss on held-out documents."""

    step: int
    steps: int
    loss: float
    held_out: float


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The best weights; `layers` of the encoder are left in that state. Losses on held-out documents."""

    weights: ScorerWeights
    best_step: int
    before: float
    after: float


def train(
    sets: Sequence[TrainingSet],
    start: ScorerWeights,
    layers: nn.Module | None,
    top: TopLayers | None,
    options: TrainingOptions,
    checkpoint: Path,
    progress: Callable[[Progress], None] = lambda step: None,
) -> TrainingResult:
    """Train from `start`, and the encoder's `layers` that `top` runs through.

    layers None keeps them as they are, and the projection with them, so that stored token vectors stay valid; top None
    says that the states of the sets are those vectors already.

    Goes on from `checkpoint` where that file is of the same run, and ends at once where that run had ended: the file
    stays for the caller to remove. Raises UsageError without examples to learn from or to hold out.
    """
    sets = [one for one in sets if one.examples]
    if not sets or not any(one.held_out for one in sets):
        raise UsageError("There are too few labelled questions to train on: some must learn, others be held out.")
    scorer = _scorer(start, sets)
    if layers is not None and not scorer.projects:
        raise DomainError("The encoder's layers learn through a projection; fit one first.")
    if layers is None and scorer.projects:  # what does not learn must not count when gradients are clipped
        scorer.mean.requires_grad_(False)
        scorer.matrix.requires_grad_(False)
    run = _Run(sets, scorer, layers, top, options, checkpoint)
    run.resume()
    while run.step < options.steps and run.checks_since_best <= options.patience:
        loss = run.take_step()
        if run.step % options.check_every == 0 or run.step == options.steps:
            run.check()
        elif run.step % _SAVE_EVERY == 0:
            run.save()
        progress(Progress(run.step, options.steps, loss, run.latest))
    run.restore_best()
    run.learning.eval()
    return TrainingResult(run.scorer.weights(), run.best_step, run.before, run.best)


class _Run:
    """One training run with all that must survive a kill."""

    def __init__(
        self,
        sets: Sequence[TrainingSet],
        scorer: TrainableScorer,
        layers: nn.Module | None,
        top: TopLayers | None,
        options: TrainingOptions,
        checkpoint: Path,
    ) -> None:
        self.scorer, self.step = scorer, 0
        self.before = self.best = self.latest = float("inf")
        self.best_step = self.checks_since_best = 0
        self._sets, self._top, self._options, self._checkpoint = sets, top, options, checkpoint
        self.learning = nn.ModuleDict({"scorer": scorer, **({"layers": layers} if layers is not None else {})})
        self._optimizer = _optimizer(scorer, layers, options.rate)
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self._batches = batches(sets, options.questions, options.negatives, options.seed)
        self._best_state: dict[str, torch.Tensor] = {}
        known = {"layers": layers is not None, "sets": [[one.name, len(one.examples), one.share] for one in sets]}
        self._identity = json.dumps({**asdict(options), **known})

    def take_step(self) -> float:
        """One batch, one update; the loss before it."""
        share = min(1.0, (self.step + 1) / max(1, self._options.steps // 12))
        share *= max(_LEAST_RATE, 1 - self.step / self._options.steps)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        batch: Batch = next(self._batches)
        torch.manual_seed(_STRIDE * self._options.seed + self.step)  # dropout too is the same after a resume
        self.learning.train()
        loss = objective(self.scorer(batch, self._top), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.learning.parameters(), _CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.step += 1
        return loss.item()

    def check(self) -> None:
        """Measure on held-out documents, remember the best state, save everything."""
        self.latest = self._held_out_loss()
        self.checks_since_best += 1
        if self.latest < self.best:
            self.best, self.best_step, self.checks_since_best = self.latest, self.step, 0
            self._best_state = self._state()
        self.save()

    def _held_out_loss(self) -> float:
        self.learning.eval()
        return _loss_of(self.scorer, self._sets, self._top)

    def restore_best(self) -> None:
        """Leave the network in its best state: where nothing was better than the start, in the start's."""
        self.learning.load_state_dict(self._best_state)

    def resume(self) -> None:
        """Continue from the checkpoint where it is of this run, else start anew."""
        if not self._load():
            self.before = self.best = self.latest = self._held_out_loss()
            self._best_state = self._state()
        self._batches = batches(
            self._sets, self._options.questions, self._options.negatives, self._options.seed, self.step
        )

    def _state(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self.learning.state_dict().items()}

    def save(self) -> None:
        """Write all that a killed run needs to go on, in place of what was there."""
        tensors = {f"now.{name}": value for name, value in self._state().items()}
        tensors |= {f"best.{name}": value for name, value in self._best_state.items()}
        for number, values in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in values.items()}
        numbers = [self.step, self.before, self.best, self.best_step, self.checks_since_best]
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        draft = self._checkpoint.with_suffix(".draft")
        save_file(tensors, draft, {"identity": self._identity, "numbers": json.dumps(numbers)})
        os.replace(draft, self._checkpoint)

    def _load(self) -> bool:
        """Read the checkpoint; False where there is none, it is damaged, or of another run."""
        try:
            with safe_open(self._checkpoint, "pt") as file:
                about = file.metadata() or {}
                if about.get("identity") != self._identity:
                    return False
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except (OSError, SafetensorError):
            return False
        self.learning.load_state_dict(_under("now.", tensors))
        self._best_state = _under("best.", tensors)
        state = self._optimizer.state_dict()
        for name, value in _under("optimizer.", tensors).items():
            number, _, key = name.partition(".")
            state["state"].setdefault(int(number), {})[key] = value
        self._optimizer.load_state_dict(state)
        self.step, self.before, self.best, self.best_step, self.checks_since_best = json.loads(about["numbers"])
        self.latest = self.best
        return True


def held_out_loss(sets: Sequence[TrainingSet], weights: ScorerWeights, top: TopLayers | None) -> float:
    """What `TrainingResult.after` says, of any weights: the mean sentence loss on held-out documents.

    The layers that `top` runs through must be in evaluation mode.
    """
    scorer = _scorer(weights, sets)
    return _loss_of(scorer.eval(), sets, top)


def averaged(several: Sequence[ScorerWeights]) -> ScorerWeights:
    """The mean of weights that were trained from one start; see the module."""

    def mean(values: Sequence[FloatArray]) -> FloatArray:
        middle: FloatArray = np.mean(np.stack(values), axis=0, dtype=np.float32)
        return middle

    first = several[0]
    forms = replace(
        first.forms,
        sentence=mean([one.forms.sentence for one in several]),
        chunk=mean([one.forms.chunk for one in several]),
    )
    projections = [one.projection for one in several if one.projection is not None]
    networks = [one.interaction.tensors() for one in several if one.interaction is not None]
    return replace(
        first,
        projection=Projection(mean([one.mean for one in projections]), mean([one.matrix for one in projections]))
        if projections
        else None,
        gate=mean([one.gate for one in several if one.gate is not None]),
        forms=forms,
        interaction=InteractionWeights.of({name: mean([one[name] for one in networks]) for name in networks[0]}),
    )


def _scorer(weights: ScorerWeights, sets: Sequence[TrainingSet]) -> TrainableScorer:
    torch.manual_seed(0)  # whatever the seed of the run: see the module
    return TrainableScorer(weights, sets[0].question_states.width)


def _loss_of(scorer: TrainableScorer, sets: Sequence[TrainingSet], top: TopLayers | None) -> float:
    """Mean sentence loss of the final scores at the scale that suits them best, sets with equal weight.

    Scores are brought to a scale after training, so how sure they are must not count against how right they are.
    """
    by_set: dict[str, list[torch.Tensor]] = {}
    with torch.no_grad():
        for batch in held_out_batches(sets, _HELD_OUT, _HELD_CANDIDATES):
            logits, judged = scorer(batch, top).sentences, batch.allowed & batch.listed
            losses = torch.stack([sentence_loss(scale * logits, batch, judged) for scale in _SCALES])
            by_set.setdefault(batch.source.name, []).append(losses)
    return float(torch.stack([torch.stack(losses).mean(0) for losses in by_set.values()]).mean(0).min())


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _optimizer(scorer: TrainableScorer, layers: nn.Module | None, rate: float) -> torch.optim.AdamW:
    groups: list[dict[str, object]] = [
        {"params": [scorer.gate], "lr": 20 * rate, "weight_decay": 0.0},
        {"params": [scorer.sentence_form, scorer.chunk_form], "lr": 100 * rate, "weight_decay": 0.0},
        {"params": [scorer.temperature], "lr": 30 * rate, "weight_decay": 0.0},
        {"params": list(scorer.interaction.parameters()), "lr": 10 * rate, "weight_decay": 0.01},
    ]
    if layers is not None:
        wide = [one for one in layers.parameters() if one.ndim > 1]
        narrow = [one for one in layers.parameters() if one.ndim == 1]  # biases and norms do not decay
        groups += [
            {"params": [scorer.mean, scorer.matrix], "lr": 2 * rate, "weight_decay": 0.0},
            {"params": wide, "lr": rate, "weight_decay": 0.01},
            {"params": narrow, "lr": rate, "weight_decay": 0.0},
        ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98))
