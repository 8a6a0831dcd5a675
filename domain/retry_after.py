"""What a server asks for that says "come back later": the Retry-After header (RFC 9110, 10.2.3)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def seconds_of_retry_after(value: str | None) -> float | None:
    """Seconds that the header asks for; None where it is absent or not one. A date that has passed asks for none.

    >>> seconds_of_retry_after("5"), seconds_of_retry_after("-1"), seconds_of_retry_after("soon")
    (5.0, None, None)
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value)
    return seconds if seconds >= 0 else None  # also drops nan


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())
