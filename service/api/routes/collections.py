"""Collections: list, make, delete."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from domain.errors import NotFound
from service.api.caller import Caller, caller_of
from service.api.replies import PROBLEMS, CollectionList, CollectionReply
from service.api.schemas import CollectionRequest
from service.api.state import ApiState, json_response


def collection_routes(state: ApiState) -> APIRouter:
    router = APIRouter(prefix="/v1/collections", tags=["collections"], responses=PROBLEMS)

    @router.get("", responses={200: {"model": CollectionList}})
    async def list_collections(request: Request) -> Response:
        caller = await caller_of(state, request)
        found = await state.records.run(caller.engine.list_collections)
        return json_response({"collections": [item.to_dict() for item in found]})

    @router.post("", status_code=201, responses={201: {"model": CollectionReply}})
    async def create_collection(body: CollectionRequest, request: Request) -> Response:
        caller = await caller_of(state, request)
        made = await state.changes_of(caller.tenant).run(partial(caller.engine.create_collection, body.name))
        return json_response(made.to_dict(), 201)

    @router.delete("/{name}", status_code=204)
    async def delete_collection(name: str, request: Request) -> Response:
        """Delete a collection with all its documents, and what waits to be indexed into it."""
        caller = await caller_of(state, request)
        await state.changes_of(caller.tenant).run(partial(_delete, caller, name, state.worker.notice))
        return Response(status_code=204)

    return router


def _delete(caller: Caller, name: str, notice: Callable[[], None]) -> None:
    """Stop the jobs first: what one of them writes before that is deleted, and nothing is written after it."""
    stopped = 0
    if caller.principal.sees(name):
        stopped = caller.jobs.cancel_collection(name, "The collection was deleted.")
        notice()
    try:
        caller.engine.delete_collection(name)
    except NotFound:
        if not stopped:
            raise
