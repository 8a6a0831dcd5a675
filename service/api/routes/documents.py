"""Documents: upload, list, state, text, delete."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from domain.documents import Document
from domain.errors import UsageError
from domain.jobs import NewJob
from domain.search import DEFAULT_COLLECTION
from service.api.caller import caller_of, principal_of
from service.api.forms import form_of
from service.api.idempotency import idempotency_key, replayed
from service.api.json_gate import parse_json
from service.api.replies import PROBLEMS, AcceptedList, DocumentList, DocumentStateReply, TextReply
from service.api.schemas import TextUpload, UrlUpload
from service.api.state import ApiState, json_response
from service.api.uploads import UploadedFile, Uploads

_MAX_FILES = 100  # in one request
_MAX_LISTED = 1000

Limit = Annotated[int, Query(ge=1, le=_MAX_LISTED, description="Documents a page.")]
CollectionFilter = Annotated[str | None, Query(max_length=200, description="Only of this collection.")]
Offset = Annotated[int | None, Query(ge=0, le=2**31)]

_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "collection": {"type": "string", "default": DEFAULT_COLLECTION},
                        "source": {"type": "string", "description": "Identity of a single file; its name if left out."},
                    },
                }
            },
            "application/json": {"schema": {"anyOf": [UrlUpload.model_json_schema(), TextUpload.model_json_schema()]}},
        },
    }
}


def document_routes(state: ApiState) -> APIRouter:
    router = APIRouter(prefix="/v1/documents", tags=["documents"], responses=PROBLEMS)

    async def uploads_of(request: Request) -> Uploads:
        caller = await caller_of(state, request)
        return Uploads(caller.jobs, caller.engine, state.worker.notice)

    @router.post("", status_code=202, openapi_extra=_UPLOAD_BODY, responses={202: {"model": AcceptedList}})
    async def upload(request: Request) -> Response:
        """Files (multipart), or JSON with `url` or with `text`. Answered once bytes and jobs are committed.

        All files of a request are taken, or none.

        With an `Idempotency-Key`, a request that is sent again within 24 hours has no second effect.
        """
        uploads = await uploads_of(request)
        principal = principal_of(request)
        key = idempotency_key(request)
        with state.keys_in_flight.using(principal.tenant, key):
            check_room = partial(state.tenants.check_room, principal)
            if key is None:  # else only what the request holds tells whether it is answered already
                await state.records.run(check_room)
            jobs = await _jobs_of(state, uploads, request)
            reply, earlier = await state.records.run(partial(uploads.submit, jobs, key, check_room))
        state.worker.wake()
        return json_response(reply, 202, replayed(earlier))

    @router.get("", responses={200: {"model": DocumentList}})
    async def list_documents(
        request: Request,
        collection: CollectionFilter = None,
        limit: Limit = 100,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """Stored documents by ascending id, a page at a time."""
        caller = await caller_of(state, request)
        found = await state.records.run(partial(caller.engine.list_documents, collection, limit + 1, cursor))
        page = [item.to_dict() for item in found[:limit]]
        return json_response({"documents": page, "next_cursor": page[-1]["id"] if len(found) > limit else None})

    @router.get("/{document_id}", responses={200: {"model": DocumentStateReply}})
    async def get_document(document_id: str, request: Request) -> Response:
        """One document with its state, from the moment it was accepted."""
        uploads = await uploads_of(request)
        return json_response(await state.records.run(partial(uploads.state, document_id)))

    @router.get("/{document_id}/text", responses={200: {"model": TextReply}})
    async def get_text(document_id: str, request: Request, start: Offset = None, end: Offset = None) -> Response:
        """The text that spans and citations count in, or the characters from `start` to `end` of it."""
        caller = await caller_of(state, request)
        document = await state.records.run(partial(caller.engine.document, document_id))
        return json_response(_text(document, start, end))

    @router.delete("/{document_id}", status_code=204)
    async def delete_document(document_id: str, request: Request) -> Response:
        """Delete a document; once this is answered, nothing of it is found again."""
        uploads = await uploads_of(request)
        await state.changes_of(principal_of(request).tenant).run(partial(uploads.delete, document_id))
        return Response(status_code=204)

    return router


async def _jobs_of(state: ApiState, uploads: Uploads, request: Request) -> list[NewJob]:
    """The jobs that a request asks for."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return await _accept_files(state, uploads, request)
    if media_type == "application/json":
        return [await state.records.run(partial(_accept_json, uploads, await request.body()))]
    raise HTTPException(415, "Send multipart/form-data with files, or application/json with `url` or `text`.")


async def _accept_files(state: ApiState, uploads: Uploads, request: Request) -> list[NewJob]:
    async with form_of(request, max_files=_MAX_FILES, max_fields=20) as form:
        collection = _field(form, "collection", DEFAULT_COLLECTION)
        source = _field(form, "source", "")
        files = [item for _, item in form.multi_items() if isinstance(item, UploadFile)]
        if not files:
            raise UsageError("The form holds no file: send each one as a part named `files` with a file name.")
        if source and len(files) > 1:
            raise UsageError("The form's field `source` names one document: send one file with it.")
        accepted = []
        for item in files:
            file = UploadedFile(item.filename or "", await item.read(), item.content_type)
            accepted.append(await state.records.run(partial(uploads.accept_file, file, collection, source)))
        return accepted


def _field(form: FormData, name: str, default: str) -> str:
    value = form.get(name, default)
    if not isinstance(value, str) or len(value) > 1000 or (default and not value):
        raise UsageError(f"The form's field `{name}` must be a short text.")
    return value


def _accept_json(uploads: Uploads, body: bytes) -> NewJob:
    value = parse_json(body or b"null")
    if not isinstance(value, dict) or ("url" in value) == ("text" in value):
        raise UsageError("Send either `url` or `text` (with `title`), and optionally `collection`.")
    try:
        if "url" in value:
            return uploads.accept_url(UrlUpload.model_validate(value))
        return uploads.accept_text(TextUpload.model_validate(value))
    except ValidationError as error:
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in error.errors()]) from error


def _text(document: Document, start: int | None, end: int | None) -> dict[str, Any]:
    length = len(document.text)
    first = min(start or 0, length)
    last = max(first, min(length if end is None else end, length))
    return {
        "id": document.id,
        "source": document.source,
        "title": document.title,
        "text": document.text[first:last],
        "start": first,
        "end": last,
        "characters": length,
        "pages": [
            {"number": page.number, **page.span.to_dict()}
            for page in document.pages
            if page.span.start < last and first < page.span.end
        ],
    }
