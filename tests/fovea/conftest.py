from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.api.app import create_app
from tests.service.api_fakes import LEASE, FakeEngine, FakeJobQueue
from tests.service.http_server import running


@pytest.fixture
def engine() -> FakeEngine:
    """An engine in memory that knows a lease."""
    return FakeEngine({"lease.txt": LEASE})


@pytest.fixture
def url(engine: FakeEngine) -> Iterator[str]:
    """A real server over the engine; its key is "key-1"."""
    with running(create_app(engine, FakeJobQueue(), api_key="key-1")) as base_url:
        yield base_url
