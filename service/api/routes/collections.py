"""Collections: list, make, delete."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter
from starlette.responses import Response

from service.api.replies import PROBLEMS, CollectionList, CollectionReply
from service.api.schemas import CollectionRequest
from service.api.state import ApiState, json_response


def collection_routes(state: ApiState) -> APIRouter:
    router = APIRouter(prefix="/v1/collections", tags=["collections"], responses=PROBLEMS)

    @router.get("", responses={200: {"model": CollectionList}})
    async def list_collections() -> Response:
        found = await state.records.run(state.engine.list_collections)
        return json_response({"collections": [item.to_dict() for item in found]})

    @router.post("", status_code=201, responses={201: {"model": CollectionReply}})
    async def create_collection(body: CollectionRequest) -> Response:
        made = await state.records.run(partial(state.engine.create_collection, body.name))
        return json_response(made.to_dict(), 201)

    @router.delete("/{name}", status_code=204)
    async def delete_collection(name: str) -> Response:
        """Delete a collection with all its documents."""
        await state.records.run(partial(state.engine.delete_collection, name))
        return Response(status_code=204)

    return router
