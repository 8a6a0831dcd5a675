"""One hard budget over the whole prompt, in the target model's tokens.

Tokens are not additive: a tokenizer may split the join of two texts into more tokens than the two had alone. So no
sum of parts is trusted here: a prompt is within its budget when its *rendered messages* count within it.

Two counts are kept apart. `counter` is the best estimate there is: it prices the parts, and the bill is written in it.
`bound` is never less than what the model itself will count, and it alone decides what fits the window. Where the
model's own tokenizer counts, both are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.asking import Message
from domain.errors import ContextBudgetError, DomainError
from domain.protocols import TokenCounter

MESSAGE_OVERHEAD = 6  # role marks of one message: 3-5 tokens in the chat templates of Llama, Qwen, Gemma and OpenAI's
REPLY_OVERHEAD = 6  # the mark that opens a prompt and the header that opens the answer: 5 tokens in Llama 3, 3 in Qwen
_RESERVE_SHARE = 4  # a reserve above a quarter of the window would leave a small model no room to read


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """`limit` tokens for prompt and answer together, of which `reserve` are kept free for the answer."""

    limit: int
    reserve: int
    counter: TokenCounter
    bound: TokenCounter | None = None  # None: the counter is the model's own

    def __post_init__(self) -> None:
        if self.limit <= 0 or self.reserve < 0:
            raise DomainError(f"TokenBudget({self.limit}, {self.reserve}) needs limit > 0 and reserve >= 0.")

    @classmethod
    def for_model(
        cls, context_window: int, max_output_tokens: int, counter: TokenCounter, bound: TokenCounter | None = None
    ) -> TokenBudget:
        """The budget of a model: its window, with a reserve of its longest answer, at most a quarter of the window."""
        return cls(context_window, min(max_output_tokens, context_window // _RESERVE_SHARE), counter, bound)

    @property
    def prompt(self) -> int:
        """Tokens that the prompt may cost."""
        return self.limit - self.reserve

    def count(self, text: str) -> int:
        """Tokens of a text; an empty text costs nothing whatever the tokenizer says about it."""
        return self.counter.count(text) if text else 0

    def most(self, messages: Sequence[Message]) -> int:
        """The most tokens that the model can count in these messages, its chat template included."""
        counted = prompt_tokens(messages, self.count)
        return counted if self.bound is None else max(counted, prompt_tokens(messages, self.bound.count))

    def require(self, messages: Sequence[Message], system: int, constraints: int, question: int) -> None:
        """Raise ContextBudgetError when what may never be dropped does not fit; the message names what to shorten.

        `messages` hold nothing but that; the numbers are its parts.
        """
        needed = max(self.most(messages), system + constraints + question)
        if needed <= self.prompt:
            return
        parts = {"the question": question, "the constraints": constraints, "the system text and role": system}
        longest = max(parts, key=lambda name: parts[name])
        raise ContextBudgetError(
            f"The prompt limit of {self.limit} tokens leaves {self.prompt} beside the {self.reserve} reserved for the "
            f"answer, but system text ({system}), constraints ({constraints}) and question ({question}), with "
            f"{needed - system - constraints - question} tokens to be safe, need {needed}. "
            f"Shorten {longest}, or raise the limit to at least {needed + self.reserve}."
        )


def prompt_tokens(messages: Sequence[Message], count: Callable[[str], int]) -> int:
    """Tokens of a whole prompt: what its messages say, by `count`, and what a chat template puts around them."""
    return sum(count(message.content) for message in messages) + template_tokens(messages)


def template_tokens(messages: Sequence[Message]) -> int:
    """The most tokens that a chat template puts around and between these messages."""
    return MESSAGE_OVERHEAD * len(messages) + REPLY_OVERHEAD
