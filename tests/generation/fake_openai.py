"""A model server that misbehaves on command: a raw TCP server on loopback that plays one script a connection.

A script is a sequence of steps: bytes are sent as they are, a float is a pause in seconds, `RESET` aborts the
connection with RST, `FOREVER(data, pause)` repeats data until the client leaves. After the last step the connection is
closed. The server notes every request it got, and how many clients left before their script was over.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

RESET = "reset"


@dataclass(frozen=True)
class Forever:
    data: bytes
    pause: float = 0.0


Step = bytes | float | str | Forever
Script = Sequence[Step]

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def event(body: Any) -> bytes:
    return b"data: " + (body.encode() if isinstance(body, str) else json.dumps(body).encode()) + b"\n\n"


def delta(text: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "c1", "choices": [{"index": 0, "delta": {"content": text, **more}, "finish_reason": finish}]}


def answer(*parts: str, finish: str | None = "stop", done: bool = True) -> bytes:
    """The body of a well-formed stream."""
    events = [event(delta(part)) for part in parts]
    ends = [event(delta(None, finish))] if finish else []
    usage = [event({"id": "c1", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": len(parts)}})]
    return b"".join([*events, *ends, *usage, *([event("[DONE]")] if done else [])])


def status(code: int, body: str = "{}", headers: Iterable[tuple[str, str]] = ()) -> bytes:
    lines = [f"HTTP/1.1 {code} Status", "Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join([*lines, "Connection: close", "", ""]) + body).encode()


@dataclass
class FakeOpenAI:
    """The running server; `requests` holds head and body of each request."""

    scripts: list[Script]
    port: int = 0
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    left_early: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def serve(self, listener: socket.socket) -> None:
        for script in self.scripts:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(read_request(connection))
                try:
                    self._play(connection, script)
                except OSError:
                    self.left_early += 1
        self.over.set()

    def _play(self, connection: socket.socket, script: Script) -> None:
        for step in script:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif isinstance(step, float):
                time.sleep(step)
            elif isinstance(step, Forever):
                while True:
                    connection.sendall(step.data)
                    time.sleep(step.pause)
            else:  # RESET: closing with a zero linger sends RST
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
        connection.shutdown(socket.SHUT_WR)


def read_request(connection: socket.socket) -> tuple[str, dict[str, Any]]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return head.decode(), json.loads(body)


@contextmanager
def fake_openai(*scripts: Script) -> Iterator[FakeOpenAI]:
    """Serve one script a connection, in order; connections beyond them are refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = FakeOpenAI(list(scripts), port=listener.getsockname()[1])
        thread = threading.Thread(target=server.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
            thread.join(timeout=5)
