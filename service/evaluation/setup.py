"""What an evaluation needs beyond the parts of a search, so that it fills the prompts that the engine sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from context.templates import Wordings
from domain.context import Context
from domain.protocols import TokenCounter
from domain.search import Query, ScoredChunk

Fill: TypeAlias = Callable[[Query, Sequence[ScoredChunk], Sequence[int]], Sequence[Context]]


@dataclass(frozen=True, slots=True)
class EvaluationSetup:
    """filling: gives what fills each of several ceilings of context tokens: the engine's own context builder without
    its stop rule, counting with a counter and a bound of one's own. wordings: those that prompts are written with.
    """

    filling: Callable[[TokenCounter, TokenCounter], Fill]
    wordings: Wordings
