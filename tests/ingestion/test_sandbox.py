"""The sandbox: results come back whole, and nothing a parser does harms the parent or the next document."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from domain.documents import LoadedDocument
from domain.errors import LoadError
from ingestion.loaders.registry import LoaderRegistry, default_loaders
from ingestion.sandbox import Sandbox
from ingestion.sandbox_process import BadFrame, FrameReader
from tests.ingestion import samples

POISON = ("tests.ingestion.poison_loaders:PoisonLoader", "tests.ingestion.poison_loaders:LyingLoader")
GIB = 1 << 30


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(memory_bytes=GIB, max_text_chars=1_000_000, loaders=POISON) as opened:
        yield opened


def poison(sandbox: Sandbox, what: str) -> LoadedDocument:
    return sandbox.load(what.encode(), "x.poison")


def failure(sandbox: Sandbox, what: str) -> LoadError:
    with pytest.raises(LoadError) as caught:
        poison(sandbox, what)
    return caught.value


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("第一段。\n\nSecond.\n".encode(), "a.txt"),
        (b"# T\n\n| a | b |\n|---|---|\n| 1 | 2 |\n", "a.md"),
        (samples.pdf([["# Head", "One."], ["Two."]]), "a.pdf"),
        (samples.xlsx({"S": [["a", "b"], [1, 2]]}), "a.xlsx"),
        (samples.mail("s", "b", attachments=["f.bin"]), "a.eml"),
    ],
)
def test_a_document_comes_back_as_the_loader_made_it(sandbox: Sandbox, data: bytes, name: str) -> None:
    assert sandbox.load(data, name) == LoaderRegistry(default_loaders()).load(data, name)


def test_a_loaders_own_error_keeps_its_code_and_words(sandbox: Sandbox) -> None:
    with pytest.raises(LoadError, match="password") as caught:
        sandbox.load(samples.pdf([["x"]], password="p"), "x.pdf")
    assert caught.value.code == "encrypted_document"


def test_one_child_serves_many_documents(sandbox: Sandbox) -> None:
    poison(sandbox, "say a")
    pid = sandbox.child_pid
    for i in range(50):
        assert sandbox.load(f"text {i}".encode(), "a.txt").text == f"text {i}"
    assert sandbox.child_pid == pid


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("segfault", "parser_crashed"),
        ("exit", "parser_crashed"),
        ("leave", "parser_crashed"),
        ("eat", "parser_memory"),
        ("recurse", "corrupt_document"),
        ("long 1000001", "too_large"),
        ("spawn", "corrupt_document"),
        ("unpickle", "corrupt_document"),
    ],
)
def test_i17_a_poisoned_document_fails_alone(sandbox: Sandbox, what: str, code: str) -> None:
    assert failure(sandbox, what).code == code
    assert poison(sandbox, "say alive").text == "alive"


@pytest.mark.parametrize("what", ["sleep", "spin"])
def test_i17_a_parser_that_never_ends_is_killed(what: str) -> None:
    with Sandbox(wall_seconds=1, cpu_seconds=60, loaders=POISON) as sandbox:
        poison(sandbox, "say warm")
        pid = sandbox.child_pid
        error = failure(sandbox, what)
        assert error.code == "parser_timeout"
        assert "1 seconds" in error.message
        assert pid is not None and not psutil.pid_exists(pid)
        assert poison(sandbox, "say alive").text == "alive"


def test_processor_time_is_limited_a_document_and_not_a_child() -> None:
    with Sandbox(wall_seconds=60, cpu_seconds=1, loaders=POISON) as sandbox:
        poison(sandbox, "say warm")
        assert failure(sandbox, "spin").code == "parser_timeout"


def test_output_of_a_library_does_not_disturb_the_reply(sandbox: Sandbox) -> None:
    assert poison(sandbox, "print").text == "printed"


def test_spans_beyond_the_text_are_refused(sandbox: Sandbox) -> None:
    with pytest.raises(LoadError, match="malformed result") as caught:
        sandbox.load(b"x", "x.lie")
    assert caught.value.code == "parser_crashed"


def test_the_child_reaches_no_network(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        error = failure(sandbox, f"connect {server.getsockname()[1]}")
        assert "PermissionError" in error.message
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()


def test_the_child_writes_no_file(sandbox: Sandbox, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert "PermissionError" in failure(sandbox, f"write {target}").message
    assert not target.exists()


def test_the_child_knows_no_secret_and_no_torch(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_SECRET", "s3cret")
    with Sandbox(loaders=POISON) as fresh:
        assert "FOVEA_SECRET" not in poison(fresh, "environment").text
        modules = poison(fresh, "modules").text.split()
    assert not {"torch", "numpy", "transformers", "sqlalchemy", "trafilatura"} & set(modules)


def test_a_child_is_replaced_after_its_share() -> None:
    with Sandbox(documents_per_child=2, loaders=POISON) as sandbox:
        poison(sandbox, "say 1")
        first = sandbox.child_pid
        poison(sandbox, "say 2")
        assert sandbox.child_pid is None
        poison(sandbox, "say 3")
        assert sandbox.child_pid not in (None, first)


def test_i9_a_fifty_megabyte_line_is_read_in_bounded_memory() -> None:
    data = b"word " * 10_000_000
    with Sandbox(memory_bytes=GIB) as sandbox:
        document = sandbox.load(data, "line.txt")
        assert len(document.text) == 50_000_000
        assert len(document.blocks) == 1
        assert sandbox.child_pid is not None
        peak = psutil.Process(sandbox.child_pid).memory_info().rss
    assert peak < 500_000_000


def test_i3_a_decompression_bomb_is_refused_in_the_child(sandbox: Sandbox) -> None:
    bomb = samples.zipped({"xl/workbook.xml": "", "xl/worksheets/sheet1.xml": b"0" * 30_000_000})
    with pytest.raises(LoadError) as caught:
        sandbox.load(bomb, "bomb.xlsx")
    assert caught.value.code == "decompression_limit"


def test_several_sandboxes_work_side_by_side() -> None:
    results: dict[int, list[str]] = {}

    def work(number: int) -> None:
        with Sandbox(loaders=POISON) as sandbox:
            results[number] = [poison(sandbox, f"say {number}-{i}").text for i in range(20)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: [f"{n}-{i}" for i in range(20)] for n in range(3)}


def test_threads_may_share_a_sandbox(sandbox: Sandbox) -> None:
    results: list[str] = []
    threads = [threading.Thread(target=lambda i=i: results.append(poison(sandbox, f"say {i}").text)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [str(i) for i in range(8)]


def test_closing_ends_the_child_and_further_loads_are_refused() -> None:
    sandbox = Sandbox(loaders=POISON)
    poison(sandbox, "say a")
    pid = sandbox.child_pid
    sandbox.close()
    sandbox.close()
    assert pid is not None and not psutil.pid_exists(pid)
    with pytest.raises(LoadError, match="closed"):
        poison(sandbox, "say b")


def test_the_child_dies_with_its_parent_even_while_it_hangs() -> None:
    script = (
        "import sys, threading, time\n"
        "from ingestion.sandbox import Sandbox\n"
        f"sandbox = Sandbox(loaders={POISON!r})\n"
        "sandbox.load(b'say x', 'x.poison')\n"
        "print(sandbox.child_pid, flush=True)\n"
        "sandbox.load(b'sleep', 'x.poison')\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=os.getcwd())
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert psutil.pid_exists(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    # A child that nobody waits for stays as a zombie where no init process reaps it.
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_reply_that_announces_too_much_is_refused_before_it_is_read() -> None:
    reader = FrameReader(max_text=10)
    with pytest.raises(BadFrame):
        reader.feed(struct.pack("!QQ", 2, 11))


@pytest.mark.parametrize("meta", [b"no json", b"[1]", b"[" * 100_000])
def test_a_reply_that_is_no_object_is_refused(meta: bytes) -> None:
    reader = FrameReader(max_text=10)
    reader.feed(struct.pack("!QQ", len(meta), 0))
    reader.feed(meta)
    assert reader.complete
    with pytest.raises(BadFrame):
        reader.frame()


def test_a_frame_may_arrive_in_any_pieces() -> None:
    meta = json.dumps({"a": 1}).encode()
    frame = struct.pack("!QQ", len(meta), 3) + meta + b"xyz"
    reader = FrameReader(max_text=3)
    for byte in frame:
        assert not reader.complete and reader.wanted >= 1
        reader.feed(bytes([byte]))
    assert reader.frame() == ({"a": 1}, b"xyz")


def test_the_child_of_a_large_process_is_not_taken_for_large_itself() -> None:
    """Linux counts into a child's maximum what its parent held when it was forked."""
    ballast = b"\1" * (2 * GIB)
    with Sandbox(memory_bytes=GIB, loaders=POISON) as sandbox:
        poison(sandbox, "say small")
        assert sandbox.child_pid is not None
    assert len(ballast) == 2 * GIB
