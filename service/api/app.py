"""The HTTP application: routes over the engine's verbs, inside the middleware that every request passes.

RequestContext  id, log, metrics, last net      (outermost)
Tracing         a span each, where traces are asked for
Draining        nothing new once the server ends
Authentication  from headers alone, before a byte of the body is read
BodyGate        sizes counted while they arrive, the JSON gate
routes          validate, call the engine in a thread, answer
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

import structlog
from anyio import to_thread
from fastapi import FastAPI

from domain.batches import BATCH
from domain.job_protocols import JobQueue, JobSource
from service.api.auth import Authentication
from service.api.bodies import BodyGate
from service.api.draining import Drain, Draining
from service.api.errors import install_error_handlers
from service.api.mcp import McpDoor, bound_to_caller
from service.api.offload import Places
from service.api.replies import ProblemReply
from service.api.requests import RequestContext
from service.api.routes.batches import batch_routes
from service.api.routes.chat import chat_routes
from service.api.routes.collections import collection_routes
from service.api.routes.documents import document_routes
from service.api.routes.explanations import explanation_routes
from service.api.routes.models import model_routes
from service.api.routes.operations import operation_routes
from service.api.routes.pages import install_pages
from service.api.routes.questions import question_routes
from service.api.state import ApiState
from service.api.tracing import Tracing
from service.batches.handler import BatchHandler
from service.keys import KeyRing, NoKeys
from service.lanes import Handler
from service.observability import Metrics
from service.quotas import MemoryAccount
from service.tenants import NoTenants, Tenants
from service.tracing import Traces
from service.upload_jobs import UPLOAD, UploadHandler
from service.worker import JobWorker, Work

if TYPE_CHECKING:
    from service.engine import Engine

log = structlog.get_logger("fovea.api")

_MIB = 1024 * 1024


def create_app(
    engine: Engine,
    jobs: JobQueue,
    *,
    api_key: str | None = None,
    keys: KeyRing | None = None,
    tenants: Tenants | None = None,
    jobs_of: Callable[[str], JobQueue] | None = None,
    work: Work | None = None,
    max_body_bytes: int = 64 * _MIB,
    max_json_bytes: int = 8 * _MIB,
    question_places: int = 16,
    record_places: int = 8,
    max_waiting: int = 64,
    drain_seconds: float = 20.0,
    drain: Drain | None = None,
    metrics: Metrics | None = None,
    traces: Traces | None = None,
    version: str = "",
) -> FastAPI:
    """The application over an engine and a job queue; the caller closes the engine after the application has stopped.

    Without more, there is one tenant, and its one key is `api_key`; without that only the local user is let in. `keys`,
    `tenants`, `jobs_of` (a tenant's queue) and `work` (what the worker takes its jobs from) are those of an
    installation that has several; without `work` there are no batches, and `jobs` is a JobSource too. At most
    `question_places` questions run at a time and `max_waiting` more wait; `record_places` bounds listings, uploads and
    states.
    """
    metrics = metrics or Metrics()
    tenants = tenants or Tenants(lambda _: engine, MemoryAccount, NoTenants())
    work = work or Work(cast("JobSource", jobs))
    state = ApiState(
        tenants=tenants,
        jobs_of=jobs_of or (lambda _: jobs),
        batches_of=work.batches_of,
        worker=_worker(work, tenants, metrics),
        questions=Places(question_places, max_waiting),
        records=Places(record_places, max_waiting),
        metrics=metrics,
        drain=drain or Drain(),
    )
    # FastAPI's own pages load scripts from elsewhere; ours come from here.
    app = FastAPI(
        title="Fovea",
        version=version or "0",
        docs_url=None,
        redoc_url=None,
        lifespan=partial(_lifespan, state, drain_seconds),
    )
    install_error_handlers(app)
    for make_routes in (
        chat_routes,
        question_routes,
        explanation_routes,
        document_routes,
        collection_routes,
        batch_routes,
        model_routes,
        operation_routes,
    ):
        app.include_router(make_routes(state))
    app.router.routes.append(McpDoor(bound_to_caller(tenants), state.questions, version).route)
    keys = keys or KeyRing(NoKeys(), api_key)
    install_pages(app, keys.widget_origins)
    _describe_problems(app)
    # Added last is outermost.
    app.add_middleware(BodyGate, max_body_bytes=max_body_bytes, max_json_bytes=max_json_bytes)
    app.add_middleware(Authentication, keys=keys)
    app.add_middleware(Draining, drain=state.drain)
    if traces is not None:
        app.add_middleware(Tracing, traces=traces)
    app.add_middleware(RequestContext, metrics=metrics)
    return app


def _worker(work: Work, tenants: Tenants, metrics: Metrics) -> JobWorker:
    handlers: dict[str, Handler] = {UPLOAD: UploadHandler(tenants.working_for)}
    if work.batches is not None:
        handlers[BATCH] = BatchHandler(work.batches, tenants.asking_for, observe=metrics.observe_answer)
    return JobWorker(work.source, handlers, observe=metrics.observe_job)


@asynccontextmanager
async def _lifespan(state: ApiState, drain_seconds: float, app: FastAPI) -> AsyncIterator[None]:
    await to_thread.run_sync(state.worker.start)
    # A little less than the drain: a job that must be put back is put back inside it.
    state.drain.stops(partial(state.worker.stop, 0.9 * drain_seconds))
    probe = asyncio.create_task(state.metrics.load.probe_loop())
    # Beside the event loop and not awaited: /healthz answers while the encoder loads, /readyz tells when it is there.
    threading.Thread(target=_warm_up, args=(state,), name="fovea-warm-up", daemon=True).start()
    yield
    state.ready = False
    probe.cancel()
    seconds = 0.0 if state.drain.begun else drain_seconds  # a drain has stopped the worker, or waited for it in vain
    if not await to_thread.run_sync(state.worker.stop, seconds):
        log.warning("worker_still_busy", note="Its job was put back.")


def _warm_up(state: ApiState) -> None:
    try:
        state.operator.status()
        state.ready = True
    except Exception:  # stays not ready, with the reason in the log; questions report it to their callers
        log.exception("warm_up_failed")


def _describe_problems(app: FastAPI) -> None:
    """Add the problem's schema, which every route refers to, to the OpenAPI document."""
    generate = app.openapi

    def openapi() -> dict[str, object]:
        document = generate()
        document.setdefault("components", {}).setdefault("schemas", {})["ProblemReply"] = (
            ProblemReply.model_json_schema()
        )
        return document

    app.openapi = openapi  # type: ignore[method-assign]
