"""An installation with tenants, keys and a server, for tests of who may do what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from domain.access import Scope
from service.api.app import create_app
from service.bootstrap import Served, build_server, open_keys
from service.keys import new_key
from service.settings import Settings, load_settings
from service.storage.keys import SqlKeys

LOCAL = ("127.0.0.1", 50000)
ELSEWHERE = ("203.0.113.7", 50000)


@dataclass
class Installation:
    """A server over real storage and the hashing encoder, with keys by a name of the test's own."""

    settings: Settings
    server: Served
    app: FastAPI
    store: SqlKeys  # as another process, `fovea keys`, sees it
    keys: dict[str, str] = field(default_factory=dict)

    def key(self, tenant: str = "local", *scopes: str, **options: Any) -> str:
        """A new key, as `fovea keys create` makes it."""
        info, secret_hash, key = new_key(tenant, scopes=frozenset(map(Scope, scopes)), **options)
        self.store.add(info, secret_hash)
        return key

    def client(self, key: str | None = None, peer: tuple[str, int] = ELSEWHERE, **headers: str) -> TestClient:
        """A client that shows `key`; it does not run the worker."""
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return TestClient(
            self.app, base_url="http://rag.example.org", client=peer, headers=headers, raise_server_exceptions=False
        )


@contextmanager
def installation(folder: Path, parts: dict[str, Any] | None = None, **settings: Any) -> Iterator[Installation]:
    """`parts` replace built-in parts of the engines."""
    chosen = load_settings(data_dir=folder / "data", encoder={"model": "hashing"}, **settings)
    with build_server(chosen, **(parts or {})) as server, open_keys(chosen) as store:
        yield Installation(chosen, server, application_of(server), store)


def application_of(server: Served, **options: Any) -> FastAPI:
    return create_app(
        server.engine,
        server.jobs,
        keys=server.keys,
        tenants=server.tenants,
        jobs_of=server.jobs_of,
        work=server.work,
        **options,
    )


def key_id(key: str) -> str:
    return key.split("_")[1]


@dataclass
class Reply:
    """What came back, and how many parts of the body were asked for."""

    status: int
    headers: dict[str, str]
    body: bytes
    reads: int


def raw_request(
    app: FastAPI,
    method: str,
    path: str,
    key: str | None = None,
    peer: tuple[str, int] = ELSEWHERE,
    headers: dict[str, str] | None = None,
) -> Reply:
    """Call the application by hand, with a body of 100 MB that is no JSON and that nobody ought to ask for."""
    given = {"host": "rag.example.org", "content-type": "application/json", "content-length": str(100 * 2**20)}
    given |= headers or {}
    if key is not None:
        given["authorization"] = f"Bearer {key}"
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": peer, "server": ("x", 80),
        "scheme": "http", "state": {}, "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    sent: list[Any] = []
    reads: list[int] = []

    async def receive() -> dict[str, Any]:
        reads.append(1)
        return {"type": "http.request", "body": b"{" * 65536, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    names = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Reply(sent[0]["status"], names, body, len(reads))
