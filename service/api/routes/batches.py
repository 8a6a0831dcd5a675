"""Batches: many questions as one durable job, their results one by one."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from domain.batches import NewBatch
from domain.errors import UsageError
from service.api.batches import FILE_TYPES, Batches, BatchFile
from service.api.caller import caller_of
from service.api.forms import form_of
from service.api.idempotency import idempotency_key, replayed
from service.api.json_gate import parse_json
from service.api.replies import PROBLEMS, BatchAccepted, BatchList, BatchReply
from service.api.schemas import BatchOptions, BatchRequest
from service.api.state import ApiState, json_response
from service.batches.results import csv_results, jsonl_results

_JSONL, _CSV = "application/jsonl", "text/csv; charset=utf-8"
_MAX_LISTED = 1000
_LISTS = ("constraints", "document_ids")  # fields that may be sent more than once

Format = Annotated[Literal["jsonl", "csv"] | None, Query(description="As the `Accept` header asks, where left out.")]

_FORM = BatchOptions.model_json_schema()["properties"]
_FILE_SCHEMA = {"schema": {"type": "string", "format": "binary"}}
_BATCH_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": BatchRequest.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}, **_FORM},
                }
            },
            "application/jsonl": _FILE_SCHEMA,
            "text/csv": _FILE_SCHEMA,
        },
    }
}
_RESULTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A line or row for each question that has a result, in order.",
        "content": {"application/jsonl": _FILE_SCHEMA, "text/csv": _FILE_SCHEMA},
    }
}


def batch_routes(state: ApiState) -> APIRouter:
    router = APIRouter(prefix="/v1/batches", tags=["batches"], responses=PROBLEMS)

    async def batches_of(request: Request) -> Batches:
        caller = await caller_of(state, request)
        return Batches(caller.batches, caller.engine)

    @router.post("", status_code=202, openapi_extra=_BATCH_BODY, responses={202: {"model": BatchAccepted}})
    async def create(request: Request) -> Response:
        """Questions as JSON, or a JSONL or CSV file of them (as the body, or as the part `file` of a form), or a batch
        file in OpenAI's form. Answered once all of it is committed.

        With a file as the body, the options go into the query. With an `Idempotency-Key`, a request that is sent again
        within 24 hours has no second effect.
        """
        caller = await caller_of(state, request)
        batches, key = Batches(caller.batches, caller.engine), idempotency_key(request)
        with state.keys_in_flight.using(caller.tenant, key):
            batch = await _read(state, batches, request)
            reply, earlier = await state.records.run(partial(batches.create, batch, key))
        state.worker.wake()
        return json_response(reply, 202, {"location": f"/v1/batches/{reply['id']}", **replayed(earlier)})

    @router.get("", responses={200: {"model": BatchList}})
    async def list_batches(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=_MAX_LISTED, description="Batches a page.")] = 100,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """Batches, the newest first, a page at a time."""
        batches = await batches_of(request)
        page, following = await state.records.run(partial(batches.page, limit, cursor))
        return json_response({"batches": [info.to_dict() for info in page], "next_cursor": following})

    @router.get("/{batch_id}", responses={200: {"model": BatchReply}})
    async def get_batch(batch_id: str, request: Request) -> Response:
        """How far a batch is, and what it has cost."""
        batches = await batches_of(request)
        return json_response((await state.records.run(partial(batches.info, batch_id))).to_dict())

    @router.get("/{batch_id}/results", responses=_RESULTS)
    async def get_results(batch_id: str, request: Request, format: Format = None) -> Response:
        """The results so far: JSONL in the form in which the batch came, or CSV."""
        batches = await batches_of(request)
        info = await state.records.run(partial(batches.info, batch_id))
        as_csv = format == "csv" or (format is None and "text/csv" in request.headers.get("accept", ""))
        write, media_type = (csv_results, _CSV) if as_csv else (jsonl_results, _JSONL)
        name = f'attachment; filename="{info.id}.{"csv" if as_csv else "jsonl"}"'
        lines = write(info, batches.results(info.id))
        return StreamingResponse(lines, media_type=media_type, headers={"content-disposition": name})

    @router.delete("/{batch_id}", responses={200: {"model": BatchReply}, 204: {"description": "It is forgotten."}})
    async def cancel(
        batch_id: str,
        request: Request,
        forget: Annotated[bool, Query(description="Delete the batch too, with its questions and results.")] = False,
    ) -> Response:
        """Stop a batch; what it has answered stays. Nothing more is asked once this is answered."""
        batches = await batches_of(request)
        if forget:
            await state.records.run(partial(batches.remove, batch_id))
            state.worker.notice()
            return Response(status_code=204)
        info = await state.records.run(partial(batches.cancel, batch_id))
        state.worker.notice()
        return json_response(info.to_dict())

    return router


async def _read(state: ApiState, batches: Batches, request: Request) -> NewBatch:
    """The batch that a request asks for."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        return await state.records.run(partial(_of_json, batches, await request.body()))
    if media_type == "multipart/form-data":
        file, fields = await _form(request)
    elif media_type in FILE_TYPES:
        file, fields = BatchFile("", media_type, await request.body()), _fields(request.query_params.multi_items())
    else:
        wanted = "application/json, application/jsonl, text/csv or multipart/form-data"
        raise HTTPException(415, f"Send the questions as {wanted}.")
    return await state.records.run(partial(_of_file, batches, file, fields))


def _of_json(batches: Batches, body: bytes) -> NewBatch:
    return batches.of_json(_validated(BatchRequest, parse_json(body or b"null"), "body"))


def _of_file(batches: Batches, file: BatchFile, fields: dict[str, Any]) -> NewBatch:
    return batches.of_file(file, _validated(BatchOptions, fields, "form"))


async def _form(request: Request) -> tuple[BatchFile, dict[str, Any]]:
    async with form_of(request, max_files=1, max_fields=100) as form:
        items = form.multi_items()
        files = [item for name, item in items if isinstance(item, UploadFile) and name == "file"]
        if len(files) != 1:
            raise UsageError("The form holds no file: send it as the part named `file`.")
        file = BatchFile(files[0].filename or "", files[0].content_type or "", await files[0].read())
        return file, _fields([(name, item) for name, item in items if isinstance(item, str)])


def _fields(items: list[tuple[str, str]]) -> dict[str, Any]:
    """Fields by name, lists for those that may come more than once; `metadata` is JSON. Raises UsageError."""
    fields: dict[str, Any] = {}
    for name, value in items:
        if name in _LISTS:
            fields.setdefault(name, []).append(value)
        elif name in fields:
            raise UsageError(f"The field `{name[:100]}` was sent twice; which one is meant cannot be known.")
        elif name == "metadata":
            fields[name] = parse_json(value.encode("utf-8", "replace"))
        else:
            fields[name] = value
    return fields


def _validated(model: type[Any], value: Any, place: str) -> Any:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        if any(not item["loc"] for item in error.errors()) and isinstance(value, dict):  # about all of it together
            raise UsageError("; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())) from None
        raise RequestValidationError([{**item, "loc": (place, *item["loc"])} for item in error.errors()]) from error
