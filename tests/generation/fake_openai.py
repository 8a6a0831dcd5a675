"""What a model server says in OpenAI's format, well or badly, and a server that plays listed scripts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.generation.fault_server import RESET, FaultServer, Forever, Script, Step, fault_server

__all__ = [
    "RESET",
    "STREAM_HEAD",
    "Forever",
    "Script",
    "Step",
    "answer",
    "delta",
    "event",
    "fake_openai",
    "reply_of",
    "status",
    "streamed",
]

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def event(body: Any) -> bytes:
    return b"data: " + (body.encode() if isinstance(body, str) else json.dumps(body).encode()) + b"\n\n"


def delta(text: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "c1", "choices": [{"index": 0, "delta": {"content": text, **more}, "finish_reason": finish}]}


def answer(*parts: str, finish: str | None = "stop", done: bool = True) -> bytes:
    """The body of a well-formed stream."""
    events = [event(delta(part)) for part in parts]
    ends = [event(delta(None, finish))] if finish else []
    usage = [event({"id": "c1", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": len(parts)}})]
    return b"".join([*events, *ends, *usage, *([event("[DONE]")] if done else [])])


def status(code: int, body: str = "{}", headers: Iterable[tuple[str, str]] = ()) -> bytes:
    lines = [f"HTTP/1.1 {code} Status", "Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join([*lines, "Connection: close", "", ""]) + body).encode()


async def streamed(body: bytes, size: int = 7) -> AsyncIterator[bytes]:
    """A body in pieces of `size` bytes, so that no event arrives whole."""
    for start in range(0, len(body), size):
        yield body[start : start + size]


def reply_of(body: bytes, code: int = 200) -> httpx.Response:
    """A streamed reply for httpx's MockTransport."""
    return httpx.Response(code, headers={"content-type": "text/event-stream"}, content=streamed(body))


@contextmanager
def fake_openai(*scripts: Script) -> Iterator[FaultServer]:
    """Serve one script a connection, in order; connections beyond them are reset."""
    with fault_server(lambda number, _: scripts[number] if number < len(scripts) else [RESET]) as server:
        yield server
