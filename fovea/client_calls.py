"""What a client does on the wire, as values: calls, pauses, and plans that ask for them."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar, cast

from domain.errors import FoveaError, GenerationError
from service.patience import Patience

T = TypeVar("T")

_WITHOUT_SECOND_EFFECT = ("/v1/search", "/v1/ask", "/v1/explain", "/v1/documents")
# Refused before anything was done, so that even what must not happen twice may be asked again.
_AT_THE_DOOR = ("overloaded", "quota_exceeded", "not_ready")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way up; it is read when its turn comes."""

    name: str
    source: str
    read: Callable[[], bytes]
    media_type: str | None = None

    def part(self) -> tuple[str, bytes, str]:
        guessed = self.media_type or mimetypes.guess_type(self.name)[0] or "application/octet-stream"
        return self.name, self.read(), guessed


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request."""

    method: str
    path: str
    json: Any = None
    params: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    upload: Upload | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    lines: bool = False  # the reply is one JSON value a line

    @property
    def repeatable(self) -> bool:
        """True where a second one has no effect beyond the first: reads, questions, uploads (a document's id is made
        of its source), and what carries an idempotency key.
        """
        return self.method == "GET" or self.path in _WITHOUT_SECOND_EFFECT or "idempotency-key" in self.headers

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for httpx."""
        arguments: dict[str, Any] = {"method": self.method, "url": self.path}
        if self.headers:
            arguments["headers"] = dict(self.headers)
        if self.params:
            arguments["params"] = {name: value for name, value in self.params.items() if value is not None}
        if self.upload is not None:
            arguments["files"] = {"files": self.upload.part()}
            arguments["data"] = {**self.data, "source": self.upload.source}
        elif self.json is not None:
            arguments["json"] = self.json
        return arguments


@dataclass(frozen=True, slots=True)
class Pause:
    """A wait between two looks at a job."""

    seconds: float


Plan = Generator[Call | Pause, Any, T]


def patiently(plan: Plan[T], patience: Patience) -> Plan[T]:
    """The plan, with each call made again that the server has put off to later (429, 503), where that is safe."""
    step: Callable[[], Call | Pause] = partial(next, plan)
    while True:
        try:
            wanted = step()
        except StopIteration as end:
            return cast("T", end.value)
        try:
            step = partial(plan.send, (yield from _until_taken(wanted, patience)))
        except Exception as error:
            step = partial(plan.throw, error)


def _until_taken(wanted: Call | Pause, patience: Patience) -> Generator[Call | Pause, Any, Any]:
    while True:
        try:
            reply = yield wanted
        except FoveaError as error:
            wait = patience.wait_for(error) if isinstance(wanted, Call) and may_be_repeated(wanted, error) else None
            if wait is None:
                raise
        else:
            patience.answered()
            return reply
        yield Pause(wait)


def may_be_repeated(call: Call, error: FoveaError) -> bool:
    """True where asking again cannot do anything twice; the server has asked its own model often enough already."""
    return (call.repeatable or error.code in _AT_THE_DOOR) and not isinstance(error, GenerationError)


class Walk(Generic[T]):
    """A plan on its way: it waits for `wanted`, and once that is None, `result` is there."""

    result: T

    def __init__(self, plan: Plan[T]) -> None:
        self._plan = plan
        self.wanted: Call | Pause | None = None
        self._advance(lambda: next(plan))

    def reply(self, value: Any) -> None:
        """Hand over what `wanted` brought."""
        self._advance(lambda: self._plan.send(value))

    def fail(self, error: Exception) -> None:
        """Raise the error inside the plan, at the place that made the call."""
        self._advance(lambda: self._plan.throw(error))

    def _advance(self, step: Callable[[], Call | Pause]) -> None:
        try:
            self.wanted = step()
        except StopIteration as end:
            self.wanted, self.result = None, end.value
