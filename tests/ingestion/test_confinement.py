"""What the kernel refuses to a parser, native code included; and what is left where the kernel has nothing to offer."""

import ctypes
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import LoadError
from ingestion import confinement
from ingestion.confinement import MECHANISMS, code_folders
from ingestion.sandbox import Sandbox

POISON = ("tests.ingestion.poison_loaders:PoisonLoader",)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(loaders=POISON) as opened:
        opened.load(b"say warm", "x.poison")
        yield opened


def said(sandbox: Sandbox, what: str) -> str:
    return sandbox.load(what.encode(), "x.poison").text


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("the master key")
    return path


def granted(sandbox: Sandbox, mechanism: str) -> bool:
    """False only where this kernel has no such thing to give."""
    if mechanism in sandbox.confinement:
        return True
    if mechanism == "landlock":
        assert confinement._libc().syscall(confinement._CREATE_RULESET, None, ctypes.c_size_t(0), 1) < 1
    else:
        assert os.uname().machine not in confinement._CALLS
    return False


def test_native_code_reads_writes_and_lists_nothing_of_the_user(sandbox: Sandbox, secret: Path) -> None:
    if not granted(sandbox, "landlock"):
        return
    assert said(sandbox, f"native read {secret}") == "EACCES"
    assert said(sandbox, "native read /etc/passwd") == "EACCES"
    assert said(sandbox, f"native list {secret.parent}") == "EACCES"
    assert said(sandbox, f"native list {ROOT}") == "EACCES"
    assert said(sandbox, f"native write {secret.parent / 'new'}") == "EACCES"
    assert said(sandbox, f"native write {secret}") == "EACCES"
    assert said(sandbox, f"native remove {secret}") == "EACCES"
    assert secret.read_text() == "the master key"
    assert [path.name for path in secret.parent.iterdir()] == ["secret"]


@pytest.mark.parametrize(
    "what",
    [
        f"socket {int(socket.AF_INET)}",
        f"socket {int(socket.AF_INET6)}",
        f"socket {int(socket.AF_UNIX)}",
        "fork",
        "execute",
        "kill {process}",
        "trace {process}",
        "namespace",
    ],
)
def test_native_code_opens_no_socket_and_reaches_no_process(sandbox: Sandbox, what: str) -> None:
    assert not granted(sandbox, "seccomp") or said(sandbox, f"native {what.format(process=os.getpid())}") == "EPERM"


def test_threads_and_libraries_still_work(sandbox: Sandbox) -> None:
    assert said(sandbox, "thread") == "ran"
    (library,) = (path for path in code_folders() if path.endswith("/ingestion"))
    assert said(sandbox, f"read {library}/__init__.py") == (Path(library) / "__init__.py").read_text()


def test_python_code_reads_no_file_of_the_user_either(sandbox: Sandbox, secret: Path) -> None:
    with pytest.raises(LoadError, match="PermissionError"):
        said(sandbox, f"read {secret}")
    with pytest.raises(LoadError, match="PermissionError"):
        said(sandbox, "read /etc/passwd")


def test_a_folder_that_a_loader_needs_can_be_named(secret: Path) -> None:
    with Sandbox(loaders=POISON, readable=[str(secret.parent)]) as sandbox:
        assert said(sandbox, f"read {secret}") == "the master key"
        with pytest.raises(LoadError, match="PermissionError"):
            said(sandbox, f"write {secret}")


def test_the_checkout_itself_is_not_readable_only_its_packages_are() -> None:
    folders = code_folders()
    assert str(ROOT) not in folders
    assert str(ROOT / "ingestion") in folders
    assert not any(str(ROOT / ".fovea").startswith(folder) for folder in folders)


WITHOUT_KERNEL = """
import ctypes, sys
from ingestion import confinement

def refuse():
    raise OSError("no such call")

confinement._libc = refuse
print(confinement.confine())
for attempt in (lambda: open("/etc/passwd"), lambda: __import__("socket").socket(), lambda: __import__("os").fork()):
    try:
        attempt()
        print("allowed")
    except PermissionError:
        print("refused")
import xml.dom.minidom
print(xml.dom.minidom.parseString("<a/>").documentElement.tagName)
"""


def test_without_help_of_the_kernel_python_code_is_held_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_KERNEL], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n") == ["('audit hook',)", "refused", "refused", "refused", "a", ""], done.stderr


def test_what_the_kernel_does_not_grant_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    sandbox = Sandbox()
    with caplog.at_level(logging.WARNING, logger="ingestion.sandbox"):
        for _ in range(2):
            sandbox._note({"confinement": ["seccomp", "audit hook"]})
        sandbox._note({"confinement": list(MECHANISMS)})
    (record,) = caplog.records
    assert record.getMessage() == "Parsers run without network namespace and landlock: this system does not grant it."
    assert sandbox.confinement == MECHANISMS


def test_the_filter_denies_what_it_names_and_foreign_calls_and_allows_the_rest() -> None:
    """The packet filter's program, run here by an interpreter of the six instructions that it uses."""
    for architecture, _, clone, clone3, forbidden in confinement._CALLS.values():
        code = confinement._filter(architecture, clone, clone3, forbidden)
        deny, allow = 0x00050001, 0x7FFF0000
        for number in range(600):
            expected = deny if number in forbidden or number == clone else allow
            expected = 0x00050026 if number == clone3 else expected
            assert run_filter(code, architecture, number, 0) == expected, number
        assert run_filter(code, architecture, clone, 0x003D0F00) == allow  # the flags of a thread
        assert run_filter(code, architecture ^ 1, 0, 0) == deny
        assert run_filter(code, architecture, 0x40000000, 0) == deny


def run_filter(code: bytes, architecture: int, number: int, argument: int) -> int:
    import struct

    data = {0: number, 4: architecture, 16: argument}
    steps, at, value = list(struct.iter_unpack("=HBBI", code)), 0, 0
    while True:
        kind, yes, no, constant = steps[at]
        at += 1
        if kind == 0x20:
            value = data[constant]
        elif kind == 0x06:
            return constant
        else:
            holds = {0x15: value == constant, 0x35: value >= constant, 0x45: bool(value & constant)}[kind]
            at += yes if holds else no
