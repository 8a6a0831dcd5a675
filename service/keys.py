"""Keys: how they are made, how they are recognised, and whom they stand for.

    fv_key3f2a9c07d1b4_9b1c…            "fv", the public id, 64 hexadecimal digits of secret
       └ finds the row   └ 256 random bits, never stored: the row has the sha256 of the whole key

A key is shown once, when it is made. No key follows from another, nor from anything that is stored. What was looked up
is believed for half a second, so a revoked key is worthless within one.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from domain.access import CONFIGURED, PUBLISHABLE_LIMITS, KeyInfo, Limits, Principal, Scope, StoredKey, operator
from domain.errors import FoveaError, UsageError

_FORM = re.compile(r"fv_((?:key|pub)[0-9a-f]{12})_[0-9a-f]{64}")
_PUBLISHABLE_ID = re.compile(r"pub[0-9a-f]{12}")
_BELIEVED_SECONDS = 0.5
_MOST_KNOWN = 4096
_PORTS = {"http": 80, "https": 443}

T = TypeVar("T")


class KeyRefused(FoveaError):
    """A key that opens nothing. Codes: unauthorized, no_key, and tenant_suspended for one that used to."""

    code = "unauthorized"


class KeyStore(Protocol):
    """What recognising a key needs of the store."""

    def find(self, key_id: str) -> StoredKey | None: ...

    def ids(self) -> frozenset[str]: ...

    def any_exist(self) -> bool: ...

    def any_usable(self) -> bool: ...

    def origins(self) -> frozenset[str]: ...


def new_key(
    tenant: str,
    *,
    name: str = "",
    scopes: frozenset[Scope] = frozenset(),
    collections: frozenset[str] | None = None,
    expires_days: float | None = None,
    origins: tuple[str, ...] = (),
    publishable: bool = False,
    limits: Limits | None = None,
) -> tuple[KeyInfo, str, str]:
    """A key that nobody knows yet: (what is stored, the sha256 of the key, the key itself, to be shown once).

    Raises UsageError where a publishable key would be good for more than a page may do.
    """
    _check_publishable(scopes, collections, origins, publishable)
    now = datetime.now(UTC)
    identity = f"{'pub' if publishable else 'key'}{secrets.token_hex(6)}"
    key = f"fv_{identity}_{secrets.token_hex(32)}"
    info = KeyInfo(
        id=identity,
        tenant=tenant,
        name=name,
        scopes=frozenset({Scope.CHAT}) if publishable else scopes or frozenset({Scope.READ}),
        collections=collections,
        origins=tuple(dict.fromkeys(clean_origin(origin) for origin in origins)),
        publishable=publishable,
        limits=limits or (PUBLISHABLE_LIMITS if publishable else Limits()),
        created_at=_moment(now),
        expires_at=None if expires_days is None else _moment(now + timedelta(days=expires_days)),
    )
    return info, _digest(key), key


def clean_origin(origin: str) -> str:
    """An origin as a browser writes it. Raises UsageError "invalid_origin" for what is none.

    >>> clean_origin("HTTPS://Shop.Example.org:443"), clean_origin("http://localhost:3000/")
    ('https://shop.example.org', 'http://localhost:3000')
    """
    try:
        parts = urlsplit(origin.strip())
        host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
    except ValueError:  # an impossible port or host, among them a UnicodeError
        parts, host, port = urlsplit(""), "", None
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme not in _PORTS or not re.fullmatch(r"[a-z0-9.:-]+", host) or not plain:
        raise UsageError(
            f"{origin[:200]!r} is no origin of a web page; it looks like https://www.example.org or "
            "http://localhost:3000: no path, no wildcard.",
            code="invalid_origin",
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in (None, _PORTS[parts.scheme]) else "")


class NoKeys:
    """A KeyStore without keys: the only one, if any, stands in the settings."""

    def find(self, key_id: str) -> None:
        return None

    def ids(self) -> frozenset[str]:
        return frozenset()

    def any_exist(self) -> bool:
        return False

    def any_usable(self) -> bool:
        return False

    def origins(self) -> frozenset[str]:
        return frozenset()


class KeyRing:
    """Tells whom a key stands for. Safe to share between threads; asks the database at most twice a second a key."""

    def __init__(
        self, store: KeyStore, configured: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`configured` is the key of the settings: the operator's."""
        self._store = store
        self._configured = _digest(configured) if configured else None
        self._clock = clock
        self._keys: OrderedDict[str, tuple[float, StoredKey]] = OrderedDict()
        self._facts: dict[str, tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def identify(self, key: str | None, guessing: bool = False) -> Principal | None:
        """Whom a key stands for; None as long as no key was ever made, when the local user needs none.

        Where somebody is `guessing`, an unknown key costs no question to the database, and one that was made within
        the last half second is unknown. Raises KeyRefused, StorageError.
        """
        if self.lets_anybody_in:
            if key is not None and _FORM.fullmatch(key):
                raise KeyRefused("The API key is not known: none was made here.")
            return None
        if key is None:
            raise KeyRefused("Send the API key as `Authorization: Bearer KEY`.", code="no_key")
        if self._configured is not None and compare_digest(_digest(key), self._configured):
            return operator(CONFIGURED)
        stored = self._lookup(key, guessing)
        if stored is None or not compare_digest(_digest(key), stored.secret_hash):
            raise KeyRefused("The API key is not known; send one as `Authorization: Bearer KEY`.")
        return _principal(stored)

    def answers_at_once(self, key: str | None, guessing: bool = False) -> bool:
        """True where `identify` need not ask the database."""
        if self._configured is None and self._remembered_fact("exist") is None:
            return False
        found = _FORM.fullmatch(key or "")
        if found is None or self._remembered(found[1]) is not None:
            return True
        ids = self._remembered_fact("ids")
        return guessing and ids is not None and found[1] not in ids[1]

    @property
    def lets_anybody_in(self) -> bool:
        """True as long as no key was ever made. Raises StorageError."""
        return self._configured is None and not self._fact("exist", self._store.any_exist)

    @property
    def has_keys(self) -> bool:
        """True where somebody holds a key that works. Raises StorageError."""
        return self._configured is not None or self._fact("usable", self._store.any_usable)

    @property
    def origins(self) -> frozenset[str]:
        """The pages that may ask from a browser: those of all publishable keys. Raises StorageError."""
        return self._fact("origins", self._store.origins)

    def widget_origins(self, key_id: str) -> tuple[str, ...]:
        """The pages that may show the widget of a publishable key that works; () for every other id.

        An id is in every page that has the widget, and tells nothing of the key. Raises StorageError.
        """
        stored = self._store.find(key_id) if _PUBLISHABLE_ID.fullmatch(key_id) else None
        try:
            return () if stored is None else _principal(stored).origins
        except KeyRefused:
            return ()

    def _lookup(self, key: str, guessing: bool) -> StoredKey | None:
        found = _FORM.fullmatch(key)
        if found is None:
            return None
        if (known := self._remembered(found[1])) is not None:
            return known
        if guessing and found[1] not in self._fact("ids", self._store.ids):
            return None
        asked = self._clock()
        stored = self._store.find(found[1])
        if stored is not None:
            with self._lock:
                self._keys[found[1]] = (asked, stored)
                if len(self._keys) > _MOST_KNOWN:
                    self._keys.popitem(last=False)
        return stored

    def _remembered(self, key_id: str) -> StoredKey | None:
        entry = self._keys.get(key_id)
        return entry[1] if entry is not None and self._clock() - entry[0] < _BELIEVED_SECONDS else None

    def _fact(self, name: str, ask: Callable[[], T]) -> T:
        entry = self._remembered_fact(name)
        if entry is None:
            entry = self._facts[name] = (self._clock(), ask())
        return entry[1]

    def _remembered_fact(self, name: str) -> tuple[float, Any] | None:
        entry = self._facts.get(name)
        return entry if entry is not None and self._clock() - entry[0] < _BELIEVED_SECONDS else None


def state_of(stored: StoredKey) -> str:
    """What a key is now: "active", "revoked" or "expired"."""
    return stored.info.state(_moment(datetime.now(UTC)))


def _principal(stored: StoredKey) -> Principal:
    info, tenant, state = stored.info, stored.tenant, state_of(stored)
    if state != "active":
        raise KeyRefused(f"The API key is {state}; ask for a new one.")
    if tenant.suspended_at is not None:
        raise KeyRefused("The tenant of this API key is suspended.", code="tenant_suspended")
    return Principal(
        tenant=info.tenant,
        scopes=info.scopes,
        collections=info.collections,
        key_id=info.id,
        origins=info.origins,
        publishable=info.publishable,
        limits=info.limits,
        tenant_limits=tenant.limits,
    )


def _check_publishable(
    scopes: frozenset[Scope], collections: frozenset[str] | None, origins: tuple[str, ...], publishable: bool
) -> None:
    if not publishable:
        if origins:
            raise UsageError("Origins belong to a publishable key: add --publishable, or leave --origin out.")
        return
    if scopes - {Scope.CHAT}:
        raise UsageError("A publishable key stands in a page's source: it may search and chat and has no other scope.")
    if collections is None or len(collections) != 1:
        raise UsageError("A publishable key opens one collection: name it with --collection, exactly once.")
    if not origins:
        raise UsageError("A publishable key works on pages that it names: add --origin https://www.example.org.")


def _digest(key: str) -> str:
    return sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _moment(time: datetime) -> str:
    """A time as the database holds it: of fixed width, so that text order is time order."""
    return time.isoformat(timespec="milliseconds")
