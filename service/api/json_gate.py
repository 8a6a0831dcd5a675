"""Reads JSON from strangers: bounded in depth, finite in its numbers, and text that every database can store.

Python's parser is more lenient than JSON: it reads `NaN` and `1e999`, integers of any size and lone surrogates, all of
which fail later and deeper, as a server error. Here they are the caller's error, before anything else sees them.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from domain.errors import UsageError

_MAX_DEPTH = 64
_MAX_INTEGER_DIGITS = 19  # int64
_INT64 = 1 << 63
_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonRefused(UsageError):
    """The body is not JSON, or JSON of a kind that is not accepted."""

    code = "invalid_json"


def parse_json(data: bytes) -> Any:
    """The value of a JSON text in UTF-8. Raises JsonRefused."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_int=_int64,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except UnicodeDecodeError as error:
        raise JsonRefused(f"The body is not UTF-8: byte {error.start} cannot be decoded.") from error
    except RecursionError as error:
        raise JsonRefused(_too_deep()) from error
    except json.JSONDecodeError as error:
        raise JsonRefused(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    _check_tree(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise JsonRefused(f"{name} is not a JSON number; send null or leave the field out.")


def _int64(digits: str) -> int:
    # The length is checked first: turning 100,000 digits into an int takes quadratic time.
    if len(digits.lstrip("-")) <= _MAX_INTEGER_DIGITS:
        value = int(digits)
        if -_INT64 <= value < _INT64:
            return value
    raise JsonRefused(f"The integer {digits[:24]}... does not fit into 64 bits.")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise JsonRefused(f"The number {digits[:24]} is too large.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise JsonRefused("An object of the body has the same key twice; which one is meant cannot be known.")
    return result


def _check_tree(root: Any) -> None:
    pending = [(root, 1)]
    while pending:
        value, depth = pending.pop()
        if depth > _MAX_DEPTH:
            raise JsonRefused(_too_deep())
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict):
            for key, child in value.items():
                _check_text(key)
                pending.append((child, depth + 1))
        elif isinstance(value, list):
            pending.extend((child, depth + 1) for child in value)


def _check_text(text: str) -> None:
    if _SURROGATE.search(text):
        raise JsonRefused("A text of the body holds half a surrogate pair (\\ud800-\\udfff), which is no character.")


def _too_deep() -> str:
    return f"The body is nested too deeply; at most {_MAX_DEPTH} levels are read."
