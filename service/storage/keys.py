"""Tenants and keys in SQL. No row holds a usable secret, only what tells whether a key that is shown is right."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, Select, delete, exists, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from domain.access import KeyInfo, Limits, Scope, StoredKey, Tenant, check_tenant
from domain.errors import NotFound
from service.storage.database import Database
from service.storage.rows import now
from service.storage.tables import api_keys, tenants
from service.storage.usage import SqlUsage

_ACTIVE = (api_keys.c.revoked_at.is_(None), tenants.c.suspended_at.is_(None))


class SqlKeys:
    """The keys of all tenants. It belongs to whoever decides who somebody is, and to nobody who is somebody already."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- keys ----------------------------------------------------------------------------------------------------------

    def add(self, info: KeyInfo, secret_hash: str) -> None:
        """Store a key, and its tenant where it is new. Raises UsageError for a name that no tenant can have."""
        check_tenant(info.tenant)
        row = {
            "id": info.id,
            "tenant_id": info.tenant,
            "name": info.name,
            "secret_hash": secret_hash,
            "scopes": _json(sorted(info.scopes)),
            "collections": None if info.collections is None else _json(sorted(info.collections)),
            "origins": _json(list(info.origins)),
            "publishable": info.publishable,
            "limits": _json(info.limits.to_dict()),
            "created_at": info.created_at,
            "expires_at": info.expires_at,
        }
        self._ensure_tenant(info.tenant)
        with self._database.write() as connection:
            connection.execute(insert(api_keys).values(row))

    def find(self, key_id: str) -> StoredKey | None:
        """The key with this public id, whatever its state; None where there is none."""
        with self._database.read() as connection:
            row = connection.execute(_keys().where(api_keys.c.id == key_id)).one_or_none()
        return None if row is None else StoredKey(_info(row), row.secret_hash, _tenant(row))

    def ids(self) -> frozenset[str]:
        """The public ids of all keys."""
        with self._database.read() as connection:
            return frozenset(connection.execute(select(api_keys.c.id)).scalars())

    def list_keys(self, tenant: str | None = None) -> list[KeyInfo]:
        """Keys by age, of one tenant or of all."""
        statement = _keys().order_by(api_keys.c.created_at, api_keys.c.id)
        if tenant is not None:
            statement = statement.where(api_keys.c.tenant_id == tenant)
        with self._database.read() as connection:
            return [_info(row) for row in connection.execute(statement)]

    def revoke(self, key_id: str) -> KeyInfo:
        """Make a key worthless for good; revoking it twice keeps the first time. Raises NotFound."""
        mine = api_keys.c.id == key_id
        with self._database.write() as connection:
            connection.execute(update(api_keys).where(mine, api_keys.c.revoked_at.is_(None)).values(revoked_at=now()))
            row = connection.execute(_keys().where(mine)).one_or_none()
        if row is None:
            raise NotFound(f"There is no key {key_id!r}; 'fovea keys list' shows those that exist.")
        return _info(row)

    def prune(self) -> int:
        """Forget revoked and expired keys; how many they were."""
        dead = or_(api_keys.c.revoked_at.is_not(None), api_keys.c.expires_at <= now())
        with self._database.write() as connection:
            return connection.execute(delete(api_keys).where(dead)).rowcount

    def any_exist(self) -> bool:
        """True once a key was made, whatever became of it: from then on nobody is let in without one."""
        with self._database.read() as connection:
            return bool(connection.execute(select(exists().select_from(api_keys))).scalar())

    def any_usable(self) -> bool:
        """True where somebody holds a key that opens something now."""
        with self._database.read() as connection:
            return connection.execute(_usable(_keys()).limit(1)).first() is not None

    def origins(self) -> frozenset[str]:
        """The origins of all publishable keys that work: what a browser may be told before it shows a key."""
        statement = _usable(_keys()).where(api_keys.c.publishable)
        with self._database.read() as connection:
            return frozenset(origin for row in connection.execute(statement) for origin in json.loads(row.origins))

    # -- tenants -------------------------------------------------------------------------------------------------------

    def tenant(self, name: str) -> Tenant:
        """A tenant. Raises NotFound for one that has never had a key or a limit."""
        with self._database.read() as connection:
            row = connection.execute(select(tenants).where(tenants.c.id == name)).one_or_none()
        if row is None:
            raise NotFound(f"There is no tenant {name!r}; 'fovea keys create --tenant {name}' makes it.")
        return Tenant(row.id, row.created_at, row.suspended_at, Limits.from_dict(json.loads(row.limits)))

    def list_tenants(self) -> list[Tenant]:
        with self._database.read() as connection:
            names = connection.execute(select(tenants.c.id).order_by(tenants.c.id)).scalars().all()
        return [self.tenant(name) for name in names]

    def suspend(self, name: str, suspended: bool = True) -> Tenant:
        """Stop a tenant's keys, or let them work again. Raises NotFound."""
        known = self.tenant(name)
        if suspended is (known.suspended_at is None):
            self._update_tenant(name, suspended_at=now() if suspended else None)
        return self.tenant(name)

    def limit(self, name: str, limits: Limits) -> Tenant:
        """Set a tenant's limits, all of them at once; makes the tenant where it is new. Raises UsageError."""
        check_tenant(name)
        self._ensure_tenant(name)
        self._update_tenant(name, limits=_json(limits.to_dict()))
        return self.tenant(name)

    def used(self, name: str, day: str) -> dict[str, int]:
        """What a tenant has used of its quotas: tokens of a day, "2026-03-01", and what is stored."""
        usage = SqlUsage(self._database, name)
        documents, characters = usage.stored()
        return {"tokens_per_day": sum(usage.spent(day).values()), "documents": documents, "characters": characters}

    def _ensure_tenant(self, name: str) -> None:
        dialect_insert = sqlite_insert if self._database.is_sqlite else postgresql_insert
        row = {"id": name, "limits": _json({}), "created_at": now()}
        with self._database.write() as connection:
            connection.execute(dialect_insert(tenants).values(row).on_conflict_do_nothing())

    def _update_tenant(self, name: str, **values: Any) -> None:
        with self._database.write() as connection:
            connection.execute(update(tenants).where(tenants.c.id == name).values(values))


def _keys() -> Select[Any]:
    return select(
        api_keys,
        tenants.c.limits.label("tenant_limits"),
        tenants.c.created_at.label("tenant_created_at"),
        tenants.c.suspended_at,
    ).join(tenants, tenants.c.id == api_keys.c.tenant_id)


def _usable(statement: Select[Any]) -> Select[Any]:
    return statement.where(*_ACTIVE, or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now()))


def _info(row: Row[Any]) -> KeyInfo:
    return KeyInfo(
        id=row.id,
        tenant=row.tenant_id,
        name=row.name,
        scopes=frozenset(Scope(item) for item in json.loads(row.scopes)),
        collections=None if row.collections is None else frozenset(json.loads(row.collections)),
        origins=tuple(json.loads(row.origins)),
        publishable=bool(row.publishable),
        limits=Limits.from_dict(json.loads(row.limits)),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def _tenant(row: Row[Any]) -> Tenant:
    limits = Limits.from_dict(json.loads(row.tenant_limits))
    return Tenant(row.tenant_id, row.tenant_created_at, row.suspended_at, limits)


def _json(value: Iterable[Any] | dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
