"""What training needs beyond the parts of a search: the wiring, and what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from context.selection_policy import SelectionPolicy
from domain.errors import UsageError
from domain.protocols import ContextBuilder, TokenCodec

if TYPE_CHECKING:
    from attention_core.scorer import ScorerWeights
    from retrieval.embedders.split import SplitEncoder


@dataclass(frozen=True, slots=True)
class TrainingSetup:
    """encoder: its short name. weights, codec: those in use, weights None where the encoder has none.

    split: the encoder cut below its last n layers, for training. builder: a context builder with a selection policy.
    """

    encoder: str
    weights: ScorerWeights | None
    codec: TokenCodec
    data_dir: Path
    split: Callable[[int], SplitEncoder]
    builder: Callable[[SelectionPolicy], ContextBuilder]


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """How to train; see `fovea train --help`. `self_supervised` is the number of questions made of each collection.

    steps None: as many as suit what learns. command: what to write into the manifest as the way to these weights.
    """

    adapt: bool = False
    layers: int = 3
    steps: int | None = None
    seeds: int = 1
    seed: int = 0
    self_supervised: int = 0
    output: Path | None = None
    dry_run: bool = False
    command: str = ""

    def check(self) -> None:
        """Raise UsageError for numbers that make no sense."""
        for name, least in (("layers", 1), ("steps", 0), ("seeds", 1), ("self_supervised", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} is {value}; it must be at least {least}.")
