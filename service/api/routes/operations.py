"""Liveness, readiness and metrics."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from service.api.errors import NotReady
from service.api.replies import PROBLEMS
from service.api.state import ApiState, json_response
from service.observability import METRICS_MEDIA_TYPE


def operation_routes(state: ApiState) -> APIRouter:
    router = APIRouter(tags=["operations"], responses=PROBLEMS)

    @router.get("/healthz")
    async def healthz() -> Response:
        """The process answers."""
        return json_response({"status": "ok"})

    @router.get("/readyz")
    async def readyz() -> Response:
        """The encoder is loaded, the database answers and the worker runs; 503 until then."""
        if not state.ready or not state.worker.alive:
            raise NotReady("The server is starting or stopping; try again in a moment.")
        await state.records.run(state.engine.list_collections)
        return json_response({"status": "ready", "model": state.engine.model})

    @router.get("/metrics")
    async def metrics() -> Response:
        """Prometheus' text format."""
        collections = await state.records.run(state.engine.list_collections)
        return Response(state.metrics.render(collections), media_type=METRICS_MEDIA_TYPE)

    return router
