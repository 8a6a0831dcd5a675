"""What one JSON object of an OpenAI-compatible reply says, read without trusting it.

Servers differ: null contents, chunks without choices that carry only the usage, reasoning beside the content, whole
replies where a stream was asked for. Everything that is not text of the first choice is ignored; what is not such an
object at all is a bad response.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from domain.answers import Usage
from domain.errors import GenerationError, GeneratorBadResponse

_MOST_TOKENS = 10**9  # beyond any model's window: a count that is none, and that no database holds
_REASONING = ("reasoning_content", "reasoning")  # DeepSeek, vLLM / Ollama, OpenRouter


@dataclass(frozen=True, slots=True)
class ChatChunk:
    """`text` to show; `alive` when the model produced anything at all, also reasoning that is not shown."""

    text: str = ""
    alive: bool = False
    finish_reason: str | None = None
    usage: Usage | None = None


def parse_chunk(data: str) -> ChatChunk:
    """Read one event of a stream, or a whole reply. Raises GenerationError when it is none, or an error object."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise GeneratorBadResponse(
            "The language model server sent a reply that is not JSON; check that base_url is its API address."
        ) from None
    if not isinstance(body, dict):
        raise GeneratorBadResponse("The language model server sent JSON that is not a chat completion.")
    if body.get("error"):
        raise GenerationError("The language model server reported an error while answering; its log says more.")
    choice = _first_choice(body)
    message = _object(choice.get("delta")) or _object(choice.get("message"))
    text = message.get("content")
    reason = choice.get("finish_reason")
    return ChatChunk(
        text=text if isinstance(text, str) else _joined(text),
        alive=bool(text) or any(message.get(name) for name in _REASONING),
        finish_reason=reason if isinstance(reason, str) else None,
        usage=_usage(body.get("usage")),
    )


def _first_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The choice of index 0; an empty one where the chunk has none, as the chunk with the usage does."""
    choices = body.get("choices")
    if choices is None and "usage" not in body and "id" not in body:
        raise GeneratorBadResponse("The language model server sent JSON that is not a chat completion.")
    found = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    return next((choice for choice in found if choice.get("index", 0) in (0, None)), {})


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _joined(content: Any) -> str:
    """The text of content given as a list of parts, the other form that the API knows; empty for anything else."""
    if not isinstance(content, list):
        return ""
    return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))


def _usage(value: Any) -> Usage | None:
    """What the server counted. A prompt of no tokens is none, and nothing at all is believed that is no number."""
    prompt, completion = (_object(value).get(name) for name in ("prompt_tokens", "completion_tokens"))
    if not (_is_count(prompt, least=1) and _is_count(completion, least=0)):
        return None
    return Usage(prompt_tokens=prompt, completion_tokens=completion)


def _is_count(value: Any, least: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= _MOST_TOKENS
