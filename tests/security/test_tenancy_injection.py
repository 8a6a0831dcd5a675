"""A10: what callers write into filters, ids, names and cursors is a value on every database, never a part of SQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from service.storage.tables import metadata
from tests.security.tenancy_server import Installation, installation
from tests.service.postgres_server import PostgresServer

OURS = "Our lease began in 2019. Our rent is 900 euros a month."
THEIRS = "Their rent is 77777 guineas a month."

QUOTES = ("", "'", '"', "`", "')", "'))", "';", '");', "\\'", "%27", "’", "/*", "$$", "\u02bc", "'||'")
TAILS = (
    " OR 1=1--", " OR 'a'='a", " UNION SELECT id, text FROM documents--", "; DROP TABLE documents;--",
    " AND (SELECT COUNT(*) FROM documents) > 0--", "; UPDATE collections SET tenant_id='acme'--",
    " ORDER BY 99--", "; SELECT pg_sleep(5)--",
    " AND 1=CAST((SELECT secret_hash FROM api_keys LIMIT 1) AS INT)--", "; ATTACH DATABASE 'x' AS y--",
    " LIKE '%'", " || (SELECT text FROM documents LIMIT 1) || '", "; DELETE FROM api_keys--",
    " AND randomblob(500000000)--", "; COPY documents TO PROGRAM 'id'--", " IN (SELECT id FROM documents)",
    "\x1a; SHUTDOWN--", " WAITFOR DELAY '0:0:5'--", "$.tenant_id", "$[*]", "'->>'tenant_id", "{$ne: null}",
    "__proto__", "%", "_", ":tenant_id", "%(tenant_id)s", "?", "{0}", "; PRAGMA writable_schema=1--",
    " HAVING 1=1--", " AND EXTRACTVALUE(1,1)--", "*", "<>", "\x00",
)  # fmt: skip
PAYLOADS = ["".join(parts) for parts in itertools.product(QUOTES, TAILS)]
COMMIT = PAYLOADS[::17]
OF_A_DATABASE = ("sqlalche", "sqlite3", "psycopg", "syntax error", "unterminated", "OperationalError")


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    more = {}
    if request.param == "postgresql":
        more = {"storage": {"database_url": request.getfixturevalue("postgres_server").new_database()}}
    with installation(tmp_path_factory.mktemp("injection"), **more) as place:
        place.server.tenants.engine_of("acme").ingest_text(OURS, title="Lease", source="ours")
        place.server.tenants.engine_of("other").ingest_text(THEIRS, title="Lease", source="theirs")
        place.keys["acme"] = place.key("acme", "read", "write")
        yield place


def rows(place: Installation) -> dict[str, list[str]]:
    """Everything that is stored, but for the accounts, which each answer may change."""
    with place.store._database.read() as connection:
        return {
            name: sorted(map(repr, connection.execute(text(f"SELECT * FROM {name}")).all()))
            for name in metadata.tables
            if name != "token_usage"
        }


def attempts(payload: str) -> Iterator[tuple[str, str, dict[str, object]]]:
    """(method, path, what is sent) for every place where a caller's text reaches a query."""
    question = {"question": "How much is the rent a month?"}
    yield "POST", "/v1/search", {"json": {**question, "metadata": {payload: "x"}}}
    yield "POST", "/v1/search", {"json": {**question, "metadata": {"name": payload}}}
    yield "POST", "/v1/search", {"json": {**question, "metadata": {"name": {payload: [payload]}}}}
    yield "POST", "/v1/search", {"json": {**question, "document_ids": [payload]}}
    yield "POST", "/v1/search", {"json": {**question, "collection": payload}}
    yield "POST", "/v1/explain", {"json": {**question, "document": payload}}
    yield "GET", "/v1/documents", {"params": {"collection": payload}}
    yield "GET", "/v1/documents", {"params": {"cursor": payload}}
    yield "GET", "/v1/batches", {"params": {"cursor": payload}}
    yield "GET", "/v1/documents/ID", {}
    yield "GET", "/v1/batches/ID", {}
    yield "DELETE", "/v1/documents/ID", {}
    yield "DELETE", "/v1/collections/ID", {}


def check_payloads(place: Installation, payloads: list[str]) -> int:
    from urllib.parse import quote

    client, before, sent = place.client(place.keys["acme"]), rows(place), 0
    for payload in payloads:
        for method, path, options in attempts(payload):
            reply = client.request(method, path.replace("ID", quote(payload, safe="")), **options)
            assert reply.status_code in (200, 400, 404, 405, 422), (payload, method, path, reply.text)
            assert not [word for word in (*OF_A_DATABASE, "guineas") if word in reply.text], (payload, path, reply.text)
            assert "900 euros" not in reply.text or "cursor" in options.get("params", {}), (payload, path, reply.text)
            sent += 1
    assert rows(place) == before
    return sent


def test_a10_payloads_have_no_effect_on_either_database(place: Installation) -> None:
    assert len(PAYLOADS) > 500
    assert check_payloads(place, COMMIT) == 13 * len(COMMIT)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a10_all_payloads_have_no_effect_on_either_database(place: Installation) -> None:
    assert check_payloads(place, PAYLOADS) == 13 * len(PAYLOADS)


def test_a10_a_payload_that_is_stored_is_found_as_what_it_says(place: Installation) -> None:
    """A value is not refused because it looks dangerous: it is a value."""
    client = place.client(place.key("literal", "read", "write"))
    engine = place.server.tenants.engine_of("literal")
    for number, payload in enumerate(COMMIT[:10]):
        engine.ingest_text(f"Rent number {number} is due.", source=f"{payload}#{number}")
    listed = [item["source"] for item in client.get("/v1/documents").json()["documents"]]
    stored = [f"{payload}#{number}".replace("\x00", "\ufffd") for number, payload in enumerate(COMMIT[:10])]
    assert sorted(listed) == sorted(stored)


def test_a10_a_key_that_is_sql_is_a_wrong_key(place: Installation) -> None:
    for number, payload in enumerate(COMMIT):
        key = payload.encode("ascii", "ignore").decode().replace("\x00", "").replace("\x1a", "")
        reply = place.client(f"fv_{key}", peer=(f"198.51.100.{number}", 1)).get("/v1/documents")
        assert reply.status_code == 401
