"""What the server's replies mean: results, the errors that problems stand for, and streams of events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from domain import errors
from domain.answers import Answer
from domain.errors import (
    FetchError,
    FoveaError,
    GenerationError,
    GeneratorBadResponse,
    NotFound,
    QuotaExceeded,
    UsageError,
)
from domain.retry_after import seconds_of_retry_after

_QUOTA_SECONDS = 60.0  # where a proxy has taken the header away: a minute's quota has room again by then


class ServiceError(FoveaError):
    """The server could not be reached, refused the key, or failed in a way that no other class names."""

    code = "service_unreachable"
    retryable = True

    def __init__(self, message: str, *, code: str | None = None, retryable: bool = True) -> None:
        super().__init__(message, code=code)
        self.retryable = retryable


def _error_classes(base: type[FoveaError] = FoveaError) -> dict[str, type[FoveaError]]:
    """The class for each code that is a class's own."""
    found = {base.code: base}
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            found |= _error_classes(kind)
    return found


def error_from_problem(problem: Mapping[str, Any], retry_after: float | None = None) -> FoveaError:
    """The domain error that a problem stands for: by its code, else by the family of its code or status.

    `retry_after` are the seconds that the reply's header asks for, which the error hands on.
    """
    code, status = str(problem.get("code", "")), int(problem.get("status", 500))
    error = _error_of(code, status, str(problem.get("detail", "")))
    error.retryable = bool(problem.get("retryable", error.retryable))
    if retry_after is not None:
        error.retry_after_seconds = retry_after
    return error


def _error_of(code: str, status: int, detail: str) -> FoveaError:
    kind = _error_classes().get(code) or _family(code, status)
    if kind is None:
        return ServiceError(detail, code=code or "internal_error")
    if issubclass(kind, QuotaExceeded):
        return kind(detail, code=code, retry_after_seconds=_QUOTA_SECONDS)
    return kind(detail, code=code)


def _family(code: str, status: int) -> type[FoveaError] | None:
    if code.startswith("llm_"):
        return GenerationError
    if code.startswith("url_"):
        return FetchError
    if code in ("unauthorized", "forbidden") or status == 429:
        return None
    if status == 404:
        return NotFound
    return UsageError if 400 <= status < 500 else None


def _problem_of(status: int, body: bytes) -> Mapping[str, Any]:
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if isinstance(problem, dict) and "code" in problem:
        return problem
    detail = f"The server answered {status} and not with JSON of Fovea: is the base URL right?"
    return {"code": "unexpected_reply", "status": status, "detail": detail, "retryable": status >= 500 or status == 429}


def result_of(status: int, body: bytes, retry_after: str | None = None) -> Any:
    """The JSON of a reply; None for an empty one. Raises the error that a problem stands for.

    `retry_after` is the reply's header of that name.
    """
    if not 200 <= status < 300:
        # A redirect is not followed: it would carry the key to wherever it points.
        problem = _problem_of(status, body)
        raise error_from_problem(problem, seconds_of_retry_after(retry_after))
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError as error:
        raise error_from_problem(_problem_of(status, b"")) from error


def lines_of_result(status: int, body: bytes, retry_after: str | None = None) -> list[Any]:
    """The values of a reply that has one a line. Raises the error that a problem stands for."""
    if not 200 <= status < 300:
        result_of(status, body, retry_after)
    try:
        return [json.loads(line) for line in body.split(b"\n") if line.strip()]
    except ValueError as error:
        raise error_from_problem(_problem_of(status, b"")) from error


class EventReader:
    """Bytes of an event stream in, text parts and the Answer out. `finish` raises where the Answer never came."""

    def __init__(self) -> None:
        self._pending = b""
        self._answered = False

    def feed(self, data: bytes) -> Iterator[str | Answer]:
        """The complete events among what has arrived so far. Raises the error that an error event stands for."""
        # Split on bytes: a line reader for text would also split on U+2028 and its like inside the JSON.
        *blocks, self._pending = (self._pending + data).split(b"\n\n")
        for block in blocks:
            lines = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
            if b"data" in lines:
                yield self._item(lines.get(b"event", b"").decode(), json.loads(lines[b"data"]))

    def finish(self) -> None:
        if not self._answered:
            raise GeneratorBadResponse("The connection broke off before the answer was complete.", code="llm_truncated")

    def _item(self, name: str, data: Mapping[str, Any]) -> str | Answer:
        if name == "error":
            raise error_from_problem(data)
        if name == "answer":
            self._answered = True
            return Answer.from_dict(data)
        return str(data["text"])
