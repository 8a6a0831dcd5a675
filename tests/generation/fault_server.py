"""A model server that misbehaves on command: HTTP on loopback, one script a connection, many connections at once.

A script is a sequence of steps: bytes are sent as they are, a float is a pause in seconds, `RESET` aborts the
connection with RST, `HANG` says nothing more and keeps it open, `Forever(data, pause)` repeats data until the client
leaves. After the last step the connection is closed. What a connection gets is chosen by a function of its number and
its request, so a server can fail first and recover later. The server notes every request, how many connections are
open, and how many clients left before their script was over; it notices that at once, also while it is silent.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

RESET = "reset"
HANG = "hang"
_LINGER_0 = struct.pack("ii", 1, 0)  # closing with a zero linger sends RST


@dataclass(frozen=True)
class Forever:
    data: bytes
    pause: float = 0.0


Step = bytes | float | str | Forever
Script = Sequence[Step]
Request = tuple[str, dict[str, Any]]  # head, body
Behaviour = Callable[[int, dict[str, Any]], Script]


@dataclass
class FaultServer:
    """The running server. `behaviour(number, body)` gives the script of the connection `number`, from 0."""

    behaviour: Behaviour
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    called_at: list[float] = field(default_factory=list)  # on the monotonic clock
    left_early: int = 0
    left_at: list[float] = field(default_factory=list)
    open: int = 0
    over: threading.Event = field(default_factory=threading.Event)  # a connection has ended
    begun: threading.Event = field(default_factory=threading.Event)  # a request has come

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.open += 1
        end = writer.transport.abort
        try:
            request = await _read_request(reader)
            number = len(self.requests)
            self.requests.append(request)
            self.called_at.append(time.monotonic())
            self.begun.set()
            if await self._left_before_the_end(reader, writer, self.behaviour(number, request[1])):
                self.left_early += 1
                self.left_at.append(time.monotonic())
            else:
                end = writer.close
        except (ConnectionError, asyncio.IncompleteReadError):  # it left without a word
            self.left_early += 1
        except asyncio.CancelledError:  # the server stops
            pass
        finally:
            self.open -= 1
            end()
            with suppress(ConnectionError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), timeout=5)
            self.over.set()

    async def _left_before_the_end(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, script: Script
    ) -> bool:
        playing = asyncio.create_task(_play(writer, script))
        leaving = asyncio.create_task(reader.read())  # ends with the client's side of the connection
        done, pending = await asyncio.wait((playing, leaving), return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.wait(pending or done)
        for task in (playing, leaving):
            if not task.cancelled():
                task.exception()  # a broken connection is what this server is about
        return playing not in done or isinstance(playing.exception(), ConnectionError)


async def _play(writer: asyncio.StreamWriter, script: Script) -> None:
    for step in script:
        if isinstance(step, bytes):
            await _send(writer, step)
        elif isinstance(step, float):
            await asyncio.sleep(step)
        elif isinstance(step, Forever):
            while True:
                await _send(writer, step.data)
                await asyncio.sleep(step.pause)
        elif step == HANG:
            await asyncio.Event().wait()
        else:  # RESET
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
            writer.transport.abort()
            return
    writer.write_eof()


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(head.lower().partition("content-length:")[2].split("\r\n")[0])
    return head, json.loads(await reader.readexactly(length))


@contextmanager
def fault_server(behaviour: Behaviour) -> Iterator[FaultServer]:
    """Serve in a thread with an event loop of its own until the block ends; open connections are then aborted."""
    server = FaultServer(behaviour)
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def run() -> None:
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 20)
        server.port = listener.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        listener.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    assert ready.wait(timeout=10), "the fault server did not start"
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=10)
        _drain(loop)


def _drain(loop: asyncio.AbstractEventLoop) -> None:
    left = asyncio.all_tasks(loop)
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=5))
    loop.close()
