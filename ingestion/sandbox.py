"""Parsing in a child process: what a hostile or broken file can harm is a process that is thrown away.

One worker child serves many documents, because starting Python for each of a thousand small files would cost more
than reading them. It is replaced when it crashed, hung, used half of its memory, or served its share. Requests and
results travel through pipes as lengths, JSON and raw UTF-8; nothing that the child sends can run code here, and the
result is checked like any other input.

What holds the child: limits on memory, CPU time, file size and open files; an own session that is killed as a whole
on timeout; no network, no file but those of the libraries, no further process (`ingestion.confinement`: by the kernel
where it can, else for Python code only, which is logged); an empty environment, so no secret of the parent is in
reach; and a watch on its parent, so that it does not outlive it.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Any

from domain.documents import Block, BlockKind, LoadedDocument, Page, Span
from domain.errors import DomainError, LoadError
from ingestion.confinement import MECHANISMS

log = logging.getLogger(__name__)

_HEAD = struct.Struct("!QQ")  # a frame: length of the JSON part, length of the raw part, then both
_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from ingestion.sandbox_child import main; main(sys.argv[2])"
)
_PIECE = 1 << 18
_MAX_META_BYTES = 512 * 1024 * 1024  # blocks of a document with millions of paragraphs
_STOP_SECONDS = 2.0
_START_SECONDS = 60.0  # a cold disk and a busy machine


class Sandbox:
    """Loads documents in a child process, one at a time; use one sandbox a thread for more.

    `loaders` names further loaders as "module:attribute" (a class or an object), tried before the built-in ones;
    `readable` names files and folders that such a loader may read, beside its own package and installed libraries.
    The child starts with the first document. Close the sandbox, or use it as a context manager.
    """

    def __init__(
        self,
        *,
        memory_bytes: int = 1536 * 1024 * 1024,
        cpu_seconds: float = 60.0,
        wall_seconds: float = 60.0,
        max_text_chars: int = 100_000_000,
        documents_per_child: int = 1000,
        loaders: Sequence[str] = (),
        readable: Sequence[str] = (),
    ) -> None:
        self._wall_seconds = wall_seconds
        self._max_text_chars = max_text_chars
        self._documents_per_child = documents_per_child
        self._config = json.dumps(
            {
                "memory_bytes": memory_bytes,
                "cpu_seconds": cpu_seconds,
                "wall_seconds": wall_seconds,
                "max_text_chars": max_text_chars,
                "loaders": list(loaders),
                "readable": [os.path.realpath(path) for path in readable],
                "parent": os.getpid(),
            }
        )
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._closed = False
        self._confinement: tuple[str, ...] = ()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def load(self, data: bytes, name: str, media_type: str | None = None) -> LoadedDocument:
        """Read one file. Raises LoadError: the loader's own, or parser_timeout, parser_memory, parser_crashed."""
        with self._lock:
            if self._closed:
                raise LoadError("The sandbox is closed; open a new one.", code="parser_crashed")
            request = {"name": name, "media_type": media_type}
            fresh = self._child is None or self._child.served == 0
            try:
                return self._exchange(request, data)
            except LoadError as error:
                # A used child may carry the damage of an earlier document; this one deserves a clean one.
                if fresh or error.code not in ("parser_crashed", "parser_memory") or self._child is not None:
                    raise
                return self._exchange(request, data)

    def close(self) -> None:
        """Stop the child. Closing twice is allowed."""
        with self._lock:
            self._closed = True
            self._discard(gently=True)

    @property
    def child_pid(self) -> int | None:
        """The process id of the running child; None when there is none."""
        return self._child.pid if self._child else None

    @property
    def confinement(self) -> tuple[str, ...]:
        """Those of `ingestion.confinement.MECHANISMS` that hold the child; empty before the first document."""
        return self._confinement

    def _exchange(self, request: Mapping[str, Any], data: bytes) -> LoadedDocument:
        child = self._ready_child()
        try:
            if child.served == 0:
                self._note(child.greeting())
            reply, text = child.exchange(request, data, self._wall_seconds, 4 * self._max_text_chars + 1024)
        except (_ChildTimeout, _ChildGone, _BadFrame) as failure:
            error = _failure(failure, child, self._wall_seconds)
            self._discard(gently=False)
            raise error from failure
        if reply.get("retire") or child.served >= self._documents_per_child:
            self._discard(gently=True)
        return _document(reply, text)

    def _note(self, greeting: Mapping[str, Any]) -> None:
        """Keep what holds the child; say it once where the kernel grants less than it could."""
        granted = tuple(map(str, greeting.get("confinement", ())))
        missing = [name for name in MECHANISMS if name not in granted]
        if missing and granted != self._confinement:
            log.warning("Parsers run without %s: this system does not grant it.", " and ".join(missing))
        self._confinement = granted

    def _ready_child(self) -> _Child:
        if self._child is None:
            self._child = _Child(self._config)
        return self._child

    def _discard(self, gently: bool) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.stop(gently)


class _ChildTimeout(Exception):
    """The deadline passed before the reply was complete."""


class _ChildGone(Exception):
    """The child ended before the reply was complete."""


class _BadFrame(Exception):
    """The child sent something that is no reply."""


class _Child:
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
        incoming = _FrameReader(max_text)
        with selectors.DefaultSelector() as selector:
            selector.register(self._from, selectors.EVENT_READ)
            if outgoing:
                selector.register(self._to, selectors.EVENT_WRITE)
            while not incoming.complete:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise _ChildTimeout
                for key, _ in selector.select(left):
                    if key.fd == self._from:
                        self._read(incoming)
                    elif not self._write(outgoing):
                        selector.unregister(self._to)
        return incoming.frame()

    def _read(self, incoming: _FrameReader) -> None:
        piece = os.read(self._from, min(_PIECE, incoming.wanted))
        if not piece:
            raise _ChildGone
        incoming.feed(piece)

    def _write(self, outgoing: list[memoryview]) -> bool:
        """Write what the pipe takes; False when everything is written."""
        try:
            written = os.write(self._to, outgoing[0][:_PIECE])
        except BlockingIOError:
            return True
        except BrokenPipeError as error:
            raise _ChildGone from error
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


class _FrameReader:
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
                raise _BadFrame(f"a reply of {self._sizes} bytes")

    def frame(self) -> tuple[dict[str, Any], bytes]:
        assert self._sizes is not None
        view = memoryview(self._buffer)[_HEAD.size :]
        try:
            meta = json.loads(bytes(view[: self._sizes[0]]))
        except (ValueError, RecursionError) as error:
            raise _BadFrame("no JSON") from error
        if not isinstance(meta, dict):
            raise _BadFrame("no object")
        return meta, bytes(view[self._sizes[0] :])


def _failure(failure: Exception, child: _Child, seconds: float) -> LoadError:
    status, words = child.last_words() if isinstance(failure, _ChildGone) else (None, "")
    if isinstance(failure, _ChildTimeout) or status in (-signal.SIGXCPU, -signal.SIGALRM):
        return LoadError(
            f"Reading the file took longer than {seconds:g} seconds; split it or save it in a simpler format.",
            code="parser_timeout",
        )
    if "memory allocation" in words or "MemoryError" in words or "bad_alloc" in words:
        return _memory_error()
    if isinstance(failure, _BadFrame):
        return LoadError(
            "The parser sent a malformed result for this file; save it in another format.", code="parser_crashed"
        )
    last = words.strip().rsplit("\n", 1)[-1][:200]
    return LoadError(
        f"The parser crashed on this file ({_ending(status)}{': ' + last if last else ''}); save it in another format.",
        code="parser_crashed",
    )


def _memory_error() -> LoadError:
    return LoadError("Reading the file needs more memory than a parser may use; split it.", code="parser_memory")


def _ending(status: int | None) -> str:
    if status is None:
        return "it stopped answering"
    try:
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"
    except ValueError:
        return f"signal {-status}"


def _document(reply: Mapping[str, Any], text: bytes) -> LoadedDocument:
    """A reply as a document, or the error it reports. Everything in it is checked: the child read hostile bytes."""
    try:
        if "error" in reply:
            code, message = reply["error"]
            raise LoadError(str(message)[:2000], code=str(code)[:64])
        characters = text.decode("utf-8")
        return LoadedDocument(
            title=str(reply["title"]),
            text=characters,
            media_type=str(reply["media_type"]),
            blocks=tuple(_block(values, len(characters)) for values in reply["blocks"]),
            pages=tuple(Page(int(number), _span(start, end, len(characters))) for number, start, end in reply["pages"]),
            metadata=dict(reply["metadata"]),
            warnings=tuple(str(warning) for warning in reply["warnings"]),
        )
    except (KeyError, TypeError, ValueError, DomainError) as error:
        raise LoadError(
            "The parser sent a malformed result for this file; save it in another format.", code="parser_crashed"
        ) from error


def _block(values: Sequence[Any], length: int) -> Block:
    kind, start, end, level, header_start, header_end = values
    header = None if header_start is None else _span(header_start, header_end, end)
    return Block(BlockKind(kind), _span(start, end, length), int(level), header)


def _span(start: int, end: int, limit: int) -> Span:
    if end > limit:
        raise ValueError("a span beyond the text")
    return Span(start, end)
