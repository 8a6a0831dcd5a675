"""GET /v1/models, as OpenAI's clients ask for it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from domain.errors import NotFound
from service.api.replies import PROBLEMS
from service.api.state import ApiState, json_response

_NAME = "fovea"
_CREATED = 1_767_225_600  # 2026-01-01: the field is required and means nothing here


def model_routes(state: ApiState) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["chat"], responses=PROBLEMS)

    def models() -> list[dict[str, Any]]:
        names = dict.fromkeys((_NAME, state.operator.model))
        return [{"id": name, "object": "model", "created": _CREATED, "owned_by": _NAME} for name in names]

    @router.get("/models")
    async def list_models() -> Response:
        """The names under which this server answers: its own and that of the model behind it."""
        return json_response({"object": "list", "data": models()})

    @router.get("/models/{name:path}")
    async def get_model(name: str) -> Response:
        found = next((item for item in models() if item["id"] == name), None)
        if found is None:
            raise NotFound(f"There is no model {name!r}; GET /v1/models lists them.")
        return json_response(found)

    return router
