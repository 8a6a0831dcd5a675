"""Engines by tenant: one each, made on demand over the shared parts, kept, and closed together.

EngineOf            tenant -> its engine, for those who may do anything with it (warm-up, metrics, maintenance)
Tenants.bound       principal -> what it may do, on its account: every route, MCP and the worker go through this
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from domain.access import CONFIGURED, Limits, Principal, Scope, StoredKey, Tenant
from domain.errors import NotFound, UsageError
from domain.jobs import Job
from service.bound_engine import BoundEngine, PromptCeiling
from service.keys import state_of
from service.quotas import TokenMeter, UsageAccount, check_stored

if TYPE_CHECKING:
    from service.engine import Engine

EngineOf = Callable[[str], "Engine"]


class TenantStore(Protocol):
    """What is known of tenants and their keys."""

    def find(self, key_id: str) -> StoredKey | None: ...

    def tenant(self, name: str) -> Tenant:
        """Raises NotFound."""
        ...


class NoTenants:
    """A TenantStore that knows none: the default tenant needs no row."""

    def find(self, key_id: str) -> None:
        return None

    def tenant(self, name: str) -> Tenant:
        raise NotFound(f"There is no tenant {name!r}.")


class TenantEngines:
    """An EngineOf over `make`. Close it after everybody who uses an engine has ended."""

    def __init__(self, make: EngineOf) -> None:
        self._make = make
        self._engines: dict[str, Engine] = {}
        self._lock = threading.Lock()
        self._closed = False

    def __call__(self, tenant: str) -> Engine:
        """The tenant's engine; the first call makes it. Who names the tenant has authenticated it."""
        engine = self._engines.get(tenant)
        if engine is not None:
            return engine
        with self._lock:
            if self._closed:
                raise UsageError("The engines are closed; open the data directory again.")
            if tenant not in self._engines:
                self._engines[tenant] = self._make(tenant)
            return self._engines[tenant]

    def close(self) -> None:
        """Close every engine, whatever one of them raises. Calling it twice is harmless."""
        with self._lock, ExitStack() as stack:
            self._closed = True
            for engine in self._engines.values():
                stack.callback(engine.close)


class Tenants:
    """Hands engines out to principals, each on its own account."""

    def __init__(
        self,
        engine_of: EngineOf,
        account_of: Callable[[str], UsageAccount],
        known: TenantStore,
        ceiling: PromptCeiling | None = None,
    ) -> None:
        self.engine_of = engine_of
        self._account_of, self._known = account_of, known
        self._ceiling = ceiling or PromptCeiling()
        self._meters: dict[str, TokenMeter] = {}
        self._lock = threading.Lock()

    def bound(self, principal: Principal, patient: bool = False) -> BoundEngine:
        """The tenant's engine as this principal may use it."""
        return BoundEngine(
            self.engine_of(principal.tenant), principal, self._meter(principal.tenant), self._ceiling, patient
        )

    def bound_at_once(self, principal: Principal) -> BoundEngine | None:
        """As `bound` where that takes no time, else None: the tenant's engine is not made yet."""
        return self.bound(principal) if principal.tenant in self._meters else None

    def working_for(self, tenant: str) -> BoundEngine:
        """The engine of a tenant whose job is run: all of it, on the tenant's account.

        Raises UsageError "tenant_suspended": what a suspended tenant has left in the queue is not done.
        """
        known = self._tenant(tenant)
        if known is not None and known.suspended_at is not None:
            raise UsageError(f"The tenant {tenant!r} is suspended.", code="tenant_suspended")
        limits = known.limits if known else Limits()
        return self.bound(
            Principal(tenant, frozenset({Scope.ADMIN}), key_id="jobs", tenant_limits=limits), patient=True
        )

    def asking_for(self, job: Job) -> BoundEngine:
        """The engine for a batch, on the account of the key that sent it.

        Raises UsageError as `working_for`, and "unauthorized" where that key opens nothing any more.
        """
        worker, key_id = self.working_for(job.tenant).principal, job.payload.get("key_id", "")
        if key_id in ("", CONFIGURED):  # the local user and the operator, who have no row
            return self.bound(replace(worker, key_id=key_id), patient=True)
        stored = self._known.find(key_id)
        if stored is None or state_of(stored) != "active":
            raise UsageError("The key that sent this batch was revoked or has expired.", code="unauthorized")
        return self.bound(replace(worker, key_id=key_id, limits=stored.info.limits), patient=True)

    def check_room(self, principal: Principal) -> None:
        """Raise QuotaExceeded where the tenant has no room for another document."""
        limits = principal.tenant_limits
        if limits.bounds_storage:
            check_stored(limits, *self._account_of(principal.tenant).stored())

    def _tenant(self, name: str) -> Tenant | None:
        try:
            return self._known.tenant(name)
        except NotFound:  # the default tenant needs no row
            return None

    def _meter(self, tenant: str) -> TokenMeter:
        with self._lock:
            if tenant not in self._meters:
                self._meters[tenant] = TokenMeter(self._account_of(tenant))
            return self._meters[tenant]
