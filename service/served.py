"""What `fovea serve` runs: put together by `bootstrap`, served by `api/server.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.job_protocols import JobQueue
from service.keys import KeyRing
from service.tenants import Tenants
from service.worker import Work

if TYPE_CHECKING:
    from service.engine import Engine
    from service.observability import Metrics
    from service.tracing import Traces


@dataclass(frozen=True, slots=True)
class Served:
    """Engines and durable jobs by tenant, who may call, and the server's own settings.

    `engine` and `jobs` are the default tenant's.
    """

    engine: Engine
    jobs: JobQueue
    jobs_of: Callable[[str], JobQueue]
    work: Work
    tenants: Tenants
    keys: KeyRing
    metrics: Metrics
    traces: Traces | None
    max_body_bytes: int
