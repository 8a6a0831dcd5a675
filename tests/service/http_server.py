"""A real server on a free loopback port, for tests that need true connections."""

import contextlib
import socket
import threading
import time
from types import SimpleNamespace

import uvicorn

from service.api.server import server_config
from service.keys import KeyRing, NoKeys
from service.observability import Metrics


@contextlib.contextmanager
def running(app):
    """The base URL of `app`, served by uvicorn in a thread until the block ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        server = uvicorn.Server(server_config(app, "127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "the server did not stop"


def served(engine, jobs):
    """What `run_server` serves, over an engine and a queue in memory: one tenant, and no key."""
    return SimpleNamespace(
        engine=engine,
        jobs=jobs,
        jobs_of=None,
        tenants=None,
        work=None,
        keys=KeyRing(NoKeys(), None),
        metrics=Metrics(),
        traces=None,
        max_body_bytes=10**6,
    )
