"""Every operation of the OpenAPI document, asked with what a generator makes of its schema (case I14).

Schemathesis draws valid and invalid requests and holds each reply to the document: no 5xx, a documented status, content
type and shape, and invalid requests refused. The whole product answers, in this process, over the hashing encoder.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import missing_required_header, positive_data_acceptance
from starlette.types import Receive, Scope, Send

from service.api.app import create_app
from service.bootstrap import build_server
from service.settings import load_settings

SEED = int(os.environ.get("FOVEA_TEST_SEED", "5"))
KEY = "key-of-the-operator"
LEASE = "The lease began in 2019. Rent is 900 euros a month. It is paid on the third working day."
# A question of blanks or a name in use is valid by the schema and refused by what it means.
NOT_BY_SCHEMA = [positive_data_acceptance, missing_required_header]
PUBLIC = {"/", "/docs", "/openapi.json", "/healthz", "/readyz"}


@dataclass(frozen=True)
class Fuzzed:
    """The application, its schema, and values of path parameters that something is behind."""

    schema: Any
    known: dict[str, str]

    @property
    def operations(self) -> list[Any]:
        return [result.ok() for result in self.schema.get_all_operations()]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    options = {"encoder": {"model": "hashing"}, "server": {"api_key": KEY}}
    with build_server(load_settings(data_dir=tmp_path_factory.mktemp("fuzz") / "data", **options)) as server:
        document = server.engine.ingest_text(LEASE, source="lease.txt").id
        server.engine.create_collection("papers")
        taken = set(inspect.signature(create_app).parameters) - {"engine", "jobs"}
        app = create_app(
            server.engine, server.jobs, **{name: getattr(server, name) for name in taken if hasattr(server, name)}
        )
        known = {"document_id": document, "name": "papers", "collection": "default", "model": server.engine.model}
        yield Fuzzed(schemathesis.openapi.from_asgi("/openapi.json", _without_worker(app)), known)
        asgi.shutdown_lifespans()


def _without_worker(app: Any) -> Any:
    """The application without its start and end: uploads are accepted and stay queued, URLs are never fetched."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    return served


def _fuzz(fuzzed: Fuzzed, examples: int, key: str | None) -> list[str]:
    """Ask every operation; what is wrong with its replies, each fault once."""
    print(f"FOVEA_TEST_SEED={SEED}")
    faults: dict[str, str] = {}
    for operation in fuzzed.operations:

        @seed(SEED)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            _use_known(case, fuzzed.known)
            _judge(case, case.call(headers=_headers(key)), key, faults)

        ask()
    return [f"{where}: {what}" for where, what in faults.items()]


def _use_known(case: Any, known: dict[str, str]) -> None:
    """Put something that exists in the place of half of the path parameters, by the parity of what was drawn."""
    for name, value in (case.path_parameters or {}).items():
        if name in known and len(str(value)) % 2:
            case.path_parameters[name] = known[name]


def _headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _judge(case: Any, reply: Any, key: str | None, faults: dict[str, str]) -> None:
    where = f"{case.method} {case.operation.path}"
    if key is None and case.operation.path not in PUBLIC and reply.status_code != 401:
        faults[f"{where} without a key"] = str(reply.status_code)
    not_ready = [not_a_server_error] if (case.operation.path, reply.status_code) == ("/readyz", 503) else []
    try:
        case.validate_response(reply, excluded_checks=[*NOT_BY_SCHEMA, *not_ready])
    except FailureGroup as group:
        for fault in group.exceptions:
            faults.setdefault(f"{where} {type(fault).__name__}", f"{str(fault)[:600]} -> {reply.content[:300]!r}")


def test_i14_every_operation_keeps_its_contract(fuzzed: Fuzzed) -> None:
    assert len(fuzzed.operations) >= 17
    assert _fuzz(fuzzed, 8, KEY) == []


def test_i14_no_operation_answers_without_a_key(fuzzed: Fuzzed) -> None:
    assert _fuzz(fuzzed, 2, None) == []


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_i14_every_operation_keeps_its_contract_two_hundred_times(fuzzed: Fuzzed) -> None:
    assert _fuzz(fuzzed, 200, KEY) == []


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_i14_no_operation_answers_without_a_key_two_hundred_times(fuzzed: Fuzzed) -> None:
    assert _fuzz(fuzzed, 200, None) == []
