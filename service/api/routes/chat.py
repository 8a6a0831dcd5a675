"""POST /v1/chat/completions: OpenAI's format over the documents."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import Response

from domain.answers import Answer, Usage
from service.api.caller import caller_of
from service.api.conversation import question_of_chat
from service.api.disconnect import while_connected
from service.api.errors import Problem, request_id_of
from service.api.offload import Pull, pull
from service.api.replies import EVENTS, PROBLEMS, ChatReply
from service.api.schemas import ChatRequest
from service.api.sse import DONE, EventStream, event, guarded
from service.api.state import ApiState, json_response
from service.completions import completion, completion_usage, finish_reason, fovea_member


def chat_routes(state: ApiState) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["chat"], responses=PROBLEMS)

    @router.post("/chat/completions", responses={200: {"model": ChatReply, "content": EVENTS}})
    async def chat(body: ChatRequest, request: Request) -> Response:
        """Answer the last message from the documents.

        The first system message becomes the role, each further one a constraint, earlier messages the history.
        """
        question, options = question_of_chat(body)
        caller = await caller_of(state, request)
        start = partial(caller.engine.stream, question, **options)
        if body.stream:
            return await while_connected(request, _streamed(state, start, body.include_usage, request_id_of(request)))
        return await while_connected(request, _whole(state, start))

    return router


async def _whole(state: ApiState, start: Callable[[], Iterator[str | Answer]]) -> Response:
    parts = await pull(state.questions, start)
    answer = await parts.last()
    assert isinstance(answer, Answer)  # the last item of a stream
    state.metrics.observe_answer(answer)
    return json_response(completion(answer))


async def _streamed(
    state: ApiState, start: Callable[[], Iterator[str | Answer]], include_usage: bool, request_id: str
) -> Response:
    parts = await pull(state.questions, start)
    first = await parts.first()  # what fails before the first part still gets its own status
    events = _events(state, first, parts, include_usage)
    return EventStream(guarded(events, request_id, Problem.openai_error), parts.close)


@dataclass(frozen=True, slots=True)
class _Chunks:
    """The chunks of one streamed completion: they share an id and a time."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def delta(self, delta: Mapping[str, str], finish: str | None = None, **more: Any) -> bytes:
        return self._event([{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}], **more)

    def usage(self, usage: Usage) -> bytes:
        return self._event([], usage=completion_usage(usage))

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        head = {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model}
        return event({**head, "choices": choices, **more})


async def _events(
    state: ApiState, first: str | Answer, parts: Pull[str | Answer], include_usage: bool
) -> AsyncIterator[bytes]:
    chunks = _Chunks(state.operator.model)
    usage = {"usage": None} if include_usage else {}
    yield chunks.delta({"role": "assistant", "content": ""}, **usage)
    async for item in parts.after(first):
        if isinstance(item, str):
            yield chunks.delta({"content": item}, **usage)
            continue
        state.metrics.observe_answer(item)
        yield chunks.delta({}, finish_reason(item), fovea=fovea_member(item), **usage)
        if include_usage:
            yield chunks.usage(item.usage)
        yield DONE
