"""SIGTERM in the middle of everything: streams, questions in line, a parse and fifty jobs."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.reliability.server_process import ServerProcess

STREAMS, UPLOADS = 20, 50
DRAIN_SECONDS = 2.0


async def settled(client: httpx.AsyncClient, count: int, seconds: float = 90.0) -> dict[str, str]:
    """The state of every document, once there are `count` and none is on its way."""
    deadline = time.monotonic() + seconds
    while True:
        listed = (await client.get("/v1/documents", params={"limit": 1000})).json()["documents"]
        states = {item["source"]: item["status"] for item in listed}
        if len(states) >= count and not {"queued", "running"} & set(states.values()):
            return states
        assert time.monotonic() < deadline, Counter(states.values())
        await asyncio.sleep(0.1)


async def upload(client: httpx.AsyncClient, name: str, text: str) -> None:
    reply = await client.post("/v1/documents", files={"files": (name, text.encode(), "application/octet-stream")})
    assert reply.status_code == 202, reply.text


async def ask(client: httpx.AsyncClient, number: int, started: list[int]) -> str:
    """How one streamed question ended: the name of its last event, or the code of a refusal."""
    question = "When is the jetty closed" + (" for ever?" if number % 2 else "?")
    text = ""
    async with client.stream("POST", "/v1/ask", json={"question": question, "stream": True}) as reply:
        async for part in reply.aiter_text():
            if not text:
                started.append(number)
            text += part
    if reply.status_code != 200:
        assert int(reply.headers["retry-after"]) > 0
        return str(json.loads(text)["code"])
    last = text.rstrip().split("\n\n")[-1].split("\n")
    name = last[0].removeprefix("event: ")
    return str(json.loads(last[1].removeprefix("data: "))["code"]) if name == "error" else name


async def until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def fill_and_end(server: ServerProcess) -> tuple[Counter[str], list[httpx.Response]]:
    """Give the server everything to do, send it SIGTERM, and look at it while it drains."""
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
        await upload(client, "first.txt", "The jetty is closed in winter.")
        await settled(client, 1)
        await upload(client, "parse.slow", "A parse that takes long.")
        for number in range(UPLOADS):
            await upload(client, f"{number:02}.txt", f"Note {number} speaks of its own matter.")
        started: list[int] = []
        asked = [asyncio.create_task(ask(client, number, started)) for number in range(STREAMS)]
        await until(lambda: len(started) >= 10)
        server.send(signal.SIGTERM)
        try:
            seen = [await client.get(path) for path in ("/readyz", "/healthz")]
            seen.append(await client.post("/v1/search", json={"question": "When?"}))
        finally:
            ends = await asyncio.gather(*asked, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return Counter(map(str, ends)), seen


def restarted(data_dir: Path, count: int) -> dict[str, str]:
    async def look(url: str) -> dict[str, str]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            return await settled(client, count)

    with ServerProcess(data_dir) as server:
        states = asyncio.run(look(server.url))
        server.send(signal.SIGTERM)
        assert server.wait() == 0
    return states


def everything_is_ready(states: dict[str, str]) -> None:
    assert len(states) == UPLOADS + 2
    assert set(states.values()) <= {"ready", "indexed"}, states


def drained(data_dir: Path) -> None:
    with ServerProcess(data_dir, DRAIN_SECONDS, SLOW_SECONDS="50") as server:
        begun = time.monotonic()
        ends, (ready, healthy, refused) = asyncio.run(fill_and_end(server))
        assert server.wait(30) == 0, "".join(server.log)
        assert time.monotonic() - begun < 90
    assert (ready.status_code, ready.json()["code"], healthy.status_code) == (503, "shutting_down", 200)
    assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
    assert int(refused.headers["retry-after"]) > 0
    # Short answers arrive whole; endless ones, and whoever was still in line, are told; nothing is cut off in silence.
    assert set(ends) == {"answer", "shutting_down"}, ends
    assert ends["answer"] >= 5 and ends["shutting_down"] >= 5, ends
    assert "Traceback" not in "".join(server.log)
    everything_is_ready(restarted(data_dir, UPLOADS + 2))


def killed_in_the_drain(data_dir: Path) -> None:
    async def end(server: ServerProcess) -> None:
        asked = asyncio.create_task(fill_and_end(server))
        await until(lambda: asked.done() or server.process.poll() is not None or draining(server))
        server.send(signal.SIGTERM)
        with pytest.raises(httpx.HTTPError):  # streams are torn, as by any kill
            await asked

    def draining(server: ServerProcess) -> bool:
        try:
            return httpx.get(f"{server.url}/readyz", timeout=5).json().get("code") == "shutting_down"
        except httpx.HTTPError:
            return False

    with ServerProcess(data_dir, 30.0, SLOW_SECONDS="50") as server:
        asyncio.run(end(server))
        assert server.wait(10) == -signal.SIGTERM
    everything_is_ready(restarted(data_dir, UPLOADS + 2))


def test_c8_sigterm_ends_streams_with_an_error_puts_jobs_back_and_exits_with_0(tmp_path: Path) -> None:
    drained(tmp_path / "data")


def test_c8_a_second_sigterm_kills_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    killed_in_the_drain(tmp_path / "data")


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("end", [drained, killed_in_the_drain])
def test_c8_fifty_times(end, tmp_path: Path) -> None:
    for number in range(50):
        end(tmp_path / str(number))
