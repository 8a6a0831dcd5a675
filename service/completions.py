"""An answer in OpenAI's form: a chat completion, with a member of our own for what that form has no place for."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from domain.answers import Answer, Usage


def completion(answer: Answer) -> dict[str, Any]:
    """The whole completion of an answer."""
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason(answer), "logprobs": None}],
        "usage": completion_usage(answer.usage),
        "fovea": fovea_member(answer),
    }


def fovea_member(answer: Answer) -> dict[str, Any]:
    """What OpenAI's format has no place for; `answer` is the text as checked, without marks that do not exist."""
    whole = answer.to_dict()
    search = whole["search"]
    return {
        **{name: whole[name] for name in ("answer", "citations", "sentences", "removed_marks", "abstained")},
        **{name: whole[name] for name in ("degraded", "truncated", "filtered", "model", "timings")},
        **{name: search[name] for name in ("bill", "evidence", "dropped", "nearest", "rewrite", "context_tokens")},
    }


def finish_reason(answer: Answer) -> str:
    """OpenAI's word for how the model came to its end."""
    return "content_filter" if answer.filtered else "length" if answer.truncated else "stop"


def completion_usage(usage: Usage) -> dict[str, int]:
    return {**usage.to_dict(), "total_tokens": usage.prompt_tokens + usage.completion_tokens}
