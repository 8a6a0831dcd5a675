"""Who may do what: tenants, their keys, what a key is good for, and how much of it.

A tenant owns documents; a key belongs to one tenant and never tells it anything of another. What a key may do is its
scopes; what it may see is its tenant's collections, or those that it is bound to. A publishable key stands in the
source of a web page: whoever reads it may search and chat in one collection, from the pages of its origins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from domain.errors import UsageError
from domain.search import DEFAULT_TENANT

_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # it names a directory


class Scope(StrEnum):
    """What a key is good for. `ADMIN` includes the others, `READ` includes `CHAT`; `WRITE` alone cannot read."""

    CHAT = "chat"  # search and chat completions, nothing else
    READ = "read"  # questions in every form, documents and collections as they are
    WRITE = "write"  # documents and collections in and out
    ADMIN = "admin"


_INCLUDED = {
    Scope.CHAT: frozenset({Scope.CHAT}),
    Scope.READ: frozenset({Scope.READ, Scope.CHAT}),
    Scope.WRITE: frozenset({Scope.WRITE}),
    Scope.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is allowed; None is no limit. Tokens are those of prompts and answers; a day is one of UTC.

    `documents` and `characters` count what a tenant has stored and are ignored on a key.
    """

    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    documents: int | None = None
    characters: int | None = None
    body_bytes: int | None = None

    def __post_init__(self) -> None:
        for name, value in self.to_dict().items():
            if value is not None and value < 0:
                raise UsageError(f"{name} is {value}; a limit is 0 or more, or left out.")

    @property
    def bounds_storage(self) -> bool:
        return self.documents is not None or self.characters is not None

    def to_dict(self) -> dict[str, int | None]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Limits:
        """Limits as `to_dict` wrote them; names of a later release are passed over."""
        return cls(**{name: values[name] for name in cls.__slots__ if name in values})


# A page's key is known to everybody who looks at the page's source: without limits it is everybody's money.
PUBLISHABLE_LIMITS = Limits(requests_per_minute=60, tokens_per_day=200_000, body_bytes=64 * 1024)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as it is stored; `suspended_at` is when its keys stopped working."""

    id: str
    created_at: str
    suspended_at: str | None = None
    limits: Limits = field(default_factory=Limits)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as it may be shown: everything but its secret. `collections` is None where it sees all of its tenant."""

    id: str
    tenant: str
    name: str
    scopes: frozenset[Scope]
    collections: frozenset[str] | None
    origins: tuple[str, ...]
    publishable: bool
    limits: Limits
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None

    def state(self, moment: str) -> str:
        """What the key is at a moment, written like its other times: "active", "revoked" or "expired"."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= moment else "active"

    def to_dict(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in self.__slots__},
            "scopes": sorted(self.scopes),
            "collections": None if self.collections is None else sorted(self.collections),
            "origins": list(self.origins),
            "limits": self.limits.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as the store knows it: with the sha256 of the whole key and the tenant it belongs to."""

    info: KeyInfo
    secret_hash: str
    tenant: Tenant


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, found out before a byte of the body is read. `key_id` is "" for the local user, who needs no key."""

    tenant: str
    scopes: frozenset[Scope]
    collections: frozenset[str] | None = None
    key_id: str = ""
    origins: tuple[str, ...] = ()
    publishable: bool = False
    limits: Limits = field(default_factory=Limits)
    tenant_limits: Limits = field(default_factory=Limits)

    def may(self, scope: Scope) -> bool:
        """True where one of the key's scopes is `scope` or includes it."""
        return any(scope in _INCLUDED[own] for own in self.scopes)

    def sees(self, collection: str) -> bool:
        return self.collections is None or collection in self.collections

    @property
    def is_operator(self) -> bool:
        """True for those who run the installation: an admin of the default tenant, not bound to collections."""
        return self.tenant == DEFAULT_TENANT and self.collections is None and Scope.ADMIN in self.scopes


CONFIGURED = "configured"  # the id of the key that stands in the settings and in no row


def operator(key_id: str = "") -> Principal:
    """The one who set the server up: the default tenant's admin."""
    return Principal(DEFAULT_TENANT, frozenset({Scope.ADMIN}), key_id=key_id)


def check_tenant(name: str) -> None:
    """Raise UsageError "invalid_tenant" for what cannot name a tenant."""
    if not _TENANT.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} cannot name a tenant; a name has 1 to 63 small letters, digits and hyphens, and begins and "
            "ends with a letter or digit.",
            code="invalid_tenant",
        )
