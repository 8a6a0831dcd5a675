"""What every route works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from domain.protocols import JobQueue
from service.api.offload import Places
from service.observability import Metrics
from service.worker import JobWorker

if TYPE_CHECKING:
    from service.engine import Engine


@dataclass(slots=True)
class ApiState:
    """The collaborators of the routes; `ready` turns true once the encoder is loaded."""

    engine: Engine
    jobs: JobQueue
    worker: JobWorker
    tenant: str
    questions: Places
    records: Places
    metrics: Metrics = field(default_factory=Metrics)
    ready: bool = False


def json_response(content: Any, status: int = 200) -> Response:
    """JSON in UTF-8. orjson writes what the stages hand over as it is, numpy numbers included."""
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), status, media_type="application/json")
