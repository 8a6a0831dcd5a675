"""Runs the application under uvicorn, until a signal ends it."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import uvicorn
from fastapi import FastAPI

from domain.errors import ConfigurationError, StorageError
from domain.protocols import JobQueue
from service.api.app import create_app
from service.api.binding import check_binding
from service.observability import configure_logging

if TYPE_CHECKING:
    from service.engine import Engine

_DRAIN_SECONDS = 20


class Served(Protocol):
    """What bootstrap puts together for serving."""

    @property
    def engine(self) -> Engine: ...

    @property
    def jobs(self) -> JobQueue: ...

    @property
    def api_key(self) -> str | None: ...

    @property
    def tenant(self) -> str: ...

    @property
    def max_body_bytes(self) -> int: ...


def run_server(server: Served, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM; running answers and the job in hand get some seconds to finish.

    Raises ConfigurationError for an address that cannot be had, or that others can reach while no key is set. The
    caller closes the engine afterwards. Call it in the main thread: it takes the signals.
    """
    check_binding(host, server.api_key)
    configure_logging()
    app = create_app(
        server.engine,
        server.jobs,
        api_key=server.api_key,
        tenant=server.tenant,
        max_body_bytes=server.max_body_bytes,
        drain_seconds=_DRAIN_SECONDS,
    )
    with listening(host, port) as listener, _quiet_signals():
        print(f"Fovea listens on {_url(host, listener.getsockname()[1])}", file=sys.stderr, flush=True)
        running = uvicorn.Server(server_config(app, host, port))
        running.run(sockets=[listener])
    if not running.started:
        raise StorageError("The server could not start; its log says why.", code="start_failed")


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


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """Let a signal end the server and nothing more.

    uvicorn raises the signal again once it has stopped; the default reaction would end the process before the engine
    is closed.
    """
    previous = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _url(host: str, port: int) -> str:
    return f"http://[{host.strip('[]')}]:{port}" if ":" in host else f"http://{host}:{port}"


def server_config(app: FastAPI, host: str, port: int) -> uvicorn.Config:
    """Settings of uvicorn: one process (SQLite and the indexes have one writer), no trust in forwarded headers."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,  # observability.configure_logging has set the form of all lines
        access_log=False,  # RequestContext writes it, with the request id
        server_header=False,
        # A client could otherwise write itself a loopback address, which is all that the keyless mode asks for.
        proxy_headers=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        h11_max_incomplete_event_size=64 * 1024,
    )
