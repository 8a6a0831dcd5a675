"""A11: MCP over HTTP stands behind the same door: keys, hosts, origins; every caller has its own documents."""

from __future__ import annotations

import anyio
import httpx
import pytest
from mcp import Client as McpClient

from service.api.draining import Drain
from service.api.mcp import bound_to_caller
from service.api.mcp_process import create_mcp_app
from service.keys import KeyRing, NoKeys
from service.mcp_server import create_mcp_server
from tests.security.tenancy_server import LOCAL, Reply, installation, raw_request
from tests.service.http_server import running

OURS = "Our lamp is serviced twice a year by Amara Okafor."
THEIRS = "Their lamp is serviced by nobody, which is a secret."
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
HEADERS = {"Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("mcp")) as place:
        place.server.tenants.engine_of("acme").ingest_text(OURS, title="Lamp", source="ours")
        place.server.tenants.engine_of("acme").ingest_text("The vault.", title="V", source="v", collection="vault")
        place.server.tenants.engine_of("other").ingest_text(THEIRS, title="Lamp", source="theirs")
        place.server.tenants.engine_of("other").ingest_text(THEIRS, title="L", source="deep", collection="deep")
        for tenant in ("acme", "other"):
            place.keys[tenant] = place.key(tenant, "read")
        place.keys["bound"] = place.key("acme", "read", collections=frozenset({"default"}))
        place.keys["writer"] = place.key("acme", "write")
        yield place


def call_tool(place, key, tool, **arguments):
    """The tool's result, over true HTTP and by the SDK's own client."""

    async def talk(url):
        from mcp.client.streamable_http import streamable_http_client

        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {place.keys[key]}"}, timeout=30) as web:
            async with McpClient(streamable_http_client(f"{url}/mcp", http_client=web)) as client:
                return await client.call_tool(tool, arguments)

    with running(place.app) as url:
        return anyio.run(talk, url)


def test_a11_every_caller_is_answered_from_its_own_documents(place):
    ours = call_tool(place, "acme", "search", question="Who services the lamp?").structured_content
    theirs = call_tool(place, "other", "search", question="Who services the lamp?").structured_content
    assert {item["source"] for item in ours["evidence"]} == {"ours"}
    assert {item["source"] for item in theirs["evidence"]} == {"theirs"}
    listed = call_tool(place, "acme", "list_documents").structured_content
    assert {item["source"] for item in listed["documents"]} == {"ours"}


@pytest.mark.parametrize(("key", "foreign", "nothing"), [("acme", "deep", "dee0"), ("bound", "vault", "vaul0")])
def test_a2_an_mcp_argument_that_names_a_foreign_collection_names_none(place, key, foreign, nothing):
    for tool, arguments in (("search", {"question": "What?"}), ("ask", {"question": "What?"}), ("list_documents", {})):
        one = call_tool(place, key, tool, collection=foreign, **arguments)
        none = call_tool(place, key, tool, collection=nothing, **arguments)
        assert one.is_error == none.is_error
        assert one.content[0].text.replace(foreign, "X") == none.content[0].text.replace(nothing, "X")


@pytest.mark.parametrize(
    ("key", "headers", "status"),
    [
        (None, {}, 401),
        ("wrong", {}, 401),
        ("writer", {}, 403),
        ("acme", {"origin": "https://evil.example.org"}, 403),
        ("acme", {"origin": "null"}, 403),
        ("acme", {"origin": "http://rag.example.org"}, 200),  # this server's own page
        ("acme", {}, 200),
    ],
)
def test_a11_who_has_no_key_or_comes_from_another_sites_page_is_refused(place, key, headers, status):
    token = place.keys.get(key, key)
    client = place.client(token, **headers)
    assert client.post("/mcp", json=CALL, headers=HEADERS).status_code == status
    if status != 200:
        refused: Reply = raw_request(place.app, "POST", "/mcp", token, headers=headers)
        assert (refused.status, refused.reads) == (status, 0)


def test_a11_no_tool_writes(place):
    tools = place.client(place.keys["acme"]).post("/mcp", json=CALL, headers=HEADERS).json()["result"]["tools"]
    assert {tool["name"] for tool in tools} == {"search", "ask", "list_documents"}
    assert all(tool["annotations"]["readOnlyHint"] for tool in tools)


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:8001", None, 200),
        ("localhost:8001", "http://localhost:8001", 200),
        ("rebound.example.org:8001", None, 403),
        ("127.0.0.1.example.org", None, 403),
        ("127.0.0.1:8001", "https://evil.example.org", 403),
        ("127.0.0.1:8001", "http://127.0.0.1:3000", 403),
        ("127.0.0.1:8001", "null", 403),
    ],
)
def test_a11_without_keys_the_process_of_mcp_lets_only_the_local_user_in(place, host, origin, status):
    engine = place.server.tenants.engine_of("acme")
    place_of_its_own = create_mcp_app(lambda _: engine, KeyRing(NoKeys()))
    headers = {"host": host, **({"origin": origin} if origin else {})}
    reply = mcp_client(place_of_its_own).post("/mcp", json=CALL, headers={**HEADERS, **headers})
    assert reply.status_code == status
    elsewhere = raw_request(place_of_its_own, "POST", "/mcp", headers=headers)
    assert (elsewhere.status, elsewhere.reads) == (403, 0)


def mcp_client(app):
    from starlette.testclient import TestClient

    return TestClient(app, base_url="http://127.0.0.1:8001", client=LOCAL, raise_server_exceptions=False)


def test_a11_with_keys_the_process_of_mcp_asks_for_one_and_still_refuses_a_rebound_host(place):
    app = create_mcp_app(bound_to_caller(place.server.tenants), place.server.keys)
    client = mcp_client(app)
    assert client.post("/mcp", json=CALL, headers=HEADERS).status_code == 401
    with_key = {**HEADERS, "Authorization": f"Bearer {place.keys['acme']}"}
    assert client.post("/mcp", json=CALL, headers=with_key).status_code == 200
    assert client.post("/mcp", json=CALL, headers={**with_key, "Host": "rebound.example.org"}).status_code == 421
    assert client.get("/v1/documents", headers=with_key).status_code == 404


def test_c8_the_process_of_mcp_waits_for_running_calls_and_takes_no_others_once_it_ends(place):
    drain, seen = Drain(), []

    def engine_for(_):
        seen.append(drain.running)
        return place.server.tenants.engine_of("acme")

    client = mcp_client(create_mcp_app(engine_for, KeyRing(NoKeys()), drain=drain))
    call = {**CALL, "method": "tools/call", "params": {"name": "list_documents", "arguments": {}}}
    assert client.post("/mcp", json=call, headers=HEADERS).status_code == 200
    assert (seen, drain.running) == ([1], 0)
    drain.begin()
    refused = client.post("/mcp", json=call, headers=HEADERS)
    assert (refused.status_code, refused.json()["code"], seen) == (503, "shutting_down", [1])


def test_a11_stdio_needs_no_key(place):
    async def talk():
        async with McpClient(create_mcp_server(place.server.tenants.engine_of("acme"))) as client:
            return await client.call_tool("search", {"question": "Who services the lamp?"})

    assert anyio.run(talk).structured_content["evidence"][0]["source"] == "ours"


def test_l10_a_day_of_tokens_ends_over_mcp_too(place):
    from domain.access import Limits

    place.keys["poor"] = place.key("acme", "read", limits=Limits(tokens_per_day=5))
    first = call_tool(place, "poor", "ask", question="Who services the lamp?")
    second = call_tool(place, "poor", "ask", question="Who services the lamp?")
    assert not first.is_error
    assert second.is_error and "quota_exceeded" in second.content[0].text
