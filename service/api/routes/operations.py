"""Liveness, readiness and metrics."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from service.api.errors import NotReady, ShuttingDown
from service.api.replies import PROBLEMS
from service.api.state import ApiState, json_response
from service.observability import METRICS_MEDIA_TYPE

_TEXT = {"schema": {"type": "string"}}


def operation_routes(state: ApiState) -> APIRouter:
    router = APIRouter(tags=["operations"], responses=PROBLEMS)

    @router.get("/healthz")
    async def healthz() -> Response:
        """The process answers."""
        return json_response({"status": "ok"})

    @router.get("/readyz")
    async def readyz() -> Response:
        """The encoder is loaded, the database answers and the worker runs; 503 until then, and once the server ends."""
        if state.drain.begun:
            raise ShuttingDown("The server is shutting down.")
        if not state.ready or not state.worker.alive:
            raise NotReady("The server is starting or stopping; try again in a moment.")
        await state.records.run(state.operator.list_collections)
        return json_response({"status": "ready", "model": state.operator.model})

    @router.get("/metrics", response_class=Response, responses={200: {"content": {METRICS_MEDIA_TYPE: _TEXT}}})
    async def metrics() -> Response:
        """Prometheus' text format."""
        state.metrics.load.observe_queue("questions", state.questions.waiting)
        state.metrics.load.observe_queue("records", state.records.waiting)
        text = await state.records.run(lambda: state.metrics.render(state.operator.list_collections()))
        return Response(text, media_type=METRICS_MEDIA_TYPE)

    return router
