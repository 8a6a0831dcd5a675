"""What every test shares: no traffic beyond loopback, no model hub, one converted model for the whole run."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
for _name in [name for name in os.environ if name.startswith("FOVEA_") and name != "FOVEA_TEST_SEED"]:
    del os.environ[_name]  # a developer's own settings must not decide what the tests see

# Beside another worker of pytest-xdist, threads wait for one another's cores and take several times as long as one.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

# A shell that starts the tests in the background makes them deaf to Ctrl-C, which some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
# The converted encoder is dear (seconds of work, 240 MB) and the same for every run: kept beside the checkout.
MODELS_DIR = ROOT / ".fovea-test" / "models"


def _is_loopback(address: Any) -> bool:
    if not isinstance(address, tuple):  # a unix socket
        return True
    host = str(address[0])
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse connections to anything but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if not _is_loopback(address):
            raise AssertionError(f"A test tried to connect to {address!r}.")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    yield


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Where the real encoder's files are, converted by whichever test needs them first."""
    MODELS_DIR.mkdir(parents=True, exist_ok=True)
    return MODELS_DIR
