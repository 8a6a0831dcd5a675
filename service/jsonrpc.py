"""What makes a message one of JSON-RPC 2.0, as MCP narrows it: an id is text or an integer, parameters are an object.

The SDK takes a request whose id is neither for a notification, and its sender waits for an answer in vain. What is no
message at all it answers with the internals of its parser.
"""

from __future__ import annotations

from typing import Any

NO_MESSAGE = "A message is one object of JSON-RPC 2.0; batches are not read."


def id_of(message: Any) -> str | int | None:
    """The id that an answer can carry; None where there is none."""
    found = message.get("id") if isinstance(message, dict) else None
    if isinstance(found, str):
        return found if _encodable(found) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def fault_of(message: Any) -> str | None:
    """Why a value is no message, in a sentence; None where it is one."""
    if not isinstance(message, dict):
        return NO_MESSAGE
    if message.get("jsonrpc") != "2.0":
        return 'The member `jsonrpc` must be "2.0".'
    if "method" not in message:
        answers = "result" in message or "error" in message
        return None if answers else "A message has a `method`, a `result` or an `error`."
    if not isinstance(message["method"], str):
        return "The `method` must be a string."
    if "id" in message and id_of(message) is None:
        return "The `id` must be a string or an integer; a notification has none."
    if not isinstance(message.get("params", {}), dict):
        return "The `params` must be an object."
    return None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True
