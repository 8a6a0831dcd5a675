"""An OpenAI message list as one question with its role, constraints and history.

- The first system (or developer) message is the `role`: who answers, and how.
- Each further system message is one constraint: it is restated where it cannot be missed.
- The last message must be the user's and is the question; user and assistant messages before it are the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.asking import Message
from domain.errors import UsageError
from service.api.schemas import ChatMessage, ChatRequest


@dataclass(frozen=True, slots=True)
class Conversation:
    question: str
    role: str | None
    constraints: tuple[str, ...]
    history: tuple[Message, ...]


def read_conversation(messages: Sequence[ChatMessage]) -> Conversation:
    """Sort the messages into what the engine asks for. Raises UsageError where the last one is not a question."""
    rules = [item.text for item in messages if item.role in ("system", "developer") and item.text.strip()]
    turns = [
        Message("assistant" if item.role == "assistant" else "user", item.text)
        for item in messages
        if item.role in ("user", "assistant") and item.text.strip()
    ]
    if not turns or turns[-1].role != "user" or messages[-1].role == "assistant":
        raise UsageError("The last message must be the user's question, and hold text.", code="no_question")
    return Conversation(turns[-1].content, rules[0] if rules else None, tuple(rules[1:]), tuple(turns[:-1]))


def question_of_chat(request: ChatRequest) -> tuple[str, dict[str, Any]]:
    """The question of a chat completion request, and the engine's keyword arguments. Raises UsageError."""
    talk, fovea = read_conversation(request.messages), request.fovea
    return talk.question, {
        "max_tokens": fovea.max_tokens,
        "collection": fovea.collection,
        "constraints": [*talk.constraints, *fovea.constraints],
        "role": talk.role,
        "think": fovea.think,
        "history": talk.history,
        "max_output_tokens": request.max_output_tokens,
    }
