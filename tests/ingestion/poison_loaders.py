"""A loader that does what hostile bytes may make a parser do. The sandbox imports it by name."""

from __future__ import annotations

import ctypes
import errno
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from domain.documents import Block, BlockKind, LoadedDocument, Span


class PoisonLoader:
    extensions = (".poison",)
    media_types = ("application/x-poison",)

    def load(self, data: bytes, name: str) -> LoadedDocument:
        word, _, argument = data.decode().partition(" ")
        result = getattr(self, f"_{word}")(argument)
        return LoadedDocument(title="t", text=str(result), media_type="text/plain")

    def _say(self, argument: str) -> str:
        return argument

    def _modules(self, _: str) -> str:
        return " ".join(sys.modules)

    def _environment(self, _: str) -> str:
        return "environment " + " ".join(os.environ)

    def _segfault(self, _: str) -> None:
        ctypes.string_at(0)

    def _exit(self, _: str) -> None:
        os._exit(3)

    def _leave(self, _: str) -> None:
        sys.exit(0)

    def _sleep(self, _: str) -> None:
        time.sleep(3600)

    def _spin(self, _: str) -> None:
        while True:
            pass

    def _eat(self, _: str) -> int:
        return len([bytearray(1 << 24) for _ in range(10_000)])

    def _recurse(self, argument: str) -> str:
        return self._recurse(argument)

    def _long(self, argument: str) -> str:
        return "x" * int(argument)

    def _print(self, _: str) -> str:
        print("noise on stdout", flush=True)
        os.write(1, b"more noise")
        return "printed"

    def _connect(self, argument: str) -> str:
        socket.create_connection(("127.0.0.1", int(argument)), timeout=2)
        return "connected"

    def _spawn(self, _: str) -> str:
        return subprocess.check_output(["id"]).decode()

    def _unpickle(self, _: str) -> str:
        return str(pickle.loads(pickle.dumps(Path("/"))))

    def _native(self, argument: str) -> str:
        """Do past Python what a parser written in C could do; "0" for success, else the name of the error."""
        what, _, rest = argument.partition(" ")
        libc = ctypes.CDLL(None, use_errno=True)
        calls = {
            "read": lambda: libc.open(os.fsencode(rest), os.O_RDONLY),
            "write": lambda: libc.open(os.fsencode(rest), os.O_WRONLY | os.O_CREAT, 0o600),
            "remove": lambda: libc.unlink(os.fsencode(rest)),
            "list": lambda: libc.open(os.fsencode(rest), os.O_RDONLY | os.O_DIRECTORY),
            "socket": lambda: libc.socket(int(rest), socket.SOCK_STREAM, 0),
            "fork": libc.fork,
            "execute": lambda: libc.execv(b"/bin/true", (ctypes.c_char_p * 2)(b"true", None)),
            "kill": lambda: libc.kill(int(rest), 0),
            "trace": lambda: libc.ptrace(16, int(rest), None, None),
            "namespace": lambda: libc.unshare(0x10000000),
        }
        result = calls[what]()
        return "0" if result >= 0 else errno.errorcode[ctypes.get_errno()]

    def _thread(self, _: str) -> str:
        done: list[str] = []
        worker = threading.Thread(target=done.append, args=("ran",))
        worker.start()
        worker.join()
        return done[0]

    def _read(self, path: str) -> str:
        return Path(path).read_text()

    def _write(self, path: str) -> str:
        with open(path, "wb") as file:
            file.write(b"x" * 10_000_000)
            file.flush()
        return "written"


class LyingLoader:
    """Says it found a block where there is no text."""

    extensions = (".lie",)
    media_types = ("application/x-lie",)

    def load(self, data: bytes, name: str) -> LoadedDocument:
        return LoadedDocument("t", "short", "text/plain", (Block(BlockKind.PARAGRAPH, Span(0, 999)),))
