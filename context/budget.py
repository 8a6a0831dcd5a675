"""One hard budget over the whole prompt, in the target model's tokens.

Tokens are not additive: a tokenizer may split the join of two texts into more tokens than the two had alone. So no
sum of parts is trusted here: a prompt is within its budget when its *rendered messages* count within it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.answers import Message
from domain.errors import ContextBudgetError, DomainError
from domain.protocols import TokenCounter

MESSAGE_OVERHEAD = 6  # role marks of one message: 3-5 tokens in the chat templates of Llama, Qwen, Gemma and OpenAI's
_RESERVE_SHARE = 4  # a reserve above a quarter of the window would leave a small model no room to read


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """`limit` tokens for prompt and answer together, of which `reserve` are kept free for the answer."""

    limit: int
    reserve: int
    counter: TokenCounter

    def __post_init__(self) -> None:
        if self.limit <= 0 or self.reserve < 0:
            raise DomainError(f"TokenBudget({self.limit}, {self.reserve}) needs limit > 0 and reserve >= 0.")

    @classmethod
    def for_model(cls, context_window: int, max_output_tokens: int, counter: TokenCounter) -> TokenBudget:
        """The budget of a model: its window, with a reserve of its longest answer, at most a quarter of the window."""
        return cls(context_window, min(max_output_tokens, context_window // _RESERVE_SHARE), counter)

    @property
    def prompt(self) -> int:
        """Tokens that the prompt may cost."""
        return self.limit - self.reserve

    def count(self, text: str) -> int:
        """Tokens of a text; an empty text costs nothing whatever the tokenizer says about it."""
        return self.counter.count(text) if text else 0

    def cost(self, messages: Sequence[Message]) -> int:
        """Tokens of rendered messages, the marks of their roles included."""
        return sum(self.count(message.content) + MESSAGE_OVERHEAD for message in messages)

    def require(self, system: int, constraints: int, question: int) -> None:
        """Raise ContextBudgetError when what may never be dropped does not fit; the message names what to shorten."""
        needed = system + constraints + question
        if needed <= self.prompt:
            return
        parts = {"the question": question, "the constraints": constraints, "the system text and role": system}
        longest = max(parts, key=lambda name: parts[name])
        raise ContextBudgetError(
            f"The prompt limit of {self.limit} tokens leaves {self.prompt} beside the {self.reserve} reserved for the "
            f"answer, but system text ({system}), constraints ({constraints}) and question ({question}) need {needed}. "
            f"Shorten {longest}, or raise the limit to at least {needed + self.reserve}."
        )
