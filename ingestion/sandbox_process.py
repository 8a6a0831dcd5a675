"""The parent's end of the sandbox's pipes: a child process, and the frames that are exchanged with it.

A frame is two lengths, a JSON part and a raw part. Nothing is read before its announced length was allowed, and nothing
that is read can run code here. `sandbox_child.py` is the other end.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import IO, Any

_HEAD = struct.Struct("!QQ")  # a frame: length of the JSON part, length of the raw part, then both
_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from ingestion.sandbox_child import main; main(sys.argv[2])"
)
_PIECE = 1 << 18
_MAX_META_BYTES = 512 * 1024 * 1024  # blocks of a document with millions of paragraphs
_STOP_SECONDS = 2.0
_START_SECONDS = 60.0  # a cold disk and a busy machine


class ChildTimeout(Exception):
    """The deadline passed before the reply was complete."""


class ChildGone(Exception):
    """The child ended before the reply was complete."""


class BadFrame(Exception):
    """The child sent something that is no reply."""


class ChildProcess:
    """A worker process and the frames exchanged with it."""

    def __init__(self, config: str) -> None:
        self.served = 0
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # the child may write 64 KiB to it, by its file size limit
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", _BOOT, json.dumps([os.path.abspath(path) for path in sys.path]), config],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
            bufsize=0,
        )
        self.pid = self._process.pid
        assert self._process.stdin and self._process.stdout
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        os.set_blocking(self._from, False)

    def greeting(self) -> dict[str, Any]:
        """What a child says once it has finished its imports; they are not the first document's fault."""
        return self._receive(b"", time.monotonic() + _START_SECONDS, 0)[0]

    def exchange(
        self, request: Mapping[str, Any], data: bytes, seconds: float, max_text: int
    ) -> tuple[dict[str, Any], bytes]:
        """Send a request and wait for its reply: the JSON part and the text. Reading starts before writing ends."""
        self.served += 1
        meta = json.dumps(request).encode()
        return self._receive(_HEAD.pack(len(meta), len(data)) + meta, time.monotonic() + seconds, max_text, data)

    def _receive(self, head: bytes, deadline: float, max_text: int, data: bytes = b"") -> tuple[dict[str, Any], bytes]:
        outgoing = [memoryview(part) for part in (head, data) if part]
        incoming = FrameReader(max_text)
        with selectors.DefaultSelector() as selector:
            selector.register(self._from, selectors.EVENT_READ)
            if outgoing:
                selector.register(self._to, selectors.EVENT_WRITE)
            while not incoming.complete:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ChildTimeout
                for key, _ in selector.select(left):
                    if key.fd == self._from:
                        self._read(incoming)
                    elif not self._write(outgoing):
                        selector.unregister(self._to)
        return incoming.frame()

    def _read(self, incoming: FrameReader) -> None:
        piece = os.read(self._from, min(_PIECE, incoming.wanted))
        if not piece:
            raise ChildGone
        incoming.feed(piece)

    def _write(self, outgoing: list[memoryview]) -> bool:
        """Write what the pipe takes; False when everything is written."""
        try:
            written = os.write(self._to, outgoing[0][:_PIECE])
        except BlockingIOError:
            return True
        except BrokenPipeError as error:
            raise ChildGone from error
        outgoing[0] = outgoing[0][written:]
        if not outgoing[0]:
            outgoing.pop(0)
        return bool(outgoing)

    def stop(self, gently: bool) -> None:
        """End the child and everything it started. Gently: let it see the end of its input first."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(_STOP_SECONDS if gently else 0.0)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.pid, signal.SIGKILL)  # also what the child left behind in its session
        except (ProcessLookupError, PermissionError):
            pass
        self._process.wait()
        self._stderr.close()

    def last_words(self) -> tuple[int | None, str]:
        """How the child ended (None when it still runs), and the end of what it wrote to stderr."""
        try:
            status: int | None = self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            status = None
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 4096))
        return status, self._stderr.read().decode("utf-8", errors="replace")


class FrameReader:
    """Collects one frame and refuses one that announces more than it may hold."""

    def __init__(self, max_text: int) -> None:
        self._buffer = bytearray()
        self._max_text = max_text
        self._sizes: tuple[int, int] | None = None

    @property
    def wanted(self) -> int:
        """How many bytes are missing until the next decision; at least 1 before the frame is complete."""
        return (_HEAD.size if self._sizes is None else _HEAD.size + sum(self._sizes)) - len(self._buffer)

    @property
    def complete(self) -> bool:
        return self._sizes is not None and self.wanted == 0

    def feed(self, piece: bytes) -> None:
        self._buffer += piece
        if self._sizes is None and len(self._buffer) == _HEAD.size:
            self._sizes = _HEAD.unpack(self._buffer)
            if self._sizes[0] > _MAX_META_BYTES or self._sizes[1] > self._max_text:
                raise BadFrame(f"a reply of {self._sizes} bytes")

    def frame(self) -> tuple[dict[str, Any], bytes]:
        assert self._sizes is not None
        view = memoryview(self._buffer)[_HEAD.size :]
        try:
            meta = json.loads(bytes(view[: self._sizes[0]]))
        except (ValueError, RecursionError) as error:
            raise BadFrame("no JSON") from error
        if not isinstance(meta, dict):
            raise BadFrame("no object")
        return meta, bytes(view[self._sizes[0] :])
