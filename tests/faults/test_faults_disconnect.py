"""A client that hangs up ends what runs for it, down to the model's call, whatever that call is doing (case C7)."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import statistics
from pathlib import Path

import httpx
import pytest

from tests.faults.upstream_examples import DOORS, calls_in_flight, eventually, open_sockets, served_over
from tests.generation.fake_openai import STREAM_HEAD, Forever, answer, delta, event
from tests.generation.fault_server import HANG, FaultServer, Script, fault_server

SEED = int(os.environ.get("FOVEA_TEST_SEED", "7"))
GOOD = [STREAM_HEAD, answer("The rent is 840 pounds a month [1].")]

# States of the model's call in which the client leaves.
STATES: dict[str, Script] = {
    "no reply": [HANG],
    "reply begun": [STREAM_HEAD, HANG],
    "thinking": [STREAM_HEAD, Forever(b": keep-alive\n\n", 0.01)],
    "writing": [STREAM_HEAD, Forever(event(delta("The rent ")), 0.01)],
    "stuck in the middle": [STREAM_HEAD, event(delta("The rent is 840 pounds. ")), HANG],
}


def connect(url: str, door: str) -> socket.socket:
    """A client that has sent its question."""
    address = httpx.URL(url)
    path, body = DOORS[door]
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {address.host}\r\nContent-Type: application/json\r\n"
    client = socket.create_connection((address.host, address.port or 80))
    client.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return client


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("door", DOORS)
def test_c7_a_client_that_leaves_ends_the_models_call(door: str, state: str, tmp_path: Path) -> None:
    with fault_server(lambda *_: STATES[state]) as upstream, served_over(tmp_path, upstream.base_url) as url:
        with connect(url, door):
            assert upstream.begun.wait(timeout=20)
        assert eventually(lambda: upstream.left_early == 1)
        assert eventually(lambda: calls_in_flight() == 0)
        assert upstream.open == 0


def test_c7_a_client_that_stays_gets_its_answer_while_others_leave(tmp_path: Path) -> None:
    scripts = {0: [HANG], 1: [STREAM_HEAD, 0.3, answer("The rent is 840 pounds a month [1].")]}
    with fault_server(lambda number, _: scripts[number]) as upstream, served_over(tmp_path, upstream.base_url) as url:
        leaver = connect(url, "ask")
        assert upstream.begun.wait(timeout=20)
        with (
            httpx.Client(base_url=url, timeout=30) as client,
            client.stream("POST", DOORS["ask stream"][0], json=DOORS["ask stream"][1]) as reply,
        ):
            leaver.close()
            assert "event: answer" in "".join(reply.iter_text())
        assert eventually(lambda: upstream.left_early == 1)


def leave_many(tmp_path: Path, count: int, at_once: int) -> list[float]:
    """Let many clients leave at random moments; the seconds between each leaving and its model's call ending.

    Nothing may be left of them: no thread, no socket, no place.
    """
    print(f"FOVEA_TEST_SEED={SEED}")
    draw = random.Random(SEED)
    kinds = [draw.choice(list(STATES)) for _ in range(1 + count)]
    with (
        fault_server(lambda number, _: STATES[kinds[number]] if number <= count else GOOD) as upstream,
        served_over(tmp_path, upstream.base_url) as url,
    ):
        leave_together(url, ["ask"], upstream, [0.0])  # what is made once is made: pools, threads, caches
        before = open_sockets()
        waits = []
        while len(waits) < count:
            doors = [draw.choice(list(DOORS)) for _ in range(min(at_once, count - len(waits)))]
            waits += leave_together(url, doors, upstream, [draw.uniform(0, 0.05) for _ in doors])
        assert eventually(lambda: calls_in_flight() == 0 and upstream.open == 0)
        assert eventually(lambda: open_sockets() <= before), (before, open_sockets())
        with httpx.Client(base_url=url, timeout=30) as client:  # and every place is free again
            path, body = DOORS["ask"]
            assert client.post(path, json=body).json()["answer"] == "The rent is 840 pounds a month [1]."
    return waits


def leave_together(url: str, doors: list[str], upstream: FaultServer, stays: list[float]) -> list[float]:
    """Ask at several doors at once; each client leaves a moment after its model's call has begun."""
    called, left = len(upstream.requests), upstream.left_early
    clients = [connect(url, door) for door in doors]
    assert eventually(lambda: len(upstream.requests) == called + len(doors))

    async def leave() -> float:
        loop = asyncio.get_running_loop()

        async def one(client: socket.socket, stay: float) -> None:
            await asyncio.sleep(stay)
            client.close()

        await asyncio.gather(*(one(client, stay) for client, stay in zip(clients, stays, strict=True)))
        return loop.time()

    last_left = asyncio.run(leave())
    assert eventually(lambda: upstream.left_early == left + len(doors))
    return [at - last_left for at in upstream.left_at[left:]]


def test_c7_sixty_clients_leave_nothing_behind(tmp_path: Path) -> None:
    assert len(leave_many(tmp_path, count=60, at_once=6)) == 60


@pytest.mark.nightly
@pytest.mark.timeout(1_800)
def test_c7_a_thousand_clients_leave_nothing_behind(tmp_path: Path) -> None:
    waits = sorted(leave_many(tmp_path, count=1_000, at_once=8))
    print(f"seconds until the model's call ended: median {statistics.median(waits):.3f}, longest {waits[-1]:.3f}")
    assert waits[-1] <= 1.0
