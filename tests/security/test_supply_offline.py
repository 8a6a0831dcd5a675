"""Fovea starts, reads and answers with every door to the network shut (case S3)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Every Python process of the run loads this first: children of parsers and of the conversion as well.
GUARD = """
import ipaddress, os, sys

def refuse(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost"):
        return
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass
    with open(os.environ["ATTEMPTS"], "a") as file:
        print(event, host, file=file)
    raise OSError(101, "no network in this test")

sys.addaudithook(refuse)
"""

RUN = """
import json, sys
from pathlib import Path
from fovea import open_engine
from service.settings import EncoderSettings, Settings

settings = Settings(data_dir=Path(sys.argv[1]), encoder=EncoderSettings(models_dir=Path(sys.argv[2]), threads=1))
with open_engine(settings=settings) as engine:
    report = engine.ingest([sys.argv[3]])
    answer = engine.ask("Who signs the lease for the Trust?")
    print(json.dumps({"status": report.documents[0].status, "answer": answer.text, "abstained": answer.abstained}))
"""


def test_s3_it_starts_reads_and_answers_with_no_attempt_to_leave_the_machine(tmp_path: Path, models_dir: Path) -> None:
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    attempts = tmp_path / "attempts"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"PYTHONPATH": f"{tmp_path / 'guard'}:{ROOT}", "ATTEMPTS": str(attempts), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUN, tmp_path / "data", models_dir, ROOT / "samples" / "lighthouse-lease.txt"]
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["status"] == "indexed" and not found["abstained"] and found["answer"]
    assert not attempts.exists(), attempts.read_text()


def test_s3_the_guard_sees_an_attempt(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(GUARD)
    attempts = tmp_path / "attempts"
    call = "import socket; socket.create_connection(('198.51.100.7', 9), timeout=1)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "ATTEMPTS": str(attempts)}
    done = subprocess.run([sys.executable, "-c", call], env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and "198.51.100.7" in attempts.read_text()
