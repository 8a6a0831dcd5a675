"""What a server does not know of the request, learned from its refusals, so that it is said right the next time.

Servers call themselves OpenAI-compatible and differ: some do not know `stream_options`; OpenAI's reasoning models want
`max_completion_tokens` in place of `max_tokens` and take no `temperature`. A refusal that names such a field is not
the end: the request is sent again without it, and so is every later one to that server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_OPTIONAL = ("stream_options", "temperature")
_LENGTH, _NEW_LENGTH = "max_tokens", "max_completion_tokens"
_REFUSING = (400, 422)


class Dialect:
    """One server's. Shared between threads: it only ever learns more."""

    def __init__(self) -> None:
        self._unknown: frozenset[str] = frozenset()

    def body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The request in the words that this server is not known to refuse."""
        said = {name: value for name, value in body.items() if name not in self._unknown}
        if _LENGTH in self._unknown and _LENGTH in body:
            said[_NEW_LENGTH] = body[_LENGTH]
        return said

    def learn(self, status: int, refusal: str) -> bool:
        """Take in a refusal; True where it names a field that can be said otherwise and was not known yet."""
        field = _refused_field(refusal) if status in _REFUSING else None
        if field is None or field in self._unknown:
            return False
        self._unknown |= {field}
        return True


def _refused_field(refusal: str) -> str | None:
    """The field of ours that a refusal is about: the one that it names as its `param`, else one in its words."""
    named = _param(refusal)
    if named in (*_OPTIONAL, _LENGTH):
        return named if named != _LENGTH or _NEW_LENGTH in refusal else None
    if _LENGTH in refusal and _NEW_LENGTH in refusal:
        return _LENGTH
    unsupported = "unsupported" in refusal.casefold() or "not support" in refusal.casefold()
    return next((name for name in _OPTIONAL if name in refusal and (unsupported or name == "stream_options")), None)


def _param(refusal: str) -> str | None:
    try:
        param = json.loads(refusal)["error"]["param"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return param if isinstance(param, str) else None
