"""What a model server can make this process hold: endless answers, giant tokens and headers (case U10)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.generation.fake_openai import STREAM_HEAD, Forever, Script, answer, delta, event, status
from tests.generation.fault_server import fault_server

ROOT = Path(__file__).parents[2]
_MIB = 1024 * 1024
_PIECE = b"a" * 65_536

ATTACKS: dict[str, Script] = {
    "endless answer": [STREAM_HEAD, Forever(event(delta("汉" * 1_000)))],
    "endless small tokens": [STREAM_HEAD, Forever(event(delta("a")) * 100)],
    "a token of ten megabytes": [STREAM_HEAD, b"data: " + b"a" * (10 * _MIB), b"\n\n"],
    "a line without an end": [STREAM_HEAD, b"data: ", Forever(_PIECE)],
    "a comment without an end": [STREAM_HEAD, b": ", Forever(_PIECE)],
    "many lines of one event": [STREAM_HEAD, Forever(b"data: " + b"a" * 1_000 + b"\n")],
    "a header of a gigabyte": [b"HTTP/1.1 200 OK\r\nX-Pad: ", Forever(_PIECE)],
    "headers without an end": [b"HTTP/1.1 200 OK\r\n", Forever(b"X-Pad: " + b"a" * 1_000 + b"\r\n")],
    "a status line without an end": [b"HTTP/1.1 200 ", Forever(_PIECE)],
    "a whole reply without an end": [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n", b'{"a": "', Forever(_PIECE),
    ],
    "a refusal without an end": [status(400).replace(b"Content-Length: 2\r\n", b""), Forever(_PIECE)],
    "a chunk of four gigabytes": [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        Forever(_PIECE),
    ],
}  # fmt: skip

# In a process of its own, whose memory nothing else uses: (characters kept, growth of its highest memory in bytes).
SCRIPT = """
import sys
from pathlib import Path
from domain.errors import GenerationError
from generation.openai_compatible import OpenAICompatibleGenerator
from tests.generation.generation_examples import WordCounter, context

def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

def ask(url):
    kept = 0
    try:
        for part in OpenAICompatibleGenerator(url, "m", WordCounter()).generate(context()):
            kept += len(part.encode())
    except GenerationError:
        pass
    return kept

good, attack = sys.argv[1:]
for _ in range(3):
    assert ask(good) == 4
before = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the highest mark starts anew
print(ask(attack), memory("VmHWM") - before)
"""


@pytest.mark.parametrize("attack", ATTACKS)
def test_u10_nothing_beyond_the_cap_is_kept_and_memory_stays_flat(attack: str) -> None:
    with (
        fault_server(lambda *_: [STREAM_HEAD, answer("Yes.")]) as good,
        fault_server(lambda *_: ATTACKS[attack]) as bad,
    ):
        found = subprocess.run(
            [sys.executable, "-c", SCRIPT, good.base_url, bad.base_url],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert found.returncode == 0, found.stderr
    kept, growth = map(int, found.stdout.split())
    print(f"{attack}: {kept} bytes kept, memory grew by {growth / _MIB:.1f} MiB")
    assert kept <= 256 * 1024
    assert growth <= 10 * _MIB
