"""What an evaluation needs beyond the parts of a search, so that it fills the prompts that the engine sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from context.templates import Wordings
from domain.protocols import ContextBuilder, TokenCounter


@dataclass(frozen=True, slots=True)
class EvaluationSetup:
    """filling: the engine's own context builder without its stop rule, counting with a counter and a bound of one's
    own. wordings: those that prompts are written with.
    """

    filling: Callable[[TokenCounter, TokenCounter], ContextBuilder]
    wordings: Wordings
