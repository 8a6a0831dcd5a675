"""What every route works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from domain.job_protocols import BatchStore, JobQueue
from domain.search import DEFAULT_TENANT
from service.api.draining import Drain
from service.api.idempotency import KeysInFlight
from service.api.offload import Places
from service.observability import Metrics
from service.tenants import Tenants
from service.worker import JobWorker

if TYPE_CHECKING:
    from service.engine import Engine

_CHANGES_AT_A_TIME = 4  # of one tenant: each waits for the document that its worker writes
_CHANGES_WAITING = 16


@dataclass(slots=True)
class ApiState:
    """The collaborators of the routes; `ready` turns true once the encoder is loaded.

    A route asks `caller_of` for the engine and the jobs that it may touch. `operator` is the engine of the default
    tenant, for what the process asks on its own behalf.
    """

    tenants: Tenants
    jobs_of: Callable[[str], JobQueue]
    batches_of: Callable[[str], BatchStore]
    worker: JobWorker
    questions: Places
    records: Places
    metrics: Metrics = field(default_factory=Metrics)
    drain: Drain = field(default_factory=Drain)
    keys_in_flight: KeysInFlight = field(default_factory=KeysInFlight)
    changes: dict[str, Places] = field(default_factory=dict)
    ready: bool = False

    def changes_of(self, tenant: str) -> Places:
        """Places for what waits until the tenant's engine has written the document in hand: deletions and new
        collections. A long document then holds up its own tenant, and nobody else's listings and uploads.
        """
        return self.changes.setdefault(tenant, Places(_CHANGES_AT_A_TIME, _CHANGES_WAITING))

    @property
    def operator(self) -> Engine:
        return self.tenants.engine_of(DEFAULT_TENANT)


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON in UTF-8. orjson writes what the stages hand over as it is, numpy numbers included."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, dict(headers or {}), media_type="application/json")
