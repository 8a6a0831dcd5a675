"""Requests that lie, drip or never end (cases I12, I15, C14): what is read of them, and how they are answered."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message

from service.api.app import create_app
from service.api.bodies import BodyGate
from service.api.errors import install_error_handlers
from tests.service.api_fakes import FakeEngine, FakeJobQueue, local_client
from tests.service.http_server import running

KIB = 1024
LIMIT = 64 * KIB
FORM = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'


# --- a small application behind the gate: it reads what it is sent, or answers slowly ---


async def _length(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def _slow_answer(request: Request) -> Response:
    await request.body()

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0.2)
            yield b"."

    return StreamingResponse(parts())


def gated(body_seconds: float = 60.0) -> Any:
    app = Starlette(
        routes=[Route("/length", _length, methods=["POST"]), Route("/slow", _slow_answer, methods=["POST"])]
    )
    install_error_handlers(app)  # type: ignore[arg-type]  # it needs no more than any Starlette application has
    return BodyGate(app, max_body_bytes=LIMIT, max_json_bytes=LIMIT // 2, body_seconds=body_seconds)


def asked(
    app: Any, path: str, headers: Mapping[str, str], parts: Sequence[bytes], pause: float = 0.0
) -> tuple[int, int]:
    """Call an application by hand with a body that never ends by itself: (status, bytes that it asked for)."""
    source: Iterator[bytes] = iter(parts)
    read, sent = 0, []

    async def receive() -> Message:
        nonlocal read
        await asyncio.sleep(pause)
        piece = next(source, b"y" * KIB)
        read += len(piece)
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80), "scheme": "http", "state": {}, "headers": [(b"host", b"127.0.0.1"), *raw],
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], read


# --- I12: sizes ---


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream", FORM, ""])
@pytest.mark.parametrize("length", [None, "10", str(LIMIT)])
def test_i12_an_endless_body_is_read_to_its_limit_and_no_further(kind: str, length: str | None) -> None:
    headers = {"content-type": kind, "transfer-encoding": "chunked"} | ({"content-length": length} if length else {})
    if kind == "application/json" and length == str(LIMIT):
        assert asked(gated(), "/length", headers, []) == (413, 0)
        return
    status, read = asked(gated(), "/length", headers, [])
    assert status == 413
    assert read <= LIMIT + 64 * KIB


@pytest.mark.parametrize("length", ["-1", "+5", "1e3", "0x10", "5 5", "５", "", " 5", "5,5", "nan", "9" * 5000])
def test_i12_a_length_that_is_no_number_or_too_large_is_refused_unread(length: str) -> None:
    headers = {"content-type": "application/json", "content-length": length}
    raw = [(name.encode(), value.encode("utf-8")) for name, value in headers.items()]
    sent: list[Message] = []

    async def never() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/length", "headers": raw, "query_string": b"", "state": {}}
    asyncio.run(gated()(scope, never, send))
    assert sent[0]["status"] in (400, 413)
    assert (b"connection", b"close") in sent[0]["headers"]


FORMS = {
    "a preamble without end": [b"junk " * 200] * 1000,
    "a header without end": [b"--x\r\nX-A: ", *[b"a" * KIB] * 1000],
    "headers without end": [b"--x\r\n", *[b"X-A: b\r\n" * 100] * 1000],
    "a name without end": [b'--x\r\nContent-Disposition: form-data; name="', *[b"a" * KIB] * 1000],
    "a file name of 32 KiB": [PART.replace(b"a.txt", b"a" * 32 * KIB) + b"x\r\n--x--\r\n"],
    "parts without end": [PART + b"x\r\n"] * 100_000,
    "fields without end": [b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n'] * 100_000,
    "boundaries without end": [b"--x\r\n" * 200] * 1000,
    "dashes": [b"-" * KIB] * 1000,
    "line ends": [b"\r\n" * 512] * 1000,
    "a boundary that nearly matches": [PART, *[b"\r\n--" * 256] * 1000],
}


@pytest.mark.parametrize("name", FORMS)
def test_i12_a_form_that_means_harm_is_refused_within_its_limit(name: str) -> None:
    app = create_app(FakeEngine(), FakeJobQueue(), max_body_bytes=LIMIT)
    status, read = asked(app, "/v1/documents", {"content-type": FORM, "transfer-encoding": "chunked"}, FORMS[name])
    assert status in (400, 413, 422)
    assert read <= LIMIT + 64 * KIB


def test_i12_the_work_for_a_form_grows_with_its_length_and_no_faster() -> None:
    """Lines that nearly are boundaries: four times as many take about four times as long, both spooled to disk."""

    def work(mebibytes: int) -> float:
        app = create_app(FakeEngine(), FakeJobQueue(), max_body_bytes=mebibytes * KIB * KIB)
        started = time.process_time()
        asked(app, "/v1/documents", {"content-type": FORM}, [PART, *[b"\r\n--" * 256] * (2 * KIB * mebibytes)])
        return time.process_time() - started

    work(2)
    assert work(8) < 10 * min(work(2) for _ in range(2))


# --- C14: time ---


def test_c14_a_body_that_drips_is_answered_408() -> None:
    headers = {"content-type": "application/octet-stream", "content-length": "1000"}
    status, read = asked(gated(body_seconds=0.3), "/length", headers, [b"x"] * 1000, pause=0.05)
    assert status == 408
    assert read <= 10


def test_c14_json_that_drips_is_answered_408_too() -> None:
    headers = {"content-type": "application/json", "transfer-encoding": "chunked"}
    assert asked(gated(body_seconds=0.2), "/length", headers, [b" "] * 1000, pause=0.05)[0] == 408


def test_c14_a_steady_body_gets_more_time_for_what_came() -> None:
    """64 KiB earn a second: this one takes twice the time that a dripping one has, and is read to its end."""
    part, app = b"x" * (8 * KIB), gated(body_seconds=0.2)
    headers = {"content-type": "application/octet-stream", "transfer-encoding": "chunked"}
    assert asked(app, "/length", headers, [part] * 8, pause=0.06)[0] == 413  # read on, to the limit of its size


def test_c14_an_answer_may_take_longer_than_a_body() -> None:
    """Once the body is there, the wait for the client to leave has no end."""
    with running(gated(body_seconds=0.2)) as url, talk(url) as connection:
        send_request(connection, "/slow", {"Content-Length": "2"}, b"{}")
        assert status_of(connection) == 200


def test_c14_a_slow_body_over_a_real_connection_is_ended() -> None:
    with running(gated(body_seconds=0.3)) as url, talk(url) as connection:
        send_request(connection, "/length", {"Content-Length": "50000"}, b"x")
        assert status_of(connection) == 408
        connection.settimeout(20)
        while connection.recv(4096):
            pass  # the server closes


# --- over a real connection: framing and headers ---


@contextmanager
def talk(url: str) -> Iterator[socket.socket]:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        yield connection


def send_request(connection: socket.socket, path: str, headers: Mapping[str, str], body: bytes = b"") -> None:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def reply_of(connection: socket.socket) -> bytes:
    """Everything up to the end of the head, or up to the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data and (piece := connection.recv(65536)):
        data += piece
    return data


def status_of(connection: socket.socket) -> int:
    found = re.match(rb"HTTP/1\.1 (\d{3})", reply_of(connection))
    return int(found.group(1)) if found else 0


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running(create_app(FakeEngine(), FakeJobQueue(), max_body_bytes=LIMIT)) as url:
        yield url


JSON_BODY = b'{"question": "rent?"}'
FRAMING = {
    "both lengths": f"Content-Length: {len(JSON_BODY)}\r\nTransfer-Encoding: chunked",
    "two lengths": f"Content-Length: {len(JSON_BODY)}\r\nContent-Length: 5",
    "a negative length": "Content-Length: -1",
    "a length with a sign": f"Content-Length: +{len(JSON_BODY)}",
    "an unknown coding": "Transfer-Encoding: gzip, chunked",
    "a coding twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "a folded header": f"X-A: b\r\n c\r\nContent-Length: {len(JSON_BODY)}",
    "a space before the colon": f"Content-Length : {len(JSON_BODY)}",
    "a header without a name": f": b\r\nContent-Length: {len(JSON_BODY)}",
    "a header without a colon": f"X\r\nContent-Length: {len(JSON_BODY)}",
    "NUL in a header": f"X-A: a\x00b\r\nContent-Length: {len(JSON_BODY)}",
    "a bare carriage return": f"X-A: a\rb\r\nContent-Length: {len(JSON_BODY)}",
    "a header of 80 KiB": f"X-A: {'a' * 80 * KIB}\r\nContent-Length: {len(JSON_BODY)}",
    "two thousand headers": "\r\n".join(f"X-{number}: {'b' * 40}" for number in range(2000)) + "\r\nContent-Length: 0",
    "no length": "X-A: b",
}


AMBIGUOUS = ("both lengths", "two lengths", "a negative length", "a length with a sign", "a space before the colon")


@pytest.mark.parametrize("name", FRAMING)
def test_i15_a_request_with_broken_framing_is_refused_or_read_in_one_way_only(server: str, name: str) -> None:
    """Never a 5xx; and where two readers could disagree on the end of the body, one refusal and then silence."""
    head = f"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{FRAMING[name]}\r\n\r\n"
    second = b"GET /v1/collections HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-ID: smuggled\r\n\r\n"
    with talk(server) as connection:
        try:
            connection.sendall(head.encode("latin-1"))
            connection.sendall(JSON_BODY + second)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused while we were still writing
        reply = _all_of(connection)
    statuses = [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d{3})", reply, re.MULTILINE)]
    assert all(200 <= status < 500 for status in statuses), reply[:300]
    assert b"Traceback" not in reply
    if name in AMBIGUOUS:
        assert statuses in ([400], []), reply[:600]
        assert b"smuggled" not in reply


def _all_of(connection: socket.socket) -> bytes:
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except OSError:
        pass
    return data


REFLECTED = {
    "X-Request-ID": "abc\r\nX-Evil: 1",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "evil",
    "X-Original-URL": "/v1/collections",
    "Forwarded": "for=127.0.0.1;host=evil.example",
    "Origin": "http://127.0.0.1",
    "Referer": "http://evil.example/<script>",
    "User-Agent": "<script>alert(1)</script>",
    "Accept-Language": "../../etc/passwd",
    "Cookie": "session=<script>",
    "If-None-Match": "*" * 1000,
}


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/healthz", "/v1/models", "/v1/none", "/static/chat.js", "/static/none"]
)
def test_i15_no_header_comes_back_in_an_answer(path: str) -> None:
    client = local_client(FakeEngine())
    for name, value in REFLECTED.items():
        reply = client.get(path, headers={name: value})
        assert reply.status_code < 500
        shown = "\n".join(f"{key}: {item}" for key, item in reply.headers.items()) + reply.text
        for mark in ("evil", "X-Evil", "alert(1)", "etc/passwd", "session="):
            assert mark not in shown or path == "/static/chat.js"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1@evil.example", "127.0.0.1.evil.example", "", "127.0.0.1, evil", "\u00ff"]
)
def test_i15_another_host_name_is_refused_where_there_is_no_key(host: str) -> None:
    assert local_client(FakeEngine()).get("/v1/models", headers={"host": host.encode("latin-1")}).status_code == 403


@pytest.mark.parametrize(
    "ranges",
    ["bytes=0-0," * 10_000 + "1-1", "bytes=" + ",".join(f"{n}-" for n in range(5000)), "bytes=-", "bytes=9-1", "x=0-1",
     "bytes=99999999999999999999-", "bytes=0-99999999999999999999", "bytes=" + "-" * 50_000],
)  # fmt: skip
def test_i15_ten_thousand_ranges_cost_no_more_than_the_file(ranges: str) -> None:
    client = local_client(FakeEngine())
    whole = len(client.get("/static/chat.js").content)
    reply = client.get("/static/chat.js", headers={"Range": ranges})
    assert reply.status_code in (200, 206, 400, 416)
    assert len(reply.content) <= 2 * whole + 1000


@pytest.mark.parametrize(
    "path",
    ["/static/../settings.py", "/static/%2e%2e/settings.py", "/static/..%2fsettings.py", "/static//etc/passwd",
     "/static/..\\settings.py", "/static/%00", "/static/chat.js%00.html", "/static/%ff", "/static/" + "a" * 5000,
     "/v1/documents/..%2f..%2fetc%2fpasswd", "/v1/documents/%00", "/v1/documents/%ed%a0%80",
     "/v1/documents/" + "a" * 5000,
     "/v1/documents/%F0%9F%98%80", "/v1/collections/%2e%2e", "/%0d%0aSet-Cookie:a=b"],
)  # fmt: skip
def test_i10_no_path_leads_out_of_the_static_folder_and_no_id_is_a_path(path: str) -> None:
    client = local_client(FakeEngine())
    for method in ("GET", "DELETE"):
        reply = client.request(method, path, follow_redirects=False)
        assert reply.status_code in (400, 404, 405, 422), (method, reply.status_code)
        assert "set-cookie" not in reply.headers
        assert reply.headers["content-type"] == "application/problem+json"
        assert "/work" not in reply.text and "Traceback" not in reply.text
