"""The command line as a process: signals, pipes, locales, and the one owner of a data directory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time

import anyio
import httpx
import pytest
from mcp import Client as McpClient

from tests.end_to_end.product import FOVEA, SAMPLES, environment, fovea, fovea_json, serving


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A data directory that holds the samples."""
    path = tmp_path_factory.mktemp("cli") / "data"
    assert fovea("ingest", SAMPLES, "--data-dir", path).returncode == 0
    return path


def test_a_second_process_is_sent_to_the_server_that_owns_the_directory(data_dir, tmp_path):
    with serving(data_dir) as url:
        second = fovea("search", "rent", "--data-dir", data_dir)
        assert (second.returncode, second.stdout) == (2, "")
        assert "in use" in second.stderr or "owns" in second.stderr
        assert "--url" in second.stderr
        assert "Traceback" not in second.stderr

        assert len(fovea_json("list", "--url", url)["documents"]) == 3
        note = tmp_path / "note.txt"
        note.write_text("The jetty is closed in winter.")
        (outcome,) = fovea_json("ingest", note, "--url", url)["documents"]
        assert (outcome["status"], outcome["source"]) == ("indexed", str(note))
        assert fovea_json("search", "When is the jetty closed?", "--url", url)["evidence"][0]["source"] == str(note)
        (tmp_path / "q.csv").write_text("question\nWhen is the jetty closed?\n")
        summary = fovea_json("batch", tmp_path / "q.csv", "-o", tmp_path / "a.csv", "--url", url)
        assert (summary["rows"], summary["failed"]) == (1, 0)
        chat = fovea("chat", "--url", url, text="When is the jetty closed?\n")
        assert (chat.returncode, "closed in winter. [1]" in chat.stdout) == (0, True)
        unknown = fovea("search", "Who?", "--collection", "none", "--url", url)
        assert (unknown.returncode, unknown.stdout) == (2, "")
        assert fovea_json("delete", outcome["id"], "--url", url) == {"deleted": [outcome["id"]]}
        again = fovea("delete", outcome["id"], "--url", url)
        assert again.returncode == 2 and outcome["id"] in again.stderr


def test_a_server_with_a_key_wants_it_from_the_command_line_too(data_dir, tmp_path):
    key = {"FOVEA_SERVER__API_KEY": "k-4711"}
    with serving(data_dir, **key) as url:
        assert len(fovea_json("list", "--url", url, **key)["documents"]) == 3
        refused = fovea("list", "--url", url)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "wants an API key; set FOVEA_SERVER__API_KEY" in refused.stderr
        assert "Bearer" not in refused.stderr and "Traceback" not in refused.stderr
        (tmp_path / "q.csv").write_text("question\nWho signs?\n")
        wrong = fovea("batch", tmp_path / "q.csv", "-o", tmp_path / "a.csv", "--url", url, FOVEA_SERVER__API_KEY="k-0")
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert "does not take the API key of FOVEA_SERVER__API_KEY" in wrong.stderr and "Bearer" not in wrong.stderr


def test_an_address_that_others_reach_wants_a_key(tmp_path):
    done = fovea("serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", tmp_path / "data")
    assert done.returncode == 2
    assert "FOVEA_SERVER__API_KEY" in done.stderr


def test_mcp_over_http_serves_this_machine_and_no_page_of_another_site(data_dir):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = fovea("mcp", "--http", "--port", port, "--data-dir", data_dir)
        assert refused.returncode == 2
        assert f":{port}" in refused.stderr and "Traceback" not in refused.stderr

    url = f"http://127.0.0.1:{port}/mcp"
    command = [*FOVEA, "mcp", "--http", "--port", str(port), "--data-dir", str(data_dir)]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment())
    try:
        wait_for(port, child)
        for header in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
            headers = {"accept": "application/json, text/event-stream", **header}
            assert httpx.post(url, json={}, headers=headers).status_code in (403, 421)

        async def listed():
            async with McpClient(url) as client:
                return (await client.call_tool("list_documents", {})).structured_content

        assert len(anyio.run(listed)["documents"]) == 3
    finally:
        child.send_signal(signal.SIGINT)
        assert child.wait(60) in (0, 130)


def wait_for(port, child):
    """Return once the port answers."""
    while child.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError("the server ended before it listened")


def test_ctrl_c_ends_an_ingest_run_without_a_traceback_and_keeps_what_was_done(tmp_path):
    for number in range(300):
        (tmp_path / f"{number:03}.txt").write_text(f"File {number} speaks of its own matter. " * 400)
    data_dir = tmp_path / "data"
    child = subprocess.Popen(
        [*FOVEA, "ingest", str(tmp_path), "--data-dir", str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    log = data_dir / "fovea.db-wal"
    while child.poll() is None and not (log.exists() and log.stat().st_size > 2**20):
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGINT)  # a terminal sends it to parsers and all
    shown, errors = child.communicate()
    assert child.returncode == 130, errors
    assert errors == "fovea: interrupted; what was finished is kept, start it again to go on.\n"
    assert shown == ""
    kept = fovea_json("list", "--data-dir", data_dir)["documents"]
    assert 0 < len(kept) < 300
    assert all(item["status"] == "indexed" and item["chunks"] == kept[0]["chunks"] for item in kept)


def test_a_reader_that_leaves_early_is_no_error(data_dir):
    command = " ".join(FOVEA) + f" list --json --data-dir {data_dir} | head -c 10"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, env=environment(), timeout=120
    )
    assert len(done.stdout) == 10
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}])
def test_stdout_is_utf_8_whatever_the_locale(data_dir, locale):
    done = subprocess.run(
        [*FOVEA, "ask", "复合滤网多久更换一次？", "--data-dir", str(data_dir)],
        capture_output=True,
        env=environment(**locale),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "滤网" in done.stdout.decode("utf-8")


def test_progress_of_a_long_run_goes_to_stderr_and_json_stays_alone(tmp_path, data_dir):
    """A batch of many questions writes nothing on stdout but its summary."""
    (tmp_path / "q.jsonl").write_text("".join(json.dumps({"question": f"What is rule {n}?"}) + "\n" for n in range(50)))
    summary = fovea_json("batch", tmp_path / "q.jsonl", "-o", tmp_path / "a.jsonl", "--data-dir", data_dir)
    assert (summary["rows"], summary["failed"]) == (50, 0)


def test_help_needs_neither_a_model_nor_heavy_libraries(tmp_path):
    code = (
        "import sys\nfrom service.cli import main\nsys.argv = ['fovea', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'faiss', 'openvino', 'sentence_transformers', 'sqlalchemy', 'fastapi', 'mcp'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([FOVEA[0], "-c", code], capture_output=True, text=True, env=environment(), timeout=120)
    assert done.stdout.splitlines()[-1] == "heavy: []"
