"""Runs the application under uvicorn, until a signal ends it.

The first SIGTERM or SIGINT begins the drain (`service/api/draining.py`), at the end of which the process exits with 0.
A second one does what it does to any process: it kills this one, which loses nothing that was acknowledged.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import sys
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI

from domain.errors import ConfigurationError, StorageError
from service.api.app import create_app
from service.api.binding import check_binding
from service.api.connections import ConnectionLimits, guarded_connections
from service.api.draining import Drain
from service.observability import configure_logging
from service.served import Served

log = structlog.get_logger("fovea.api")

DRAIN_SECONDS = 20.0
_LAST_SECONDS = 2  # for connections to close and cancelled requests to end, after the drain
_SPARE_FILES = 256  # for the database, the indexes, parsers and calls to models


def run_server(
    server: Served, host: str, port: int, *, drain_seconds: float = DRAIN_SECONDS, version: str = ""
) -> None:
    """Serve until SIGINT or SIGTERM; running answers and the jobs in hand then get `drain_seconds` to finish.
    `version` is what the OpenAPI document and MCP name as this server's.

    Raises ConfigurationError for an address that cannot be had, or that others can reach while no key is set. The
    caller closes the engine afterwards. Call it in the main thread: it takes the signals.
    """
    check_binding(host, server.keys.has_keys)
    configure_logging()
    drain = Drain()
    app = create_app(
        server.engine,
        server.jobs,
        keys=server.keys,
        tenants=server.tenants,
        jobs_of=server.jobs_of,
        work=server.work,
        max_body_bytes=server.max_body_bytes,
        drain_seconds=drain_seconds,
        drain=drain,
        metrics=server.metrics,
        traces=server.traces,
        version=version,
    )
    with listening(host, port) as listener:
        print(f"Fovea listens on {_url(host, listener.getsockname()[1])}", file=sys.stderr, flush=True)
        running = DrainingServer(server_config(app, host, port), drain, drain_seconds)
        running.run(sockets=[listener])
    if not running.started:
        raise StorageError("The server could not start; its log says why.", code="start_failed")
    if not drain.clean:
        _leave_work_behind()


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which a signal drains before it ends it."""

    def __init__(self, config: uvicorn.Config, drain: Drain, drain_seconds: float = DRAIN_SECONDS) -> None:
        super().__init__(config)
        self._drain, self._drain_seconds = drain, drain_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the drain; at the second signal, die of it."""
        if self._drain.begun:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self._drain.begin()
        self.should_exit = True

    async def main_loop(self) -> None:
        """Serve until a signal comes, and then until the drain is over: only after this the listener is closed."""
        await super().main_loop()
        await self._drain.run(self._drain_seconds)


def _leave_work_behind() -> None:
    """End the process although a job is still at work, for example on a parse that hangs.

    The job is back in the queue and its worker may write no more. Closing the engine would wait for it; what is not
    saved by that are indexes, which are caches.
    """
    log.warning("work_left_behind", note="The jobs in hand were put back; indexes are brought up to date at the start.")
    logging.shutdown()
    os._exit(0)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises ConfigurationError, which uvicorn would answer by ending the process."""
    name = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    try:
        return socket.create_server((name, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another port: --port, or FOVEA_SERVER__PORT."
        ) from error


def _url(host: str, port: int) -> str:
    return f"http://[{host.strip('[]')}]:{port}" if ":" in host else f"http://{host}:{port}"


def server_config(app: FastAPI, host: str, port: int) -> uvicorn.Config:
    """Settings of uvicorn: one process (SQLite and the indexes have one writer), no trust in forwarded headers."""
    limits = ConnectionLimits(connections=_connections())
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,  # observability.configure_logging has set the form of all lines
        access_log=False,  # RequestContext writes it, with the request id
        server_header=False,
        # A client could otherwise write itself a loopback address, which is all that the keyless mode asks for.
        proxy_headers=False,
        http=guarded_connections(limits),
        ws="none",
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_LAST_SECONDS,
    )


def _connections() -> int:
    """How many connections there are files for, at most 1,000."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1000 if soft == resource.RLIM_INFINITY else max(64, min(1000, soft - _SPARE_FILES))
