"""Ten times as many clients as the server takes on: whoever is in is served, the others are told when to come back."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from benchmarks.load import Server, made_documents

CAPACITY = 16 + 64  # at work and in line


async def search_until(client: httpx.AsyncClient, ends: float, seen: Counter[str]) -> None:
    """Search again and again; a client that is told to wait does."""
    while time.monotonic() < ends:
        reply = await client.post("/v1/search", json={"question": "When is the boiler serviced?"})
        if reply.status_code != 503:
            seen[str(reply.status_code)] += 1
            continue
        known = reply.json()["code"] == "overloaded" and int(reply.headers["retry-after"]) > 0
        seen["overloaded" if known else reply.text] += 1
        await asyncio.sleep(float(reply.headers["retry-after"]))


async def flooded(url: str, clients: int, seconds: float) -> Counter[str]:
    seen: Counter[str] = Counter()
    # Each request on a connection of its own: a crowd in one process is too slow to use one again before it is closed.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        ends = time.monotonic() + seconds
        await asyncio.gather(*(search_until(client, ends, seen) for _ in range(clients)))
    return seen


def overloaded(folder: Path, clients: int, seconds: float) -> None:
    wanted = clients + 300
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, wanted), hard), hard))  # the server inherits it
    with Server(folder / "data", FOVEA_ENCODER__MODEL="hashing") as server:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for source, text in made_documents(20, 10, 0).items():
                client.post("/v1/documents", files={"files": (source, text.encode(), "text/plain")}).raise_for_status()
            peak = asyncio.run(flooded(server.url, 16, seconds))
            before = server.memory()
            flood = asyncio.run(flooded(server.url, clients, seconds))
            assert client.get("/readyz").status_code == 200
        after = server.memory()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print(f"{clients} clients: {dict(flood)}; 16 clients: {dict(peak)}; goodput {flood['200'] / peak['200']:.2f}")
    print(f"MiB: {before:.0f} before, {after:.0f} after; {os.cpu_count()} cores")
    assert set(peak) == {"200"}
    assert set(flood) == {"200", "overloaded"}
    assert after < before + 200, "memory grows with the crowd"


def test_c5_more_clients_than_places_are_served_or_told_to_come_back(tmp_path):
    overloaded(tmp_path, 2 * CAPACITY, 2.0)


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_c5_ten_times_the_capacity(tmp_path):
    overloaded(tmp_path, 10 * CAPACITY, 20.0)
