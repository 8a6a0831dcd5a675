"""Sixty replies that a model server may send, good and bad: what each must come to, as a text or an error's code."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterator
from typing import NamedTuple

from tests.generation.fake_openai import STREAM_HEAD, answer, delta, event
from tests.generation.fault_server import RESET, Script

TEXT = "The rent 租金 is 500 € 😀 [1]."
PARTS = ("The rent 租", "金 is 500 € ", "😀 [1].")


class Fixture(NamedTuple):
    name: str
    script: Script
    text: str | None
    codes: tuple[str, ...] = ()


def head(kind: str, *more: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", "Connection: close", *more, "", ""]
    return "\r\n".join(lines).encode()


def fixtures() -> list[Fixture]:
    """All of them, each under a name of its own."""
    return [*_well_formed(), *_unusual(), *_cut(), *_malformed()]


def _well_formed() -> Iterator[Fixture]:
    body = answer(*PARTS)
    for (end, ending), mark, blank, comment in itertools.product(
        ((b"\n", "lf"), (b"\r\n", "crlf"), (b"\r", "cr")), (b"", b"\xef\xbb\xbf"), (b" ", b""), (b"", b": hello\n")
    ):
        said = (comment + body.replace(b"data: ", b"data:" + blank)).replace(b"\n", end)
        name = f"{ending} bom={bool(mark)} blank={bool(blank)} comment={bool(comment)}"
        yield Fixture(name, [STREAM_HEAD, mark + said], TEXT)


def _unusual() -> Iterator[Fixture]:
    body = answer(*PARTS)
    whole = {"id": "c", "choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}]}
    escaped = b"".join(event(json.dumps(delta(part), ensure_ascii=True)) for part in PARTS)
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:50], body[50:])) + b"0\r\n\r\n"
    yield Fixture("text/plain", [head("text/plain; charset=utf-8"), body], TEXT)
    yield Fixture("no content type", [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", body], TEXT)
    yield Fixture("not streamed", [head("application/json"), json.dumps(whole).encode()], TEXT)
    yield Fixture("escaped", [STREAM_HEAD, escaped + event("[DONE]")], TEXT)
    yield Fixture("done only", [STREAM_HEAD, answer(*PARTS, finish=None)], TEXT)
    yield Fixture("finish only", [STREAM_HEAD, answer(*PARTS, done=False)], TEXT)
    yield Fixture("no last blank line", [STREAM_HEAD, body.rstrip()], TEXT)
    yield Fixture("events named", [STREAM_HEAD, body.replace(b"data:", b"event: message\nid: 7\ndata:")], TEXT)
    yield Fixture("rubbish after the end", [STREAM_HEAD, body, b"data: {not json}\n\n\xff"], TEXT)
    yield Fixture("reset after the end", [STREAM_HEAD, body, 0.05, RESET], TEXT)
    yield Fixture("chunked", [head("text/event-stream", "Transfer-Encoding: chunked"), chunked], TEXT)
    yield Fixture("bytes one by one", [STREAM_HEAD, *(body[at : at + 1] for at in range(len(body)))], TEXT)


def _cut() -> Iterator[Fixture]:
    opened = event(delta(PARTS[0]))
    chunked = head("text/event-stream", "Transfer-Encoding: chunked")
    for name, rest in (
        ("nothing at all", b""),
        ("after a part", opened),
        ("in a name", opened + b"da"),
        ("in JSON", opened + b'data: {"id": "c1", "cho'),
        ("in a character", opened + 'data: {"x": "租'.encode()[:-1]),
        ("in a comment", opened + b": keep"),
        ("before the first part", b'data: {"id": "c1", "choices": []}\n\n'),
        ("in the first part", b'data: {"id"'),
    ):
        yield Fixture(f"cut {name}", [STREAM_HEAD, rest], None, ("llm_truncated",))
    yield Fixture("cut in a chunk", [chunked, b"ff\r\n" + opened], None, ("llm_truncated",))
    yield Fixture("cut between chunks", [chunked, b"%x\r\n%s\r\n" % (len(opened), opened)], None, ("llm_truncated",))


def _malformed() -> Iterator[Fixture]:
    page = b"<html><body>Welcome to nginx</body></html>"
    bad, opened = ("llm_bad_response",), event(delta(PARTS[0]))
    for kind in ("text/html", "text/plain", "text/event-stream", "application/json", "image/png"):
        yield Fixture(f"page as {kind}", [head(kind), page], None, bad)
    yield Fixture("not JSON", [STREAM_HEAD, opened, b"data: {not json}\n\n"], None, bad)
    yield Fixture("a list", [STREAM_HEAD, b"data: [1, 2]\n\n"], None, bad)
    yield Fixture("another object", [STREAM_HEAD, b'data: {"hello": "world"}\n\n'], None, bad)
    yield Fixture("deep", [STREAM_HEAD, b"data: " + b"[" * 100_000 + b"\n\n"], None, bad)
    yield Fixture("not UTF-8", [STREAM_HEAD, opened, b"data: \xff\xfe\n\n"], None, bad)
    yield Fixture("UTF-16", [STREAM_HEAD, answer(*PARTS).decode().encode("utf-16")], None, bad)
    gzipped = gzip.compress(answer(*PARTS))
    yield Fixture("gzip", [head("text/event-stream", "Content-Encoding: gzip"), gzipped], None, bad)
    yield Fixture("gzip rubbish", [head("text/event-stream", "Content-Encoding: gzip"), b"x" * 99], None, bad)
    yield Fixture("gzip unsaid", [STREAM_HEAD, gzipped], None, bad)
