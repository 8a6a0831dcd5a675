"""What is wrong with stored data, as a value: what was found, and what puts it right."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from domain.maintenance import Finding

Mend = Callable[[Connection], None]
DecodeTokens = Callable[[str, bytes], None]
"""(codec_id of the collection, blob): raises FoveaError for a damaged blob, LookupError for an unknown codec."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding and its repair; None where there is none."""

    finding: Finding
    mend: Mend | None


@dataclass(slots=True)
class Looked:
    """How much a pass looked at, and what it could not look at."""

    counts: dict[str, int]
    unchecked: set[str]


def is_json(value: str, kind: type) -> bool:
    """Whether a column holds JSON whose outermost value is a `kind`."""
    try:
        return isinstance(json.loads(value), kind)
    except (ValueError, RecursionError):
        return False
