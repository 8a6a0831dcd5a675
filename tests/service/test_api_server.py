"""The server as a process: it starts on a free port, and a signal ends it without losing work."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from domain.errors import ConfigurationError
from service.api.server import run_server
from tests.service.api_fakes import FakeEngine, FakeJobQueue
from tests.service.http_server import served

ROOT = Path(__file__).parents[2]

SCRIPT = """
import time
from service.api.server import run_server
from tests.service.api_fakes import LEASE, FakeEngine, FakeJobQueue
from tests.service.http_server import served

engine, jobs = FakeEngine({"lease.txt": LEASE}), FakeJobQueue()
engine.between_parts = lambda: time.sleep(0.5)
index = engine.ingest_bytes
engine.ingest_bytes = lambda *args, **kwargs: time.sleep(1) or index(*args, **kwargs)
run_server(served(engine, jobs), "127.0.0.1", 0)
print("closed", [job.status.value for job in jobs.jobs.values()], flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_c8_a_signal_lets_a_running_answer_and_the_job_in_hand_finish_and_exits_with_0(number):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        url = re.fullmatch(r"Fovea listens on (http://127\.0\.0\.1:\d+)\n", process.stderr.readline()).group(1)
        with httpx.Client(base_url=url, timeout=30) as client:
            client.post("/v1/documents", files={"files": ("a.txt", b"Alpha.", "text/plain")})
            with client.stream("POST", "/v1/ask", json={"question": "q", "stream": True}) as response:
                parts = response.iter_text()
                text = next(parts)
                process.send_signal(number)
                text += "".join(parts)
        assert "event: answer" in text
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert output == "closed ['ready']\n"
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_a12_an_open_address_without_a_key_does_not_start():
    with pytest.raises(ConfigurationError, match="without an API key"):
        run_server(served(FakeEngine(), FakeJobQueue()), "0.0.0.0", 0)


def test_a_port_that_is_taken_is_named_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}.*--port"):
            run_server(served(FakeEngine(), FakeJobQueue()), "127.0.0.1", port)
