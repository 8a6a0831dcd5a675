"""POST /v1/chat/completions: OpenAI's format over the documents."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import Response

from domain.answers import Answer, Usage
from service.api.conversation import read_conversation
from service.api.errors import Problem, request_id_of
from service.api.offload import Pull, pull
from service.api.replies import PROBLEMS, ChatReply
from service.api.schemas import ChatRequest
from service.api.sse import DONE, EventStream, event, guarded
from service.api.state import ApiState, json_response


def chat_routes(state: ApiState) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["chat"], responses=PROBLEMS)

    @router.post("/chat/completions", responses={200: {"model": ChatReply}})
    async def chat(body: ChatRequest, request: Request) -> Response:
        """Answer the last message from the documents.

        The first system message becomes the role, each further one a constraint, earlier messages the history.
        """
        conversation = read_conversation(body.messages)
        options: dict[str, Any] = {
            "max_tokens": body.fovea.max_tokens,
            "collection": body.fovea.collection,
            "constraints": [*conversation.constraints, *body.fovea.constraints],
            "role": conversation.role,
            "think": body.fovea.think,
            "history": conversation.history,
        }
        if body.stream:
            parts = await pull(state.questions, partial(state.engine.stream, conversation.question, **options))
            first = await parts.first()  # what fails before the first part still gets its own status
            events = _events(state, first, parts, body.include_usage)
            return EventStream(guarded(events, request_id_of(request), Problem.openai_error), parts.close)
        answer = await state.questions.run(partial(state.engine.ask, conversation.question, **options))
        state.metrics.observe_answer(answer)
        return json_response(_completion(answer))

    return router


@dataclass(frozen=True, slots=True)
class _Chunks:
    """The chunks of one streamed completion: they share an id and a time."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def delta(self, delta: Mapping[str, str], finish: str | None = None, **more: Any) -> bytes:
        return self._event([{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}], **more)

    def usage(self, usage: Usage) -> bytes:
        return self._event([], usage=_usage(usage))

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        head = {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model}
        return event({**head, "choices": choices, **more})


async def _events(
    state: ApiState, first: str | Answer, parts: Pull[str | Answer], include_usage: bool
) -> AsyncIterator[bytes]:
    chunks = _Chunks(state.engine.model)
    usage = {"usage": None} if include_usage else {}
    yield chunks.delta({"role": "assistant", "content": ""}, **usage)
    async for item in parts.after(first):
        if isinstance(item, str):
            yield chunks.delta({"content": item}, **usage)
            continue
        state.metrics.observe_answer(item)
        yield chunks.delta({}, "stop", fovea=_fovea(item), **usage)
        if include_usage:
            yield chunks.usage(item.usage)
        yield DONE


def _completion(answer: Answer) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _usage(answer.usage),
        "fovea": _fovea(answer),
    }


def _fovea(answer: Answer) -> dict[str, Any]:
    """What OpenAI's format has no place for; `answer` is the text as checked, without marks that do not exist."""
    whole = answer.to_dict()
    search = whole["search"]
    return {
        **{name: whole[name] for name in ("answer", "citations", "sentences", "removed_marks", "abstained")},
        **{name: whole[name] for name in ("degraded", "model", "timings")},
        **{name: search[name] for name in ("bill", "evidence", "dropped", "nearest", "rewrite", "context_tokens")},
    }


def _usage(usage: Usage) -> dict[str, int]:
    return {**usage.to_dict(), "total_tokens": usage.prompt_tokens + usage.completion_tokens}
