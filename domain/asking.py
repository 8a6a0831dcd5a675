"""What comes with a question: the conversation before it, what its answer must obey, and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str

    def to_dict(self) -> dict[str, str]:
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class Constraint:
    """Something the answer must obey, for example "Answer in one sentence."; restated where it cannot be missed."""

    text: str


@dataclass(frozen=True, slots=True)
class AskOptions:
    """How one question is to be answered.

    `max_tokens` is the ceiling on context tokens: everything between the system part and the question. It is a
    ceiling, not a target. `max_output_tokens` bounds the answer itself, below the length that the server allows.
    `role` replaces the default role text; `think` asks for step-by-step reasoning.
    """

    max_tokens: int | None = None
    constraints: tuple[Constraint, ...] = ()
    role: str | None = None
    think: bool = False
    history: tuple[Message, ...] = ()
    max_output_tokens: int | None = None
