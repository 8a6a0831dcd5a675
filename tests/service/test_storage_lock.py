from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from domain.errors import DataDirectoryInUse, StorageError
from service.storage.lock import DataDirectoryLock

_HOLD = """
import sys, pathlib
from service.storage.lock import DataDirectoryLock
DataDirectoryLock(pathlib.Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""

_TRY = """
import sys, pathlib
from domain.errors import DataDirectoryInUse
from service.storage.lock import DataDirectoryLock
refused = 0
for wait_seconds in [1.0] + [0.01] * 19:
    try:
        DataDirectoryLock(pathlib.Path(sys.argv[1]), wait_seconds).acquire()
    except DataDirectoryInUse as error:
        refused += 1
        message = error.message
sys.exit(f"{refused} of 20 refused: {message}")
"""


def _owner(directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_d15_a_second_process_learns_who_owns_the_directory_and_what_to_do(tmp_path: Path) -> None:
    with _owner(tmp_path) as owner:
        second = subprocess.run([sys.executable, "-c", _TRY, str(tmp_path)], capture_output=True, text=True, timeout=30)
        owner.kill()
    assert second.returncode == 1
    assert "20 of 20 refused" in second.stderr
    assert f"in use by process {owner.pid}" in second.stderr
    assert "Stop that process" in second.stderr
    assert "HTTP API" in second.stderr


def test_d15_a_killed_owner_leaves_nothing_to_clean_up(tmp_path: Path) -> None:
    for _ in range(3):
        with _owner(tmp_path) as owner:
            owner.send_signal(signal.SIGKILL)
            owner.wait()
        with DataDirectoryLock(tmp_path, wait_seconds=0):
            assert (tmp_path / "fovea.lock").read_text() == str(os.getpid())


def test_who_withdraws_leaves_nothing_that_taking_the_directory_made(tmp_path: Path) -> None:
    with DataDirectoryLock(tmp_path / "a" / "b") as lock:
        lock.withdraw()
    assert list(tmp_path.iterdir()) == []


def test_withdrawing_leaves_what_was_there_before_and_what_came_to_lie_there(tmp_path: Path) -> None:
    with DataDirectoryLock(tmp_path / "old"):
        pass
    with DataDirectoryLock(tmp_path / "old") as lock:
        lock.withdraw()
    with DataDirectoryLock(tmp_path / "new") as lock:
        (tmp_path / "new" / "weights").mkdir()
        lock.withdraw()
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["fovea.lock"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["fovea.lock", "weights"]


def test_who_waits_for_an_owner_that_withdraws_holds_the_directory_alone(tmp_path: Path) -> None:
    first, waiting = DataDirectoryLock(tmp_path / "data"), DataDirectoryLock(tmp_path / "data", wait_seconds=30)
    first.acquire()
    threading.Timer(0.3, first.withdraw).start()
    waiting.acquire()
    with pytest.raises(DataDirectoryInUse, match="This process"):
        DataDirectoryLock(tmp_path / "data", wait_seconds=0).acquire()
    waiting.release()


def test_a_second_engine_of_the_same_process_is_kept_out_too(tmp_path: Path) -> None:
    first, second = DataDirectoryLock(tmp_path), DataDirectoryLock(tmp_path, wait_seconds=0.1)
    first.acquire()
    with pytest.raises(DataDirectoryInUse, match="This process"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_taking_and_giving_back_twice_is_harmless(tmp_path: Path) -> None:
    lock = DataDirectoryLock(tmp_path / "new" / "folder")
    lock.acquire()
    lock.acquire()
    lock.release()
    lock.release()
    with lock:
        pass


def test_a_child_process_does_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = DataDirectoryLock(tmp_path)
    lock.acquire()
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    lock.release()
    with DataDirectoryLock(tmp_path, wait_seconds=0):
        child.communicate()


def test_a_place_that_cannot_be_a_directory_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be used"):
        DataDirectoryLock(tmp_path / "file").acquire()


def test_a_directory_that_it_makes_is_the_users_alone_and_one_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    made, found = tmp_path / "made", tmp_path / "found"
    found.mkdir(mode=0o755)
    found.chmod(0o755)
    for directory in (made, found):
        with DataDirectoryLock(directory):
            assert (directory / "fovea.lock").stat().st_mode & 0o077 == 0
    assert made.stat().st_mode & 0o777 == 0o700
    assert found.stat().st_mode & 0o777 == 0o755
