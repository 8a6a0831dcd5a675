"""`fovea mcp` over stdin and stdout: nothing but messages leaves, and a line that is no message does not end it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SERVER = """
from service.mcp_server import create_mcp_server
from service.mcp_stdio import run_over_stdio


class Loud:
    def list_documents(self, collection, limit, after):
        print("This is no message.")
        raise RuntimeError("secret path /root")


run_over_stdio(create_mcp_server(Loud()))
"""
ROOT = Path(__file__).parents[2]
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
INITIALIZE = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO})
INITIALIZED = '{"jsonrpc": "2.0", "method": "notifications/initialized"}'
PING = '{"jsonrpc": "2.0", "id": "ping", "method": "ping"}'


def talk(folder, *lines):
    """The messages that a server writes to these lines until it answers the ping after them, and its stderr."""
    errors, answers = folder / "stderr", []
    with (
        errors.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, cwd=ROOT
        ) as server,
    ):
        server.stdin.write("\n".join((INITIALIZE, INITIALIZED, *lines, PING, "")).encode())
        server.stdin.flush()
        # Whoever closes stdin ends the server, and what still runs; the tool's answer may come after the ping's.
        while not {"ping", "crash"} <= {answer["id"] for answer in answers}:
            answers.append(json.loads(server.stdout.readline()))
        server.stdin.close()
        assert server.stdout.read() == b""
    assert server.returncode == 0
    return answers, errors.read_text()


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    call = '{"jsonrpc": "2.0", "id": "cut", "method": "tools/call", "params": {"name": "search", "x": "\\ud83d"}}'
    crash = '{"jsonrpc": "2.0", "id": "crash", "method": "tools/call", "params": {"name": "list_documents"}}'
    return talk(tmp_path_factory.mktemp("stdio"), "garbage", "", "  ", "[" * 90_000, f"[{PING}]", '"text"', call, crash)


def of(answers, identity):
    return [answer for answer in answers[0] if answer["id"] == identity]


def test_every_line_that_is_no_message_is_answered_and_a_blank_one_is_not(answers):
    codes = [answer["error"]["code"] for answer in of(answers, None)]
    assert sorted(codes) == [-32700, -32700, -32600, -32600]


def test_a_request_that_holds_half_a_character_is_answered_by_its_id(answers):
    """JavaScript writes one for an emoji that was cut in two; without an answer the client would wait."""
    (answer,) = of(answers, "cut")
    assert answer["error"]["code"] == -32700
    assert answer["error"]["message"].startswith("This line is not JSON: ")


def test_what_a_tool_prints_is_no_message_and_a_bug_shows_nothing_of_its_inside(answers):
    (answer,) = of(answers, "crash")
    assert answer["result"]["isError"]
    assert answer["result"]["content"] == [{"type": "text", "text": "Error executing tool list_documents"}]
    assert "mcp_tool_crashed" in answers[1] and "This is no message." in answers[1]
