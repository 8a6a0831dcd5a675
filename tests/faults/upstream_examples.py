"""A server of ours over a model server that fails: what the tests of cases U and C7 look at from outside."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fovea import open_engine
from service.api.app import create_app
from service.engine import Engine
from service.settings import ContextSettings, EncoderSettings, GenerationSettings, Settings
from tests.service.api_fakes import FakeJobQueue
from tests.service.http_server import running

RENT = "The rent of the cottage is 840 pounds a month."
QUESTION = "Is the rent of the cottage 840 pounds a month?"
TEXT = "The rent is 840 pounds a month [1]."
MESSAGES = [{"role": "user", "content": QUESTION}]

# How a question is asked: path, body.
DOORS = {
    "ask": ("/v1/ask", {"question": QUESTION}),
    "ask stream": ("/v1/ask", {"question": QUESTION, "stream": True}),
    "chat": ("/v1/chat/completions", {"messages": MESSAGES}),
    "chat stream": ("/v1/chat/completions", {"messages": MESSAGES, "stream": True}),
}


@cache
def _knowing_the_rent() -> TemporaryDirectory[str]:
    """A data directory that holds the rent, made once; every engine works on a copy of it."""
    folder = TemporaryDirectory(prefix="fovea-rent-")
    settings = Settings(data_dir=Path(folder.name) / "data", encoder=EncoderSettings(model="hashing"))
    with open_engine(settings=settings) as engine:
        engine.ingest_text(RENT, title="Lease", source="rent")
    return folder


@contextmanager
def engine_over(
    folder: Path, upstream: str, context: dict[str, Any] | None = None, **generation: Any
) -> Iterator[Engine]:
    """An engine that knows the rent and asks the model at `upstream`."""
    shutil.copytree(Path(_knowing_the_rent().name) / "data", folder / "data")
    settings = Settings(
        data_dir=folder / "data",
        encoder=EncoderSettings(model="hashing"),
        context=ContextSettings(**(context or {})),
        generation=GenerationSettings(generator="openai", base_url=upstream, model="tiny", **generation),
    )
    with open_engine(settings=settings) as engine:
        yield engine


@contextmanager
def served_over(folder: Path, upstream: str, **options: Any) -> Iterator[str]:
    """The base URL of a server over such an engine."""
    with engine_over(folder, upstream, **options) as engine, running(create_app(engine, FakeJobQueue())) as url:
        yield url


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether a condition comes true within a generous time."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def open_sockets() -> int:
    """Sockets, and the pipes and polls of event loops, of this process; the database's pool of files is no leak."""
    gc.collect()
    links = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the listing's own
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return sum(not link.startswith("/") for link in links)


def calls_in_flight() -> int:
    """Threads that wait for a model."""
    return sum(thread.name == "fovea-generation" for thread in threading.enumerate())
