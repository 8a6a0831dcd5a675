"""A server in a process of its own, with parts that a test chooses and a drain as short as the test wants it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parents[2]

_SCRIPT = """
import sys
from pathlib import Path
from service.api.server import run_server
from service.bootstrap import build_server
from service.settings import EncoderSettings, IngestionSettings, Settings
from tests.reliability.slow_parts import SlowGenerator

settings = Settings(
    data_dir=Path(sys.argv[1]),
    encoder=EncoderSettings(model="hashing"),
    ingestion=IngestionSettings(loaders=("tests.reliability.slow_parts:SlowLoader",), workers=1),
)
with build_server(settings, generator=SlowGenerator()) as server:
    run_server(server, "127.0.0.1", 0, drain_seconds=float(sys.argv[2]))
print("closed", flush=True)
"""


class ServerProcess:
    """Runs from its making until `wait`, `kill` or the end of the `with` block. `log` holds what it has said so far."""

    def __init__(self, data_dir: Path, drain_seconds: float = 2.0, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, str(data_dir), str(drain_seconds)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.log: list[str] = []
        self.url = self._listening()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 60.0) -> int:
        """The exit status: minus the signal's number where it died of one."""
        code = self.process.wait(seconds)
        self._reader.join(10)
        return code

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        assert self.process.stdout is not None and self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()

    def _listening(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r"listens on (\S+)", line):
                return found[1]
        raise AssertionError(f"the server ended: {''.join(self.log)}")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
