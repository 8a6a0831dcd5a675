"""JSONL files: one JSON value a line, plain or compressed with gzip."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from domain.errors import UsageError


def jsonl_rows(path: Path, code: str = "invalid_jsonl") -> Iterator[tuple[int, Any]]:
    """(number, value) of each filled line, numbered from 1; a byte order mark is passed over.

    Raises UsageError with `code` that names the file, and the line where one is at fault.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _parsed(line.removeprefix(b"\xef\xbb\xbf"), f"{path}:{number}", code)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: the file cannot be read ({reason}).", code=code) from error


def _parsed(line: bytes, place: str, code: str) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{place}: the line is not valid JSON ({error}).", code=code) from error
