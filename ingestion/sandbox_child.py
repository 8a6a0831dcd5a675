"""The child's side of the sandbox: lock yourself in, then read one document after the other.

It imports the loaders and nothing else of ours; no torch, no database.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import re
import signal
import struct
import sys
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from domain.documents import LoadedDocument
from domain.errors import LoadError
from ingestion.confinement import confine
from ingestion.loaders.registry import LoaderRegistry, default_loaders

if TYPE_CHECKING:
    from domain.protocols import DocumentLoader  # imports numpy, which a parser process can do without

_HEAD = struct.Struct("!QQ")
_OUTPUT_BYTES = 64 * 1024  # what the child may write to any file, its stderr included
_OPEN_FILES = 64
_STATUS_BYTES = 8192  # of /proc/self/status, which has about 1,500
_COLLECT_BYTES = 1 << 20  # a collection takes milliseconds, more than reading a small file


def main(config_json: str) -> None:
    """Serve requests on stdin until it ends. Entry point of the child process."""
    config = json.loads(config_json)
    requests, replies = _take_pipes()
    warnings.simplefilter("ignore")
    logging.disable()
    registry = LoaderRegistry((*default_loaders(), *map(_named_loader, config["loaders"])))
    memory = _PeakMemory()
    granted = lock_in(config["memory_bytes"], config["readable"])
    threading.Thread(target=_die_with_parent, args=(config["parent"],), daemon=True).start()
    _send(replies, {"ready": True, "confinement": granted}, b"")
    while (request := _receive(requests)) is not None:
        start_clock(config["cpu_seconds"], config["wall_seconds"])
        meta, text = _answer(registry, *request, max_chars=config["max_text_chars"])
        signal.alarm(0)
        meta["retire"] = meta.get("retire", False) or memory.peak() > config["memory_bytes"] // 2
        _send(replies, meta, text)
        if len(request[1]) + len(text) > _COLLECT_BYTES:
            del request, meta, text
            gc.collect()


def lock_in(memory_bytes: int, readable: Sequence[str] = ()) -> tuple[str, ...]:
    """Give up what a parser does not need: unlimited memory, big files, then all that `confine` can take away.

    Returns what `confine` does.
    """
    for name, value in (
        ("RLIMIT_AS", memory_bytes),
        ("RLIMIT_FSIZE", _OUTPUT_BYTES),
        ("RLIMIT_NOFILE", _OPEN_FILES),
        ("RLIMIT_CORE", 0),
    ):
        _limit(name, value, value)
    return confine(readable)


def start_clock(cpu_seconds: float, wall_seconds: float) -> None:
    """Set the limits of one document: CPU time from now on, and an alarm as a second line behind the parent's clock."""
    _limit("RLIMIT_CPU", int(time.process_time() + cpu_seconds) + 1, None)
    signal.alarm(int(wall_seconds) + 2)


def _limit(name: str, soft: int, hard: int | None) -> None:
    # Best effort: macOS has no RLIMIT_AS that works, and a hard limit may already be lower than ours.
    try:
        import resource

        kind = getattr(resource, name)
        _, present = resource.getrlimit(kind)
        ceiling = present if hard is None or (present != resource.RLIM_INFINITY and present < hard) else hard
        resource.setrlimit(kind, (soft if ceiling == resource.RLIM_INFINITY else min(soft, ceiling), ceiling))
    except (ImportError, AttributeError, ValueError, OSError):
        return


def _die_with_parent(parent: int) -> None:
    # Polling works on every system and, unlike PR_SET_PDEATHSIG, does not end the child with the *thread* that
    # started it.
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the pipes to ourselves: what a library prints goes to stderr and cannot end up in a reply."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, replies


def _named_loader(spec: str) -> DocumentLoader:
    module, _, attribute = spec.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    loader: DocumentLoader = found() if isinstance(found, type) else found
    return loader


def _receive(requests: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    head = requests.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    meta_size, data_size = _HEAD.unpack(head)
    meta, data = requests.read(meta_size), requests.read(data_size)
    return (json.loads(meta), data) if len(data) == data_size else None


def _send(replies: IO[bytes], meta: Mapping[str, Any], text: bytes) -> None:
    encoded = json.dumps(meta, separators=(",", ":")).encode()
    for part in (_HEAD.pack(len(encoded), len(text)), encoded, text):
        view = memoryview(part)
        while view:
            view = view[replies.write(view) :]


def _answer(
    registry: LoaderRegistry, request: Mapping[str, Any], data: bytes, max_chars: int
) -> tuple[dict[str, Any], bytes]:
    try:
        document = registry.load(data, request["name"], request["media_type"])
        if len(document.text) > max_chars:
            raise LoadError(f"The file holds more than {max_chars:,} characters of text; split it.", code="too_large")
        return _reply(document), document.text.encode("utf-8")
    except LoadError as error:
        return {"error": [error.code, error.message]}, b""
    except MemoryError:
        return {
            "error": ["parser_memory", "Reading the file needs more memory than a parser may use; split it."],
            "retire": True,
        }, b""
    except BaseException as error:  # a loader may even call sys.exit
        kind = type(error).__name__
        return {
            "error": ["parser_crashed", f"The parser failed on this file ({kind}); save it in another format."],
            "retire": True,
        }, b""


def _reply(document: LoadedDocument) -> dict[str, Any]:
    return {
        "title": document.title,
        "media_type": document.media_type,
        "blocks": _block_rows(document),
        "pages": [[page.number, page.span.start, page.span.end] for page in document.pages],
        "metadata": _plain(dict(document.metadata)),
        "warnings": list(document.warnings),
    }


def _block_rows(document: LoadedDocument) -> Sequence[Sequence[Any]]:
    return [
        [
            block.kind.value,
            block.span.start,
            block.span.end,
            block.level,
            block.header.start if block.header else None,
            block.header.end if block.header else None,
        ]
        for block in document.blocks
    ]


def _plain(metadata: dict[str, Any]) -> Any:
    """Metadata as JSON keeps it: what JSON does not know becomes its text."""
    return json.loads(json.dumps(metadata, default=str, allow_nan=False))


class _PeakMemory:
    """The most memory that this process has held. Opened before the process is confined and loses sight of /proc."""

    def __init__(self) -> None:
        try:
            # Not getrusage: its maximum outlives exec, so the child of a large server would look large from the start.
            self._status: IO[bytes] | None = open("/proc/self/status", "rb", buffering=0)
        except OSError:
            self._status = None

    def peak(self) -> int:
        """In bytes; 0 where the system does not say."""
        if self._status is None:
            return _peak_of_rusage()
        self._status.seek(0)
        found = re.search(rb"VmHWM:\s+(\d+)", self._status.read(_STATUS_BYTES))
        return int(found.group(1)) * 1024 if found else _peak_of_rusage()


def _peak_of_rusage() -> int:
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
