"""MCP over stdin and stdout: a line a message. A line that is none is answered too.

The SDK logs such a line and goes on, and whoever sent it waits for an answer until its own clock ends the call. A lone
surrogate is enough: `JSON.stringify` writes one wherever a client has cut an emoji in two.
"""

from __future__ import annotations

import json
from typing import Any

import anyio
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp.types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError
from pydantic import ValidationError

from service.jsonrpc import NO_MESSAGE, id_of


def run_over_stdio(server: Server[Any]) -> None:
    """Serve until stdin ends."""
    anyio.run(_serve, server)


async def _serve(server: Server[Any]) -> None:
    messages_in, messages = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    async with stdio_server() as (lines, replies), anyio.create_task_group() as tasks:

        async def sort_out() -> None:
            async with messages_in:
                async for line in lines:
                    if not isinstance(line, Exception):
                        await messages_in.send(line)
                    elif refusal := refusal_of(line):
                        await replies.send(SessionMessage(refusal))

        tasks.start_soon(sort_out)
        await server.run(messages, replies, server.create_initialization_options())
        tasks.cancel_scope.cancel()


def refusal_of(error: Exception) -> JSONRPCError | None:
    """The answer to a line that the SDK could not read, with the request's id where the line still shows it; None to a
    blank line.
    """
    first = error.errors()[0] if isinstance(error, ValidationError) else None
    if first is None or first["type"] != "json_invalid":
        return JSONRPCError(jsonrpc="2.0", id=None, error=ErrorData(code=INVALID_REQUEST, message=NO_MESSAGE))
    line, why = first["input"], first["ctx"]["error"]
    if not line.strip():
        return None
    said = ErrorData(code=PARSE_ERROR, message=f"This line is not JSON: {why}.")
    return JSONRPCError(jsonrpc="2.0", id=_id_in(line), error=said)


def _id_in(line: str) -> str | int | None:
    """The id in a line that Python's more lenient parser may read."""
    try:
        return id_of(json.loads(line))
    except (ValueError, RecursionError):
        return None
