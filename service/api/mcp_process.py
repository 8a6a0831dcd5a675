"""MCP over HTTP as a process of its own: `fovea mcp --http`."""

from __future__ import annotations

from fastapi import FastAPI

from service.api.auth import Authentication
from service.api.bodies import BodyGate
from service.api.draining import Drain, Draining
from service.api.mcp import MAX_MCP_BYTES, EngineFor, McpDoor
from service.api.offload import Places
from service.api.requests import RequestContext
from service.api.server import DrainingServer, listening, server_config
from service.keys import KeyRing
from service.observability import Metrics

_HOST = "127.0.0.1"
_AT_A_TIME, _WAITING = 16, 64
_DRAIN_SECONDS = 5.0


def run_mcp(engine_for: EngineFor, keys: KeyRing, port: int, version: str = "") -> None:
    """Serve MCP, and nothing else, on loopback until a signal. Raises ConfigurationError where the port is taken."""
    drain = Drain()
    app = create_mcp_app(engine_for, keys, version, drain)
    with listening(_HOST, port) as listener:
        DrainingServer(server_config(app, _HOST, port), drain, _DRAIN_SECONDS).run(sockets=[listener])


def create_mcp_app(engine_for: EngineFor, keys: KeyRing, version: str = "", drain: Drain | None = None) -> FastAPI:
    """What `fovea mcp --http` serves; `drain` is told of the calls that run, and waits for them."""
    places = Places(_AT_A_TIME, _WAITING)
    app = FastAPI(title="Fovea MCP", version=version or "0", openapi_url=None, docs_url=None, redoc_url=None)
    app.router.routes.append(McpDoor(engine_for, places, version, local_only=True).route)
    app.add_middleware(BodyGate, max_body_bytes=MAX_MCP_BYTES, max_json_bytes=MAX_MCP_BYTES)
    app.add_middleware(Authentication, keys=keys)
    app.add_middleware(Draining, drain=drain or Drain())
    app.add_middleware(RequestContext, metrics=Metrics())
    return app
