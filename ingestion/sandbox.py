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
import signal
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from domain.documents import Block, BlockKind, LoadedDocument, Page, Span
from domain.errors import DomainError, LoadError
from ingestion.confinement import MECHANISMS
from ingestion.sandbox_process import BadFrame, ChildGone, ChildProcess, ChildTimeout

log = logging.getLogger(__name__)


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
        self._child: ChildProcess | None = None
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
        except (ChildTimeout, ChildGone, BadFrame) as failure:
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

    def _ready_child(self) -> ChildProcess:
        if self._child is None:
            self._child = ChildProcess(self._config)
        return self._child

    def _discard(self, gently: bool) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.stop(gently)


def _failure(failure: Exception, child: ChildProcess, seconds: float) -> LoadError:
    status, words = child.last_words() if isinstance(failure, ChildGone) else (None, "")
    if isinstance(failure, ChildTimeout) or status in (-signal.SIGXCPU, -signal.SIGALRM):
        return LoadError(
            f"Reading the file took longer than {seconds:g} seconds; split it or save it in a simpler format.",
            code="parser_timeout",
        )
    if "memory allocation" in words or "MemoryError" in words or "bad_alloc" in words:
        return LoadError("Reading the file needs more memory than a parser may use; split it.", code="parser_memory")
    if isinstance(failure, BadFrame):
        return _malformed()
    last = words.strip().rsplit("\n", 1)[-1][:200]
    return LoadError(
        f"The parser crashed on this file ({_ending(status)}{': ' + last if last else ''}); save it in another format.",
        code="parser_crashed",
    )


def _malformed() -> LoadError:
    return LoadError(
        "The parser sent a malformed result for this file; save it in another format.", code="parser_crashed"
    )


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
        raise _malformed() from error


def _block(values: Sequence[Any], length: int) -> Block:
    kind, start, end, level, header_start, header_end = values
    header = None if header_start is None else _span(header_start, header_end, end)
    return Block(BlockKind(kind), _span(start, end, length), int(level), header)


def _span(start: int, end: int, limit: int) -> Span:
    if end > limit:
        raise ValueError("a span beyond the text")
    return Span(start, end)
