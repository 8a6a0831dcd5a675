"""The HTTP application: routes over the engine's verbs, inside the middleware that every request passes.

RequestContext  id, log, metrics, last net      (outermost)
Authentication  from headers alone, before a byte of the body is read
BodyGate        sizes counted while they arrive, the JSON gate
routes          validate, call the engine in a thread, answer
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import structlog
from anyio import to_thread
from fastapi import FastAPI

from domain.protocols import JobQueue
from domain.search import DEFAULT_TENANT
from service.api.auth import Authentication
from service.api.bodies import BodyGate
from service.api.errors import install_error_handlers
from service.api.offload import Places
from service.api.replies import ProblemReply
from service.api.requests import RequestContext
from service.api.routes.chat import chat_routes
from service.api.routes.collections import collection_routes
from service.api.routes.documents import document_routes
from service.api.routes.explanations import explanation_routes
from service.api.routes.models import model_routes
from service.api.routes.operations import operation_routes
from service.api.routes.pages import install_pages
from service.api.routes.questions import question_routes
from service.api.state import ApiState
from service.observability import Metrics
from service.worker import UPLOAD, JobWorker, UploadHandler

if TYPE_CHECKING:
    from service.engine import Engine

log = structlog.get_logger("fovea.api")

_MIB = 1024 * 1024


def create_app(
    engine: Engine,
    jobs: JobQueue,
    *,
    api_key: str | None = None,
    tenant: str = DEFAULT_TENANT,
    max_body_bytes: int = 64 * _MIB,
    max_json_bytes: int = 8 * _MIB,
    question_places: int = 16,
    record_places: int = 8,
    max_waiting: int = 64,
    drain_seconds: float = 20.0,
    version: str = "",
) -> FastAPI:
    """The application over an engine and a job queue; the caller closes the engine after the application has stopped.

    Without `api_key` only the local user is let in. At most `question_places` questions run at a time and `max_waiting`
    more wait; `record_places` bounds listings, uploads and states. While it runs, the upload worker works.
    """
    metrics = Metrics()
    state = ApiState(
        engine=engine,
        jobs=jobs,
        worker=JobWorker(jobs, {UPLOAD: UploadHandler(engine)}, observe=metrics.observe_job),
        tenant=tenant,
        questions=Places(question_places, max_waiting),
        records=Places(record_places, max_waiting),
        metrics=metrics,
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
        model_routes,
        operation_routes,
    ):
        app.include_router(make_routes(state))
    install_pages(app)
    _describe_problems(app)
    # Added last is outermost.
    app.add_middleware(BodyGate, max_body_bytes=max_body_bytes, max_json_bytes=max_json_bytes)
    app.add_middleware(Authentication, api_key=api_key)
    app.add_middleware(RequestContext, metrics=metrics)
    return app


@asynccontextmanager
async def _lifespan(state: ApiState, drain_seconds: float, app: FastAPI) -> AsyncIterator[None]:
    await to_thread.run_sync(state.worker.start)
    # Beside the event loop and not awaited: /healthz answers while the encoder loads, /readyz tells when it is there.
    threading.Thread(target=_warm_up, args=(state,), name="fovea-warm-up", daemon=True).start()
    yield
    state.ready = False
    if not await to_thread.run_sync(state.worker.stop, drain_seconds):
        log.warning("worker_still_busy", note="Its job is put back at the next start.")


def _warm_up(state: ApiState) -> None:
    try:
        state.engine.status()
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
