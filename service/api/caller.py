"""The one who calls: the principal that the middleware found, with what it may work with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from domain.access import Principal
from domain.job_protocols import BatchStore, JobQueue
from service.bound_engine import BoundEngine

if TYPE_CHECKING:
    from service.api.state import ApiState


@dataclass(frozen=True, slots=True)
class Caller:
    """Everything of a caller's tenant that a route may touch, and nothing else."""

    principal: Principal
    engine: BoundEngine
    jobs: JobQueue
    batches: BatchStore

    @property
    def tenant(self) -> str:
        return self.principal.tenant


def principal_of(request: HTTPConnection) -> Principal:
    """Who the middleware says it is. Raises KeyError where no middleware has: then nobody may do anything."""
    principal: Principal = request.scope["state"]["principal"]
    return principal


async def caller_of(state: ApiState, request: HTTPConnection) -> Caller:
    """The caller of a request. Its tenant's engine is made by the first one who calls, which takes a moment."""
    principal = principal_of(request)
    engine = state.tenants.bound_at_once(principal)
    if engine is None:
        engine = await state.records.run(partial(state.tenants.bound, principal))
    return Caller(principal, engine, state.jobs_of(principal.tenant), state.batches_of(principal.tenant))
