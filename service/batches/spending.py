"""A ceiling of tokens over many questions, some of which are being asked at the same time.

What a question costs is known when it is answered. The first one is therefore asked alone, and each further one only
where the ceiling has room for it and for those under way, at the price of the dearest so far. The ceiling is passed by
at most the question that reaches it, as long as no later one is dearer than all before it.
"""

from __future__ import annotations

from domain.jobs import ErrorInfo

CEILING_CODE = "token_ceiling"


class Spending:
    """Tokens spent so far, prompt and answer, and whether there is room for more questions."""

    def __init__(self, ceiling: int | None, spent: int = 0, dearest: int = 0) -> None:
        self.ceiling, self.spent, self._dearest = ceiling, spent, dearest

    def add(self, tokens: int) -> None:
        self.spent += tokens
        self._dearest = max(self._dearest, tokens)

    @property
    def exhausted(self) -> bool:
        return self.ceiling is not None and self.spent >= self.ceiling

    def room(self, under_way: int, most: int) -> int:
        """How many more questions may be asked now, `under_way` being asked; at most `most`."""
        if self.ceiling is None:
            return most
        if self.exhausted:
            return 0
        alone = 0 if under_way else 1
        if not self._dearest:  # nothing is known of prices
            return min(alone, most)
        return min(max((self.ceiling - self.spent) // self._dearest - under_way, alone), most)

    @property
    def error(self) -> ErrorInfo:
        """What the questions beyond the ceiling end with."""
        return ErrorInfo(
            CEILING_CODE,
            f"The batch has used {self.spent:,} tokens and its ceiling is {self.ceiling:,}; this question was not "
            "asked.",
        )
