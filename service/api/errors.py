"""One table from error classes to HTTP statuses, and the one shape in which every failure leaves the server.

    {"type", "title", "status", "code", "detail", "request_id", "retryable"}      application/problem+json, RFC 9457

`detail` of an error that only an operator can act on is a fixed sentence: messages of the database or of a bug may
hold paths, SQL or text of documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from domain.errors import (
    ConfigurationError,
    DataDirectoryInUse,
    DomainError,
    FetchError,
    FoveaError,
    GenerationError,
    GeneratorTimeout,
    IndexModelMismatch,
    LoadError,
    NotFound,
    StorageError,
    UsageError,
)

log = structlog.get_logger("fovea.api")

PROBLEM_MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_SECONDS = 2  # a busy or restarting server is usually back by then

# The first row whose class fits decides, so a class stands before its base.
STATUS_BY_CLASS: tuple[tuple[type[FoveaError], int], ...] = (
    (NotFound, 404),
    (ConfigurationError, 500),
    (UsageError, 422),
    (LoadError, 422),
    (IndexModelMismatch, 409),
    (StorageError, 503),
    (DataDirectoryInUse, 503),
    (FetchError, 502),
    (GeneratorTimeout, 504),
    (GenerationError, 502),
    (DomainError, 500),
    (FoveaError, 500),
)

# Codes that say more than their class does.
STATUS_BY_CODE = {
    "collection_exists": 409,
    "document_busy": 409,
    "url_forbidden": 422,
    "too_large": 413,
    "llm_rate_limited": 503,
    "storage_full": 507,
    "overloaded": 503,
    "not_ready": 503,
}

_CODE_BY_STATUS = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
}

_OPERATOR_ONLY = (ConfigurationError, StorageError, DataDirectoryInUse, DomainError)


class Overloaded(FoveaError):
    """All places for questions are taken and the queue for them is full."""

    code = "overloaded"
    retryable = True


class Busy(UsageError):
    """The document is being indexed at this moment."""

    code = "document_busy"
    retryable = True


class NotReady(FoveaError):
    """The server is still starting, or already stopping."""

    code = "not_ready"
    retryable = True


@dataclass(frozen=True, slots=True)
class Problem:
    """A failure, ready to be sent."""

    status: int
    code: str
    detail: str
    retryable: bool = False

    def to_dict(self, request_id: str) -> dict[str, Any]:
        return {
            "type": f"urn:fovea:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "request_id": request_id,
            "retryable": self.retryable,
        }

    def openai_error(self) -> dict[str, Any]:
        """The member in which OpenAI's client libraries look for the reason of a failure."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": self.detail, "type": kind, "code": self.code, "param": None}}

    def response(self, request_id: str, headers: dict[str, str] | None = None, openai: bool = False) -> Response:
        retry = {"retry-after": str(_RETRY_AFTER_SECONDS)} if self.status == 503 and self.retryable else {}
        body = orjson.dumps({**self.to_dict(request_id), **(self.openai_error() if openai else {})})
        return Response(body, self.status, {**retry, **(headers or {})}, PROBLEM_MEDIA_TYPE)


def problem_of(error: Exception) -> Problem:
    """The problem that stands for an error; an error that nobody raised on purpose becomes a bare 500."""
    if isinstance(error, HTTPException):
        code = _CODE_BY_STATUS.get(error.status_code, "http_error")
        return Problem(error.status_code, code, str(error.detail))
    if isinstance(error, RequestValidationError):
        return Problem(422, "invalid_request", _validation_detail(error))
    if isinstance(error, FoveaError):
        return Problem(status_of(error), error.code, _public_detail(error), error.retryable)
    return Problem(500, "internal_error", "Something went wrong on the server; its log has the details.")


def status_of(error: FoveaError) -> int:
    """The status of an error: by its code where the code says more, else by its class."""
    if error.code in STATUS_BY_CODE:
        return STATUS_BY_CODE[error.code]
    return next(status for kind, status in STATUS_BY_CLASS if isinstance(error, kind))


def request_id_of(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


def install_error_handlers(app: FastAPI) -> None:
    """Make every failure inside `app` leave as a problem: ours, validation, unknown routes and methods."""
    for kind in (FoveaError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem.status >= 500:
        log.warning("request_failed", code=problem.code, status=problem.status, reason=str(error))
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    return problem.response(request_id_of(request), headers, openai=request.url.path.startswith("/v1/chat/"))


def _public_detail(error: FoveaError) -> str:
    if isinstance(error, StorageError | DataDirectoryInUse):
        return "The database cannot be used at the moment; the server's log has the details."
    if isinstance(error, _OPERATOR_ONLY):
        return "The server is set up wrongly or met a value that cannot exist; its log has the details."
    return error.message


def _validation_detail(error: RequestValidationError) -> str:
    """Every wrong field with its place. Input is not echoed: it may be long, secret or not encodable."""
    if [item["loc"] for item in error.errors()] == [("body",)]:
        return "body: a JSON object is wanted, sent with `Content-Type: application/json`."
    parts = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()[:10]]
    return "; ".join(parts).encode("utf-8", "replace").decode()[:2000]
