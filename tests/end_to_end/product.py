"""The product as its users start it: the `fovea` command in a process of its own, over the hashing encoder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.settings import EncoderSettings, Settings

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
FOVEA = (sys.executable, "-m", "fovea")


def hashing(data_dir: Path, **sections: Any) -> Settings:
    """Settings of an engine whose encoder needs no model."""
    return Settings(data_dir=data_dir, encoder=EncoderSettings(model="hashing"), **sections)


def environment(**more: str) -> dict[str, str]:
    """The environment of a child: the tree under test, the hashing encoder, and what `more` adds or replaces."""
    ours = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "FOVEA_ENCODER__MODEL": "hashing", "NO_COLOR": "1"}
    return os.environ | ours | more


def fovea(*arguments: object, cwd: Path | None = None, text: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; `more` goes to its environment."""
    return subprocess.run(
        [*FOVEA, *map(str, arguments)],
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(**more),
        cwd=cwd,
        timeout=120,
    )


def fovea_json(*arguments: object, **more: Any) -> Any:
    """What a command prints with --json, which must be one document and nothing else, at exit 0."""
    done = fovea(*arguments, "--json", **more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def serving(data_dir: Path, *arguments: object, **more: str) -> Iterator[str]:
    """The base URL of `fovea serve` on a free port; it is ended as an operator would, by SIGTERM."""
    command = [*FOVEA, "serve", "--port", "0", "--data-dir", str(data_dir), *map(str, arguments)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(**more))
    assert child.stderr is not None
    try:
        seen: list[str] = []
        address = None
        while address is None:
            line = child.stderr.readline()
            assert line, f"the server ended: {''.join(seen)}"
            seen.append(line)
            address = re.search(r"listens on (\S+)", line)
        yield address[1]
    finally:
        child.send_signal(signal.SIGTERM)
        child.stderr.read()  # a full pipe would keep it from ending
        child.stderr.close()
        assert child.wait(60) == 0
