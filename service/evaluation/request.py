"""What an evaluation is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from domain.errors import UsageError

DEFAULT_BUDGETS = (64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536)  # half an octave each: finer than intervals are


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """budgets: ceilings of context tokens at which recall is measured, ascending and without repeats. baselines:
    whether to run other methods beside ours.

    min_recall, max_context_tokens: limits on the operating point. price: US dollars per million prompt tokens. limit:
    ask at most so many questions, drawn with `seed`.
    """

    budgets: tuple[int, ...] = DEFAULT_BUDGETS
    baselines: bool = False
    min_recall: float | None = None
    max_context_tokens: float | None = None
    price: float | None = None
    limit: int | None = None
    seed: int = 0

    def check(self) -> None:
        """Raise UsageError for values that make no sense."""
        if not self.budgets or min(self.budgets) < 1 or list(self.budgets) != sorted(set(self.budgets)):
            raise UsageError(
                f"The budgets are {', '.join(map(str, self.budgets)) or 'empty'}; give token counts of at least 1 in "
                "ascending order, each once, for example 64,128,256."
            )
        if self.min_recall is not None and not 0 <= self.min_recall <= 1:
            raise UsageError(f"min_recall is {self.min_recall:g}; recall is a share between 0 and 1.")
        for name in ("max_context_tokens", "price"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise UsageError(f"{name} is {value:g}; it must not be below 0.")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit is {self.limit}; at least 1 question must be asked.")
