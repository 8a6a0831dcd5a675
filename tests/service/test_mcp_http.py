"""What the MCP specification asks of a server over HTTP: methods, bodies and headers that are not a plain request."""

from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

from service.api.draining import Drain
from service.api.mcp_process import create_mcp_app
from service.keys import KeyRing, NoKeys

HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
MODERN = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}


class Silent:
    """An engine that no test here asks a question."""

    def list_documents(self, collection, limit, after):
        return []


@pytest.fixture(scope="module")
def drain():
    return Drain()


@pytest.fixture(scope="module")
def client(drain):
    app = create_mcp_app(lambda _: Silent(), KeyRing(NoKeys()), drain=drain)
    return TestClient(app, base_url="http://127.0.0.1:8001", client=("127.0.0.1", 50_000))


def posted(client, body, **headers):
    content = body if isinstance(body, str) else json.dumps(body)
    return client.post("/mcp", content=content, headers={**HEADERS, **headers})


def request(method="ping", **members):
    return {"jsonrpc": "2.0", "id": 1, "method": method, **members}


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
@pytest.mark.parametrize("headers", [{}, {"Last-Event-ID": "3"}, {"Mcp-Session-Id": "one"}])
def test_there_is_no_stream_to_open_and_no_session_to_end(client, drain, method, headers):
    """A stream would tell nothing, and the server would wait for it when it ends."""
    reply = client.request(method, "/mcp", headers={"Accept": "text/event-stream", **headers})
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert drain.running == 0


@pytest.mark.parametrize(
    ("body", "known", "said"),
    [
        (request(id=None), None, "`id`"),
        (request(id=1.5), None, "`id`"),
        (request(id=True), None, "`id`"),
        (request(id=[1]), None, "`id`"),
        (request(jsonrpc="1.0"), 1, "`jsonrpc`"),
        ({"id": "a", "method": "ping"}, "a", "`jsonrpc`"),
        (request(method=7), 1, "`method`"),
        (request(params=[1]), 1, "`params`"),
        (request(params=None), 1, "`params`"),
        ({"jsonrpc": "2.0", "id": 1}, 1, "a `method`, a `result` or an `error`"),
        ([request()], None, "batches"),
        ([], None, "batches"),
        ("text", None, "batches"),
    ],
)
def test_what_is_no_message_is_refused_with_the_id_it_has(client, body, known, said):
    """A request whose id is unusable must not pass for a notification: its sender would wait for an answer."""
    reply = client.post("/mcp", json=body, headers=HEADERS)
    answer = reply.json()
    assert (reply.status_code, answer["id"], answer["error"]["code"]) == (400, known, -32600)
    assert said in answer["error"]["message"] and "pydantic" not in reply.text


@pytest.mark.parametrize(
    "body",
    [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}},
        {"jsonrpc": "2.0", "method": "notifications/unheard_of"},
        {"jsonrpc": "2.0", "id": 5, "result": {}},
        {"jsonrpc": "2.0", "id": 5, "error": {"code": -1, "message": "no"}},
    ],
)
def test_notifications_and_answers_are_accepted_without_a_body(client, body):
    reply = posted(client, body)
    assert (reply.status_code, reply.content) == (202, b"")


@pytest.mark.parametrize("identity", [0, -7, 2**63 - 1, "", "ä\u0000", "x" * 10_000])
def test_an_answer_carries_the_id_of_its_request(client, identity):
    reply = posted(client, request(id=identity))
    assert (reply.status_code, reply.json()) == (200, {"jsonrpc": "2.0", "id": identity, "result": {}})


@pytest.mark.parametrize("body", ["", '{"jsonrpc":', '{"jsonrpc":"2.0","id":NaN,"method":"ping"}', "[" * 90_000])
def test_what_is_no_json_is_refused(client, body):
    assert posted(client, body).status_code == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Accept": "application/json"}, 200),
        ({"Accept": "*/*"}, 200),
        ({"Accept": "text/html"}, 406),
        ({"Content-Type": "text/plain"}, 400),
        ({"MCP-Protocol-Version": "2025-06-18"}, 200),
        ({"MCP-Protocol-Version": "2025-11-25"}, 200),
        ({"MCP-Protocol-Version": "1999-01-01"}, 400),
        ({"Mcp-Session-Id": "somebody's"}, 200),  # there are none, so none is taken over
    ],
)
def test_headers_are_held_to_the_specification(client, headers, status):
    assert posted(client, request(), **headers).status_code == status


@pytest.mark.parametrize(
    ("asked", "agreed"), [("2025-06-18", "2025-06-18"), ("2025-11-25", "2025-11-25"), ("1999-01-01", "2025-11-25")]
)
def test_a_version_that_both_know_is_agreed_on(client, asked, agreed):
    params = {"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    result = posted(client, request("initialize", params=params)).json()["result"]
    assert (result["protocolVersion"], result["capabilities"]) == (agreed, {"tools": {"listChanged": False}})


@pytest.mark.parametrize(("name", "status"), [("list_documents", 200), ("  list_documents \t", 200), ("search", 400)])
def test_blanks_around_a_header_are_no_part_of_it(client, name, status):
    """RFC 9110, 5.5. The header has to name the tool that the body names."""
    call = request("tools/call", params={"name": "list_documents", "arguments": {}, "_meta": META})
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": name}
    assert posted(client, call, **headers).status_code == status


def test_no_method_opens_an_endless_stream(client):
    listen = request("subscriptions/listen", params={"notifications": {"toolsListChanged": True}, "_meta": META})
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"}
    reply = posted(client, listen, **headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, -32601)
