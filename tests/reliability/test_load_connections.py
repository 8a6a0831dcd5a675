"""Clients that send slowly, send too much, do not read or only connect are shown out, and others do not notice them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from service.api.app import create_app
from service.api.connections import ConnectionLimits, guarded_connections
from service.api.server import server_config
from tests.service.api_fakes import LEASE, FakeEngine, FakeJobQueue


@contextlib.contextmanager
def serving(engine: FakeEngine | None = None, **limits: float) -> Iterator[tuple[str, int]]:
    """Host and port of a server with these limits on its connections."""
    app = create_app(engine or FakeEngine({"lease.txt": LEASE}), FakeJobQueue())
    config = server_config(app, "127.0.0.1", 0)
    config.http = guarded_connections(ConnectionLimits(**limits))  # type: ignore[arg-type]
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield listener.getsockname()[:2]
        finally:
            server.should_exit = True
            thread.join(30)


def answer(client: socket.socket) -> bytes:
    """All that the server still says, until it closes the connection."""
    client.settimeout(20)
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            said += part
    return said


def healthy(address: tuple[str, int]) -> httpx.Response:
    with httpx.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=20) as client:
        return client.post("/v1/search", json={"question": "What is the rent?"})


def test_c14_a_client_that_drips_its_headers_is_shown_out_with_408():
    with serving(header_seconds=0.3) as address, socket.create_connection(address) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n")
        for letter in b"x-slow: ":
            with contextlib.suppress(OSError):
                client.sendall(bytes([letter]))
                time.sleep(0.02)
        said = answer(client)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"request_timeout"' in said and b"connection: close" in said
        assert healthy(address).status_code == 200


def test_c14_a_client_that_says_nothing_is_shown_out_without_a_word():
    with serving(header_seconds=0.3) as address, socket.create_connection(address) as client:
        assert answer(client) == b""


def test_c14_headers_of_a_second_request_have_the_same_deadline():
    with serving(header_seconds=0.3) as address, socket.create_connection(address) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        client.settimeout(20)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        client.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert answer(client).startswith(b"HTTP/1.1 408 ")


def test_c14_a_slow_answer_is_no_slow_request():
    engine = FakeEngine({"lease.txt": LEASE})
    engine.between_parts = lambda: time.sleep(0.5)
    with serving(engine, header_seconds=0.2) as address:
        with httpx.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=20) as client:
            assert client.post("/v1/ask", json={"question": "What is the rent?"}).status_code == 200


@pytest.mark.parametrize("whole", [True, False])
def test_headers_without_end_are_refused_with_431(whole):
    with serving(header_bytes=8192) as address, socket.create_connection(address) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n")
        with contextlib.suppress(OSError):
            for number in range(200):
                line = b"x-%d: " % number if whole or not number else b""
                client.sendall(line + b"a" * 1000 + (b"\r\n" if whole else b""))
                time.sleep(0.001)
        assert answer(client).startswith(b"HTTP/1.1 431 ")
        assert healthy(address).status_code == 200


LONG = "Rent is 900 euros a month. " * 400_000


def asking_for_megabytes(address: tuple[str, int], document_id: str) -> socket.socket:
    """A connection on which more is asked for than the system buffers on its way."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.connect(address)
    client.sendall(b"GET /v1/documents/%s/text HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" % document_id.encode())
    return client


@pytest.mark.parametrize("reads", [0, 100_000])
def test_c14_a_client_that_asks_and_stops_reading_is_cut_off_and_its_place_is_free(reads):
    engine = FakeEngine({"long.txt": LONG})
    with serving(engine, write_seconds=0.3, connections=3) as address, contextlib.ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(asking_for_megabytes(address, next(iter(engine.documents))))
            assert len(client.recv(max(1, reads), socket.MSG_WAITALL)) >= reads
        served, deadline = 0, time.monotonic() + 20
        while served < 5:  # more than could make room for each other
            assert time.monotonic() < deadline, "who does not read keeps a place"
            served = served + 1 if healthy(address).status_code == 200 else 0
            time.sleep(0.05)


def test_c14_a_client_that_reads_slowly_gets_all_of_its_answer():
    engine = FakeEngine({"long.txt": LONG})
    document_id = next(iter(engine.documents))
    with serving(engine, write_seconds=0.3) as address, asking_for_megabytes(address, document_id) as client:
        client.settimeout(20)
        received = 0
        while received < len(LONG):
            part = client.recv(65_536)
            assert part, "cut off although it reads"
            received += len(part)
            time.sleep(0.005)


def flood(address: tuple[str, int], count: int, stack: contextlib.ExitStack) -> list[socket.socket]:
    return [stack.enter_context(socket.create_connection(address)) for _ in range(count)]


def test_c14_idle_connections_take_no_place_from_a_client_that_asks():
    with serving(connections=20) as address, contextlib.ExitStack() as stack:
        idle = flood(address, 100, stack)
        assert healthy(address).status_code == 200
        assert answer(idle[0]) == b"", "the oldest has made room"


def test_c14_where_every_connection_is_at_work_the_next_one_gets_503():
    engine, go_on = FakeEngine({"lease.txt": LEASE}), threading.Event()
    engine.between_parts = lambda: go_on.wait(20)
    body = b'{"question": "q"}'
    head = b"POST /v1/ask HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    with serving(engine, connections=3) as address, contextlib.ExitStack() as stack:
        for client in flood(address, 3, stack):
            client.sendall(head % len(body) + body)
        deadline = time.monotonic() + 20
        while len(engine.calls) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with socket.create_connection(address) as late:
            said = answer(late)
        assert said.startswith(b"HTTP/1.1 503 ") and b"retry-after: 2" in said and b'"code":"overloaded"' in said
        go_on.set()


@pytest.mark.nightly
def test_c14_five_thousand_idle_connections():
    """In turns of what files this process may open; each turn is larger than the server's limit."""
    with serving(connections=200) as address:
        slowest = []
        for _ in range(10):
            with contextlib.ExitStack() as stack:
                flood(address, 400, stack)
                started = time.perf_counter()
                assert healthy(address).status_code == 200
                slowest.append(time.perf_counter() - started)
                flood(address, 100, stack)
                assert healthy(address).status_code == 200
        print("a healthy search among 500 idle connections, seconds:", [round(one, 3) for one in slowest])
