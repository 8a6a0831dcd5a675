"""What searching clients notice of an ingest run beside them, against a real `fovea serve` process.

    python -m benchmarks.load [--clients 32] [--seconds 300] [--documents 1000] [--idle-seconds 60]

The server starts on an empty data directory, reads a first set of documents and is warmed up. Then the clients search,
each one question after another, first alone ("idle"), then while documents are uploaded and indexed ("busy"). Every
reply is checked: status 200, evidence there, and each of its spans is the text that was sent. A prober asks /healthz
twenty times a second; the event loop's lag is the server's own measure, from /metrics; memory is that of the server
with its parsers, once a second.

Documents are made of shuffled sentences of the samples, with a number of their own. Clients, server and parsers share
the machine: times count as the ratio of busy to idle, measured in one run. The exit status is 1 where a reply was bad.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

import httpx
import psutil

from benchmarks import machine
from benchmarks.arguments import add_encoder
from benchmarks.markdown import table

_ROOT = Path(__file__).parent.parent
_SAMPLES = _ROOT / "samples"
_FIRST_DOCUMENTS = 100  # there from the start, so that idle searches find something
_PROBE_SECONDS = 0.05
_MIB = 1024 * 1024
_LAG = "fovea_event_loop_lag_seconds_bucket"


@dataclass(frozen=True, slots=True)
class Load:
    """How much is asked of the server. `sentences` is the length of a document; 15 are about two chunks."""

    clients: int = 32
    seconds: float = 300.0
    idle_seconds: float = 60.0
    documents: int = 1000
    sentences: int = 15
    seed: int = 0


@dataclass(slots=True)
class Phase:
    """What was seen in one phase: seconds of searches and of /healthz, the loop's lag, memory (MiB), what went wrong.

    `lag` maps upper bounds in seconds to how many measurements lay below them.
    """

    seconds: float = 0.0
    searches: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    lag: dict[float, int] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def lag_quantile(self, share: float) -> float:
        """The smallest bucket bound below which that share of the measurements lies; 0 where there are none."""
        total = max(self.lag.values(), default=0)
        return min((bound for bound, count in self.lag.items() if count >= share * total), default=0.0)


@dataclass(slots=True)
class Report:
    """Both phases, and how many of the documents were ready when the busy one ended."""

    load: Load
    idle: Phase
    busy: Phase
    ingested: int

    @property
    def errors(self) -> list[str]:
        return [*self.idle.errors, *self.busy.errors]

    def ratio(self, share: float) -> float:
        """How much longer that quantile of the searches took beside the ingest run."""
        return quantile(self.busy.searches, share) / quantile(self.idle.searches, share)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def made_documents(count: int, sentences: int, seed: int, prefix: str = "note") -> dict[str, str]:
    """Texts by source name, of shuffled sentences of the English and the Chinese samples."""
    drawn = random.Random(seed)
    known = []
    for path in sorted(_SAMPLES.glob("*.[mt]*")):
        text = re.sub(r"\s+", " ", path.read_text(encoding="utf-8"))
        known += [part for part in re.split(r"(?<=[.!?])\s+|(?<=[。！？])", text) if len(part) > 12]
    return {
        f"{prefix}-{number:05}.txt": " ".join([f"This is {prefix} {number}.", *drawn.choices(known, k=sentences)])
        for number in range(count)
    }


class Server:
    """`fovea serve` on a free port over a directory; ended by SIGTERM, and its exit status checked."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self._log = (data_dir.parent / "server.log").open("w")
        command = [sys.executable, "-m", "fovea", "serve", "--port", "0", "--data-dir", str(data_dir)]
        environment = os.environ | {"PYTHONPATH": str(_ROOT)} | environment
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self.url = self._listening()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def memory(self) -> float:
        """Resident MiB of the process and its children."""
        total = 0
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.process.pid)
            for one in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += one.memory_info().rss
        return total / _MIB

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        code = self.process.wait(60)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        self._log.close()
        if error is None and code != 0:
            raise RuntimeError(f"The server ended with {code}; {self._log.name} says why.")

    def _listening(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._log.write(line)
            if found := re.search(r"listens on (\S+)", line):
                return found[1]
        raise RuntimeError(f"The server did not start; {self._log.name} says why.")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._log.write(line)


class Clients:
    """Everybody who talks to the server. `texts` are the documents that it was sent, or is being sent."""

    def __init__(self, server: Server, load: Load) -> None:
        self._server, self._load = server, load
        self._random = random.Random(load.seed)
        self.texts: dict[str, str] = {}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits)

    async def ready(self) -> None:
        """Wait until the server is."""
        while (await self._client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.2)

    async def close(self) -> None:
        await self._client.aclose()

    async def upload(self, texts: Mapping[str, str]) -> None:
        """Send documents one after the other; a server that is busy is asked again when it says."""
        self.texts |= texts
        for source, text in texts.items():
            while True:
                files = {"files": (source, text.encode(), "text/plain")}
                reply = await self._client.post("/v1/documents", files=files)
                if reply.status_code not in (429, 503):
                    break
                await asyncio.sleep(float(reply.headers["retry-after"]))
            reply.raise_for_status()

    async def indexed(self) -> int:
        """How many documents are searchable, as far as the metrics know."""
        text = (await self._client.get("/metrics")).text
        found = re.search(r"^fovea_documents (\S+)$", text, re.MULTILINE)
        return int(float(found[1])) if found else 0

    async def phase(self, seconds: float) -> Phase:
        """All clients search for so many seconds."""
        phase, before = Phase(), await self._lag()
        started = time.perf_counter()
        ends = started + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(self._load.clients):
                group.create_task(self._search_until(ends, phase))
            group.create_task(self._probe_until(ends, phase))
            group.create_task(self._weigh_until(ends, phase))
        phase.seconds = time.perf_counter() - started
        after = await self._lag()
        phase.lag = {bound: count - before.get(bound, 0) for bound, count in after.items()}
        return phase

    async def _search_until(self, ends: float, phase: Phase) -> None:
        while time.perf_counter() < ends:
            question = self._question()
            started = time.perf_counter()
            try:
                reply = await self._client.post("/v1/search", json={"question": question})
            except httpx.HTTPError as error:
                phase.errors.append(f"{type(error).__name__}: {error}")
                continue
            phase.searches.append(time.perf_counter() - started)
            if wrong := self._wrong(reply):
                phase.errors.append(wrong)

    async def _probe_until(self, ends: float, phase: Phase) -> None:
        async with httpx.AsyncClient(base_url=self._server.url, timeout=60) as client:
            while time.perf_counter() < ends:
                started = time.perf_counter()
                if (await client.get("/healthz")).status_code != 200:
                    phase.errors.append("/healthz did not answer 200")
                phase.health.append(time.perf_counter() - started)
                await asyncio.sleep(_PROBE_SECONDS)

    async def _weigh_until(self, ends: float, phase: Phase) -> None:
        while time.perf_counter() < ends:
            phase.memory.append(self._server.memory())
            await asyncio.sleep(min(1.0, max(0.0, ends - time.perf_counter())))

    def _question(self) -> str:
        text = self.texts[self._random.choice(list(self.texts)[:_FIRST_DOCUMENTS])]
        sentence = self._random.choice(re.split(r"(?<=[.!?])\s+|(?<=[。！？])\s*", text)[1:] or [text])
        return sentence.strip()[:120] or text[:120]

    def _wrong(self, reply: httpx.Response) -> str | None:
        """What is wrong with a reply to a search; None where all of it is right."""
        if reply.status_code != 200:
            return f"status {reply.status_code}: {reply.text[:200]}"
        for item in reply.json()["evidence"]:
            text = self.texts.get(item["source"], "")
            if not item["spans"] or any(text[one["start"] : one["end"]] not in item["text"] for one in item["spans"]):
                return f"evidence of {item['source']} is not what its document says"
        return None

    async def _lag(self) -> dict[float, int]:
        text = (await self._client.get("/metrics")).text
        found = re.findall(rf'^{_LAG}{{le="([^"]+)"}} (\S+)$', text, re.MULTILINE)
        return {float(bound): int(float(count)) for bound, count in found}


async def run(server: Server, load: Load, tell: Callable[[str], None]) -> Report:
    """Both phases against a server that runs already, on an empty directory."""
    clients = Clients(server, load)
    try:
        await clients.ready()
        await clients.upload(made_documents(_FIRST_DOCUMENTS, load.sentences, load.seed, "first"))
        while await clients.indexed() < _FIRST_DOCUMENTS:
            await asyncio.sleep(0.2)
        await clients.phase(min(3.0, load.idle_seconds))  # warms up: the first searches load and compile
        tell(f"{load.clients} clients search for {load.idle_seconds:g} s ...")
        idle = await clients.phase(load.idle_seconds)
        tell(f"The same for {load.seconds:g} s beside {load.documents:,} documents ...")
        made = made_documents(load.documents, load.sentences, load.seed + 1)
        uploading = asyncio.create_task(clients.upload(made))
        busy = await clients.phase(load.seconds)
        ingested = await clients.indexed() - _FIRST_DOCUMENTS
        if not uploading.done():
            uploading.cancel()
        with suppress(asyncio.CancelledError):
            await uploading
        return Report(load, idle, busy, ingested)
    finally:
        await clients.close()


def measure(load: Load, environment: Mapping[str, str], tell: Callable[[str], None] = lambda _: None) -> Report:
    """Start a server, run both phases against it, end it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fovea-load-")))
        server = stack.enter_context(Server(folder / "data", **environment))
        return asyncio.run(run(server, load, tell))


def shown(report: Report) -> str:
    """The report as tables."""
    phases = (("idle", report.idle), ("busy", report.busy))
    rows = [_row(name, phase) for name, phase in phases]
    ratios = ["busy / idle", "", *(f"{report.ratio(share):.2f}" for share in (0.5, 0.95, 0.99)), "", "", ""]
    names = ("phase", "searches a second", "p50 ms", "p95 ms", "p99 ms", "/healthz p99 ms", "loop lag p99 ms", "errors")
    memory = report.busy.memory or [0.0]
    every = max(1, len(memory) // 10)
    return "\n\n".join(
        [
            table(names, [*rows, ratios]),
            f"{report.ingested:,} of {report.load.documents:,} documents were ready at the end.",
            f"Memory, MiB, over the busy phase: {' '.join(f'{one:.0f}' for one in memory[::every])}; "
            f"idle median {statistics.median(report.idle.memory or [0.0]):.0f}.",
            *(f"Bad: {error}" for error in sorted(set(report.errors))[:10]),
        ]
    )


def _row(name: str, phase: Phase) -> list[str]:
    quantiles = [f"{1000 * quantile(phase.searches, share):.0f}" for share in (0.5, 0.95, 0.99)]
    health, lag = 1000 * quantile(phase.health, 0.99), 1000 * phase.lag_quantile(0.99)
    rate = len(phase.searches) / phase.seconds if phase.seconds else 0.0
    return [name, f"{rate:.1f}", *quantiles, f"{health:.0f}", f"<= {lag:g}", str(len(phase.errors))]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    defaults = Load()
    parser.add_argument("--clients", type=int, default=defaults.clients, help="that search at the same time")
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="of the busy phase")
    parser.add_argument("--idle-seconds", type=float, default=defaults.idle_seconds, help="of the idle phase")
    parser.add_argument("--documents", type=int, default=defaults.documents, help="uploaded in the busy phase")
    parser.add_argument("--sentences", type=int, default=defaults.sentences, help="of a document; 15 are two chunks")
    parser.add_argument("--json", type=Path, help="write every figure here")
    add_encoder(parser, kept="models")
    given = parser.parse_args()
    load = Load(given.clients, given.seconds, given.idle_seconds, given.documents, given.sentences)
    environment = {"FOVEA_ENCODER__MODEL": given.model, "FOVEA_ENCODER__MODELS_DIR": str(given.cache / "models")}
    report = measure(load, environment, lambda text: print(text, file=sys.stderr, flush=True))
    print(shown(report))
    print(f"\n{given.model}; {machine.describe()}.")
    if given.json:
        given.json.write_text(json.dumps({**asdict(report), "machine": machine.describe()}, indent=1))
    sys.exit(1 if report.errors else 0)


if __name__ == "__main__":
    main()
