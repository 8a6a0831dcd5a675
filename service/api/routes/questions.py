"""POST /v1/search and POST /v1/ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from domain.answers import Answer
from service.api.caller import Caller, caller_of
from service.api.disconnect import while_connected
from service.api.errors import request_id_of
from service.api.offload import Pull, pull
from service.api.replies import EVENTS, PROBLEMS, AnswerReply, SearchReply
from service.api.schemas import AskRequest, SearchRequest
from service.api.sse import EventStream, event, guarded
from service.api.state import ApiState, json_response


def question_routes(state: ApiState) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["questions"], responses=PROBLEMS)

    @router.post("/search", responses={200: {"model": SearchReply}})
    async def search(body: SearchRequest, request: Request) -> Response:
        """Evidence for a question; nothing is generated."""
        caller = await caller_of(state, request)
        found = await state.questions.run(partial(caller.engine.search, body.question, **body.options()))
        state.metrics.observe_search(found)
        return json_response(found.to_dict())

    @router.post("/ask", responses={200: {"model": AnswerReply, "content": EVENTS}})
    async def ask(body: AskRequest, request: Request) -> Response:
        """One answer with verified citations; with `stream`, events `text`, then one `answer`."""
        caller = await caller_of(state, request)
        if body.stream:
            return await while_connected(request, _stream(state, caller, body, request_id_of(request)))
        return await while_connected(request, _whole(state, caller, body))

    return router


async def _whole(state: ApiState, caller: Caller, body: AskRequest) -> Response:
    parts = await pull(state.questions, partial(caller.engine.stream, body.question, **body.options()))
    answer = await parts.last()
    assert isinstance(answer, Answer)  # the last item of a stream
    state.metrics.observe_answer(answer)
    return json_response(answer.to_dict())


async def _stream(state: ApiState, caller: Caller, body: AskRequest, request_id: str) -> Response:
    parts = await pull(state.questions, partial(caller.engine.stream, body.question, **body.options()))
    first = await parts.first()  # what fails before the first part still gets its own status
    return EventStream(guarded(_events(state, first, parts), request_id), parts.close)


async def _events(state: ApiState, first: str | Answer, parts: Pull[str | Answer]) -> AsyncIterator[bytes]:
    async for item in parts.after(first):
        if isinstance(item, Answer):
            state.metrics.observe_answer(item)
            yield event(item.to_dict(), "answer")
        else:
            yield event({"text": item}, "text")
