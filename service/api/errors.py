"""One table from error classes to HTTP statuses, and the one shape in which every failure leaves the server.

    {"type", "title", "status", "code", "detail", "request_id", "retryable"}      application/problem+json, RFC 9457

`detail` of an error that only an operator can act on is a fixed sentence: messages of the database or of a bug may
hold paths, SQL or text of documents.
"""

from __future__ import annotations

import math
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
    Overloaded,
    QuotaExceeded,
    StorageError,
    UsageError,
)

log = structlog.get_logger("fovea.api")

PROBLEM_MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_SECONDS = 2.0  # a busy or restarting server is usually back by then

# The first row whose class fits decides, so a class stands before its base.
STATUS_BY_CLASS: tuple[tuple[type[FoveaError], int], ...] = (
    (NotFound, 404),
    (ConfigurationError, 500),
    (UsageError, 422),
    (LoadError, 422),
    (IndexModelMismatch, 409),
    (StorageError, 503),
    (DataDirectoryInUse, 503),
    (Overloaded, 503),
    (QuotaExceeded, 429),
    (FetchError, 502),
    (GeneratorTimeout, 504),
    (GenerationError, 502),
    (DomainError, 500),
    (FoveaError, 500),
)

# Codes that say more than their class does.
STATUS_BY_CODE = {
    "unauthorized": 401,
    "tenant_suspended": 403,
    "forbidden": 403,
    "collection_exists": 409,
    "idempotency_in_flight": 409,
    "url_forbidden": 422,
    "too_large": 413,
    "llm_rate_limited": 503,
    "storage_full": 507,
    "overloaded": 503,
    "not_ready": 503,
    "shutting_down": 503,
}

_CODE_BY_STATUS = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
}

NO_ROUTE = "There is nothing at this path; /docs lists the routes, and /openapi.json describes them."

_OPERATOR_ONLY = (ConfigurationError, StorageError, DataDirectoryInUse, DomainError)


class NotReady(FoveaError):
    """The server is still starting, or already stopping."""

    code = "not_ready"
    retryable = True


class ShuttingDown(FoveaError):
    """The server is ending; what answers next is another process, or this one started anew."""

    code = "shutting_down"
    retryable = True
    retry_after_seconds = 5.0


@dataclass(frozen=True, slots=True)
class Problem:
    """A failure, ready to be sent."""

    status: int
    code: str
    detail: str
    retryable: bool = False
    retry_after_seconds: float | None = None

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
        body = orjson.dumps({**self.to_dict(request_id), **(self.openai_error() if openai else {})})
        return Response(body, self.status, {**self._retry_after(), **(headers or {})}, PROBLEM_MEDIA_TYPE)

    def _retry_after(self) -> dict[str, str]:
        """When to come back: to a quota that is used up (429) as to a server that is busy or ending (503)."""
        if self.status not in (429, 503) or not self.retryable:
            return {}
        seconds = _RETRY_AFTER_SECONDS if self.retry_after_seconds is None else self.retry_after_seconds
        return {"retry-after": str(max(1, math.ceil(seconds)))}


def problem_of(error: Exception) -> Problem:
    """The problem that stands for an error; an error that nobody raised on purpose becomes a bare 500."""
    if isinstance(error, HTTPException):
        code = _CODE_BY_STATUS.get(error.status_code, "http_error")
        # A 404 of this class comes from the router alone: what a route looks for in vain is a NotFound.
        return Problem(error.status_code, code, NO_ROUTE if error.status_code == 404 else str(error.detail))
    if isinstance(error, RequestValidationError):
        return Problem(422, "invalid_request", _validation_detail(error))
    if isinstance(error, FoveaError):
        detail, wait = _public_detail(error), error.retry_after_seconds
        return Problem(status_of(error), error.code, detail, error.retryable, wait)
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
