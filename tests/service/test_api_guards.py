"""What stands before the routes: keys, hosts, origins, body limits and the JSON gate.

The names begin with the case of the reliability catalogue that they hold.
"""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from domain.errors import ConfigurationError
from service.api.app import create_app
from service.api.binding import check_binding, host_of, is_loopback
from service.api.json_gate import JsonRefused, parse_json
from tests.service.api_fakes import FakeEngine, FakeJobQueue, local_client
from tests.service.http_server import running

PUBLIC = {"/healthz", "/readyz", "/", "/docs", "/openapi.json"}
CHAT = {"messages": [{"role": "user", "content": "q"}]}


@pytest.fixture
def client():
    return local_client(FakeEngine(), max_body_bytes=20_000, max_json_bytes=5_000)


def make_client(**options):
    peer = options.pop("client", ("127.0.0.1", 50000))
    base_url = options.pop("base_url", "http://127.0.0.1")
    app = create_app(FakeEngine(), FakeJobQueue(), **options)
    return TestClient(app, base_url=base_url, client=peer, raise_server_exceptions=False)


def protected_routes():
    paths = create_app(FakeEngine(), FakeJobQueue()).openapi()["paths"]
    return [(method, path) for path, methods in paths.items() if path not in PUBLIC for method in methods]


@pytest.mark.parametrize("key", [None, "wrong", "key-", "key-12", "KEY-1", "", "ключ"])
def test_a1_no_route_answers_without_the_key_and_no_body_is_read(key):
    app = create_app(FakeEngine(), FakeJobQueue(), api_key="key-1")
    assert len(protected_routes()) > 12
    for method, path in protected_routes():
        reads = []
        reply = asgi_call(app, method.upper(), path, key, reads)
        assert (path, reply["status"]) == (path, 401)
        assert reads == [], path


def asgi_call(app, method, path, key, reads):
    """Call the application by hand, counting how often it asks for a part of the body."""
    import asyncio

    headers = [(b"host", b"rag.example.org"), (b"content-type", b"application/json")]
    if key is not None:
        headers.append((b"authorization", f"Bearer {key}".encode()))
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
        "client": ("10.0.0.1", 1), "server": ("x", 80), "scheme": "http", "state": {},
    }  # fmt: skip
    sent = []

    async def receive():
        reads.append(1)
        return {"type": "http.request", "body": b"{", "more_body": True}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return {"status": sent[0]["status"], "headers": dict(sent[0]["headers"])}


def test_a1_the_key_opens_every_route_and_public_pages_need_none():
    client = make_client(api_key="key-1", client=("10.0.0.1", 1), base_url="http://rag.example.org")
    headers = {"Authorization": "Bearer key-1"}
    assert client.get("/v1/documents", headers=headers).status_code == 200
    assert client.get("/v1/documents", headers={"Authorization": "bearer  key-1 "}).status_code == 200
    assert client.get("/healthz").status_code == 200
    assert client.get("/").status_code == 200
    refused = client.get("/metrics")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["code"] == "unauthorized"
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("peer", "host", "origin", "status"),
    [
        ("127.0.0.1", "127.0.0.1:8000", None, 200),
        ("127.0.0.1", "localhost:8000", "http://localhost:8000", 200),
        ("::1", "[::1]:8000", None, 200),
        ("10.0.0.5", "127.0.0.1:8000", None, 403),  # another machine
        ("127.0.0.1", "rebound.example.org:8000", None, 403),  # DNS rebinding
        ("127.0.0.1", "127.0.0.1.example.org", None, 403),
        ("127.0.0.1", "localhost:8000", "http://evil.example.org", 403),  # another site's page
        ("127.0.0.1", "localhost:8000", "http://localhost:3000", 403),
        ("127.0.0.1", "localhost:8000", "null", 403),
    ],
)
def test_a7_without_a_key_only_the_local_user_is_let_in(peer, host, origin, status):
    headers = {"Host": host} | ({"Origin": origin} if origin else {})
    client = make_client(client=(peer, 1))
    assert client.get("/v1/documents", headers=headers).status_code == status


def test_i15_a_forwarded_header_makes_nobody_local():
    client = make_client(client=("10.0.0.5", 1))
    headers = {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
    assert client.get("/v1/documents", headers=headers).status_code == 403


def test_a12_other_addresses_are_not_served_without_a_key():
    for host in ("0.0.0.0", "::", "192.168.1.4", "example.org", ""):
        with pytest.raises(ConfigurationError, match="without an API key"):
            check_binding(host, has_key=False)
        check_binding(host, has_key=True)
    for host in ("127.0.0.1", "localhost", "::1", "[::1]", "127.8.0.1"):
        check_binding(host, has_key=False)


def test_hosts_are_read_without_their_port():
    assert [host_of(text) for text in ("a:1", "[::1]:8", "::1", "a", "")] == ["a", "::1", "::1", "a", ""]
    assert not is_loopback("127.0.0.1.evil.org")
    assert is_loopback("LOCALHOST.")


@pytest.mark.parametrize(
    ("headers", "size", "status"),
    [
        ({"Content-Type": "application/json"}, 5_001, 413),
        ({"Content-Type": "application/json", "Content-Length": "100000000"}, 10, 413),
        ({"Content-Type": "application/json", "Content-Length": "9" * 5000}, 10, 413),
        ({"Content-Type": "application/json", "Content-Length": "-1"}, 10, 400),
        ({"Content-Type": "application/json", "Content-Length": "1e3"}, 10, 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 20_001, 413),
    ],
)
def test_i12_a_body_over_its_limit_is_refused(client, headers, size, status):
    reply = client.post("/v1/documents", content=b" " * size, headers=headers)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["code"] == ("body_too_large" if status == 413 else "bad_request")


@pytest.mark.parametrize("media_type", ["application/json", "multipart/form-data; boundary=x"])
def test_i12_an_endless_chunked_body_is_cut_off_at_the_limit(client, media_type):
    taken = []

    def endless():
        for _ in range(1000):
            taken.append(1)
            yield b"--x\r\n" + b"y" * 1019

    reply = client.post("/v1/documents", content=endless(), headers={"Content-Type": media_type})
    assert reply.status_code in (400, 413)
    assert reply.headers["content-type"] == "application/problem+json"


def test_i12_an_endless_body_over_a_real_connection_is_not_read_to_its_end():
    import socket

    with running(create_app(FakeEngine(), FakeJobQueue(), max_body_bytes=64 * 1024)) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            head = f"POST /v1/documents HTTP/1.1\r\nHost: {host}:{port}\r\nTransfer-Encoding: chunked\r\n"
            connection.sendall(head.encode() + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n")
            sent = 0
            try:
                while sent < 64 * 1024 * 1024:
                    connection.sendall(b"4000\r\n" + b"z" * 0x4000 + b"\r\n")
                    sent += 0x4000
            except OSError:  # the server closed while we were still writing
                pass
            assert sent < 64 * 1024 * 1024


def form_in(client, path, field, charset):
    head = f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="-é{"a" * 500}.csv"\r\n\r\n'
    body = head.encode() + b"question\nWhat is the rent?\n\r\n--x--\r\n"
    return client.post(path, content=body, headers={"content-type": f"multipart/form-data; boundary=x{charset}"})


@pytest.mark.parametrize(("path", "field"), [("/v1/documents", "files"), ("/v1/batches", "file")])
@pytest.mark.parametrize("charset", ["undefined", "punycode", "latin-1"])
def test_i13_a_form_in_another_encoding_than_utf_8_is_refused(client, path, field, charset):
    reply = form_in(client, path, field, f"; charset={charset}")
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("charset", ["", "; charset=UTF-8", '; charset="utf8"'])
def test_a_form_may_say_that_it_is_utf_8(client, charset):
    reply = form_in(client, "/v1/documents", "files", charset)
    assert reply.status_code == 202
    assert reply.json()["documents"][0]["source"].startswith("-éaaa")


def test_i12_a_form_of_ten_thousand_parts_is_refused(client):
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    app = local_client(FakeEngine())
    body = part * 10_000 + b"--x--\r\n"
    reply = app.post("/v1/documents", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert reply.status_code == 400
    assert reply.headers["content-type"] == "application/problem+json"


HOSTILE_JSON = {
    "100k deep": b"[" * 100_000,
    "100k deep, closed": b"[" * 100_000 + b"]" * 100_000,
    "65 deep": b'{"a":' * 65 + b"1" + b"}" * 65,
    "5,000 digits": b'{"question": ' + b"9" * 5000 + b"}",
    "int64 + 1": b'{"question": "q", "max_tokens": 9223372036854775808}',
    "NaN": b'{"question": NaN}',
    "Infinity": b'{"question": "q", "metadata": {"x": -Infinity}}',
    "1e999": b'{"question": "q", "metadata": {"x": 1e999}}',
    "lone surrogate": b'{"question": "\\ud800"}',
    "lone surrogate in a key": b'{"question": "q", "metadata": {"\\udfff": 1}}',
    "same key twice": b'{"question": "q", "question": "r"}',
    "not UTF-8": b'{"question": "\xff\xfe"}',
    "UTF-16": '{"question": "q"}'.encode("utf-16"),
    "cut off": b'{"question": "q"',
    "two values": b'{"question": "q"} {}',
    "NUL": b"\x00",
}


@pytest.mark.parametrize("name", HOSTILE_JSON)
@pytest.mark.parametrize(
    "path", ["/v1/search", "/v1/ask", "/v1/explain", "/v1/chat/completions", "/v1/documents", "/v1/collections"]
)
def test_i13_hostile_json_is_the_callers_error(name, path):
    client = local_client(FakeEngine())
    reply = client.post(path, content=HOSTILE_JSON[name], headers={"Content-Type": "application/json"})
    assert reply.status_code == 400
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["code"] == "invalid_json"


@pytest.mark.parametrize("media_type", ["application/json, text/plain", "Application/JSON ;x=1", "application/x+json"])
def test_i13_json_by_any_name_passes_the_gate(media_type):
    client = local_client(FakeEngine())
    reply = client.post("/v1/search", content=b'{"question": NaN}', headers={"Content-Type": media_type})
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_json")


def test_i13_a_key_of_a_megabyte_is_refused_and_not_echoed():
    client = local_client(FakeEngine())
    reply = client.post("/v1/search", json={"question": "q", "k" * 1_000_000: 1})
    assert reply.status_code == 422
    assert len(reply.content) < 5000


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON_VALUES)
@settings(max_examples=200, deadline=None)
def test_the_json_gate_lets_every_plain_value_through_unchanged(value):
    assert parse_json(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) == value


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_the_json_gate_reads_or_refuses_any_bytes_and_never_crashes(data):
    try:
        parse_json(data)
    except JsonRefused:
        pass


def test_unknown_routes_and_methods_are_problems_too(client):
    for reply, status, code in (
        (client.get("/v1/none"), 404, "not_found"),
        (client.put("/v1/search"), 405, "method_not_allowed"),
        (client.get("/static/../../settings.py"), 404, "not_found"),
        (client.get("/static/none.js"), 404, "not_found"),
    ):
        assert (reply.status_code, reply.json()["code"]) == (status, code)
        assert reply.headers["content-type"] == "application/problem+json"


def test_an_unknown_route_is_told_where_the_known_ones_are_listed(client):
    detail = client.post("/v1/completions", json={}).json()["detail"]
    pages = re.findall(r"/[a-z.]+", detail)
    assert pages == ["/docs", "/openapi.json"]
    assert [client.get(page).status_code for page in pages] == [200, 200]


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/v1/search", {"max_token": 9}, "body.max_token: unknown field, did you mean max_tokens?"),
        ("/v1/documents", {"text": "x", "titel": "y"}, "body.titel: unknown field, did you mean title?"),
        ("/v1/collections", {"name": "x", "colour": 1}, "body.colour: unknown field (name is known)"),
        (
            "/v1/search",
            {"history": [{"role": "user", "contents": "x", "content": "{y}"}]},
            "body.history.0.contents: unknown field, did you mean content?",
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "x"}], "fovea": {"colection": "x"}},
            "body.fovea.colection: unknown field, did you mean collection?",
        ),
    ],
)
def test_an_unknown_field_is_named_with_the_nearest_known_one(client, path, body, detail):
    reply = client.post(path, json={"question": "Who?"} | body if path == "/v1/search" else body)
    assert (reply.status_code, reply.json()["code"], reply.json()["detail"]) == (422, "invalid_request", detail)


def test_beside_an_unknown_field_the_other_mistakes_are_told_in_pydantics_words(client):
    detail = client.post("/v1/search", json={"questions": "Who?", "max_tokens": 0}).json()["detail"]
    assert detail.split("; ") == [
        "body.question: Field required",
        "body.max_tokens: Input should be greater than or equal to 1",
        "body.questions: unknown field, did you mean question?",
    ]


@pytest.mark.parametrize(
    ("given_id", "kept"), [("abc-1.Z_9", True), ("a" * 65, False), ("a b", False), ("<script>", False), ("", False)]
)
def test_i15_a_request_id_is_kept_where_it_is_harmless_and_made_otherwise(client, given_id, kept):
    reply = client.get("/healthz", headers={"X-Request-ID": given_id})
    assert (reply.headers["x-request-id"] == given_id) is kept
    assert len(reply.headers["x-request-id"]) in (len(given_id) if kept else 32, 32)


def test_security_headers_stand_on_every_reply(client):
    for path in ("/", "/docs", "/v1/models", "/none", "/static/chat.js"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    for path in ("/", "/docs", "/static/chat.js", "/static/icon.svg"):
        policy = client.get(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy and "*" not in policy
