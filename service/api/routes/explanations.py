"""POST /v1/explain."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.api.caller import caller_of
from service.api.replies import PROBLEMS, ExplanationReply
from service.api.schemas import ExplainRequest
from service.api.state import ApiState, json_response


def explanation_routes(state: ApiState) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["questions"], responses=PROBLEMS)

    @router.post("/explain", responses={200: {"model": ExplanationReply}})
    async def explain(body: ExplainRequest, request: Request) -> Response:
        """Where a question's attention went in one document: by sentence, token and head."""
        caller = await caller_of(state, request)
        found = await state.questions.run(partial(caller.engine.explain, body.question, **body.options()))
        return json_response(found.to_dict())

    return router
