"""The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header): a request that is sent twice is done once.

    the same request again          the first one's response, with `Idempotency-Replayed: true`
    the key with another request    422 idempotency_key_reused
    while the first one is running  409 idempotency_in_flight

What a request did is committed together with a receipt of it (`service/storage/receipts.py`); after a crash there are
both or neither, and the same key may simply be sent again. Receipts are kept for 24 hours.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
from starlette.requests import Request

from domain.errors import UsageError
from domain.jobs import Receipt

HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


class KeysInFlight:
    """The keys whose requests this process is working on. Across processes the database makes the second one wait."""

    def __init__(self) -> None:
        self._keys: set[tuple[str, str]] = set()

    @contextmanager
    def using(self, tenant: str, key: str | None) -> Iterator[None]:
        """Raises UsageError "idempotency_in_flight". To be used on the event loop, which is what makes it atomic."""
        if key is None:
            yield
            return
        if (tenant, key) in self._keys:
            raise UsageError(
                "A request with this Idempotency-Key is being worked on; ask again in a moment.",
                code="idempotency_in_flight",
            )
        self._keys.add((tenant, key))
        try:
            yield
        finally:
            self._keys.discard((tenant, key))


def idempotency_key(request: Request) -> str | None:
    """The request's key, None without one. Raises UsageError for one that is no key."""
    keys = request.headers.getlist(HEADER)
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        message = f"{HEADER} is one text of 1 to 255 printable ASCII characters."
        raise UsageError(message, code="invalid_idempotency_key")
    return keys[0]


def receipt_of(key: str | None, content: Any, response: Mapping[str, Any]) -> Receipt | None:
    """A receipt of a request; `content` is what it asked for, as JSON. None without a key."""
    if key is None:
        return None
    plain = orjson.dumps(content, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return Receipt(key, hashlib.sha256(plain).hexdigest(), response)


def replayed(earlier: Receipt | None) -> dict[str, str]:
    """The header that tells a repeated response."""
    return {"idempotency-replayed": "true"} if earlier else {}
