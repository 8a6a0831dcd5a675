"""What the kernel takes away from a process that reads hostile bytes: files, network, further processes.

Three mechanisms, none of which needs root, each of which holds for native code as well as for Python:

- a network namespace without any interface (`unshare`; often switched off inside containers);
- Landlock (Linux 5.13): files can be read where libraries lie and nowhere else, nothing can be written, no TCP, and
  no signal or abstract socket reaches another process where the kernel knows how to forbid that;
- a seccomp filter: system calls that open sockets, start programs, fork, trace or reach into other processes fail
  with EPERM.

An audit hook stands behind them for code written in Python. It is all there is on other systems and older kernels, so
`confine` says what was granted and the sandbox reports what was not.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

MECHANISMS = ("network namespace", "landlock", "seccomp", "audit hook")

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_NO_NEW_PRIVS = 38

# What lies outside the folders of the libraries and is asked for on the way to them.
_SYSTEM_FILES = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/dev/null",
    "/dev/urandom",
)
_FORBIDDEN_EVENTS = (
    "socket.",
    "subprocess.",
    "os.exec",
    "os.posix_spawn",
    "os.system",
    "os.fork",
    "pickle.",
    "ftplib.",
    "urllib.",
)


def confine(readable: Sequence[str] = ()) -> tuple[str, ...]:
    """Lock the calling process in for good; returns those of MECHANISMS that hold it.

    Call it before the first further thread. Code that is imported later is found in the folders of the installed
    libraries and of the packages that are loaded already; `readable` names further files and folders.
    """
    folders = [*code_folders(), *readable]
    steps: tuple[Callable[[], bool], ...] = (
        _leave_network,
        lambda: _forbid_files((*folders, *_SYSTEM_FILES)),
        _forbid_calls,
        lambda: _watch_python((*folders, *_SYSTEM_FILES)),
    )
    return tuple(name for name, step in zip(MECHANISMS, steps, strict=True) if _granted(step))


def code_folders() -> list[str]:
    """The folders and files from which this process may still import: installed libraries, packages in use.

    The folder that a package stands in is not among them: beside the packages of a checkout lies a user's data.
    """
    found = {os.path.join(prefix, "lib") for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    found.add(os.path.dirname(os.__file__))
    found.update(path for path in sys.path if path.endswith(("site-packages", "dist-packages", ".zip")))
    for name, module in list(sys.modules.items()):
        if "." not in name:
            file = getattr(module, "__file__", None)
            found.update(getattr(module, "__path__", None) or ([file] if file else []))
    return sorted(os.path.realpath(path) for path in found if os.path.exists(path))


def _granted(step: Callable[[], bool]) -> bool:
    try:
        return step()
    except (OSError, AttributeError):  # no such call on this system
        return False


def _leave_network() -> bool:
    """Move to a network namespace without any interface, where the kernel lets an ordinary process do so."""
    if not sys.platform.startswith("linux"):
        return False
    return any(_libc().unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _renounce_privileges() -> bool:
    """Landlock and seccomp ask of an ordinary process that no program it starts may gain rights."""
    return bool(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


# --- Landlock: linux/landlock.h; the numbers of its system calls are the same on every architecture ---

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# By version of the interface: how many file rights it knows. From 4 on TCP can be forbidden, from 6 on signals.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_ALL_FILE_RIGHTS = 16
_TCP_FROM, _SCOPES_FROM = 4, 6


def _forbid_files(readable: Iterable[str]) -> bool:
    """Allow reading below `readable`, and no other access to any file or TCP port."""
    libc = _libc()
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1) if sys.platform.startswith("linux") else -1
    if version < 1:
        return False
    attributes = struct.pack("=Q", (1 << _FILE_RIGHTS.get(version, _ALL_FILE_RIGHTS)) - 1)
    attributes += struct.pack("=Q", 0b11) if version >= _TCP_FROM else b""
    attributes += struct.pack("=Q", 0b11) if version >= _SCOPES_FROM else b""
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _allow_reading(libc, ruleset, path)
        return _renounce_privileges() and libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _allow_reading(libc: Any, ruleset: int, path: str) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this system, or not for this user
    try:
        rights = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)
        libc.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


# --- seccomp: a program of the classic packet filter over the number of the call ---

_LOAD, _JUMP_EQUAL, _JUMP_FROM, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD = 0x00010000
_FOREIGN_CALLS = 0x40000000  # the x32 numbers of x86-64, by which every call could be made under another name
_SET_FILTER, _ALL_THREADS = 1, 1

# machine: (AUDIT_ARCH, seccomp, clone, clone3, forbidden). In order: socket, connect, accept, sendto, sendmsg, bind,
# listen, socketpair, accept4, execve, execveat, ptrace, mount, umount2, pivot_root, chroot, add_key, request_key,
# keyctl, unshare, setns, perf_event_open, open_by_handle_at, process_vm_readv, process_vm_writev, bpf, userfaultfd,
# kill, rt_sigqueueinfo, pidfd_send_signal, io_uring_setup, io_uring_enter, pidfd_open, pidfd_getfd; then fork, vfork.
# fmt: off
_CALLS = {
    "x86_64": (0xC000003E, 317, 56, 435, (
        41, 42, 43, 44, 46, 49, 50, 53, 288, 59, 322, 101, 165, 166, 155, 161, 248, 249, 250, 272, 308, 298, 304, 310,
        311, 321, 323, 62, 129, 424, 425, 426, 434, 438, 57, 58,
    )),
    "aarch64": (0xC00000B7, 277, 220, 435, (
        198, 203, 202, 206, 211, 200, 201, 199, 242, 221, 281, 117, 40, 39, 41, 51, 217, 218, 219, 97, 268, 241, 265,
        270, 271, 280, 282, 129, 138, 424, 425, 426, 434, 438,
    )),
}
# fmt: on


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _forbid_calls() -> bool:
    """Let forbidden system calls fail with EPERM, in every thread."""
    known = _CALLS.get(os.uname().machine) if sys.platform.startswith("linux") else None
    if known is None or sys.maxsize < 2**32 or not _renounce_privileges():
        return False
    architecture, seccomp, clone, clone3, forbidden = known
    code = _filter(architecture, clone, clone3, forbidden)
    program = _Program(len(code) // 8, code)
    return bool(_libc().syscall(seccomp, _SET_FILTER, _ALL_THREADS, ctypes.byref(program)) == 0)


def _filter(architecture: int, clone: int, clone3: int, forbidden: Sequence[int]) -> bytes:
    """The filter: other architectures' calls and `forbidden` fail, `clone` makes threads only.

    `clone3` keeps its flags in memory, which a filter cannot read; told that it does not exist, libc takes `clone`.
    """
    deny = _FAIL | _EPERM
    steps: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, deny),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_FROM, 0, 1, _FOREIGN_CALLS),
        (_RETURN, 0, 0, deny),
        (_JUMP_EQUAL, 0, 1, clone3),
        (_RETURN, 0, 0, _FAIL | _ENOSYS),
        *(step for number in forbidden for step in ((_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, deny))),
        (_JUMP_EQUAL, 0, 3, clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_BITS, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, deny),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


# --- the audit hook ---


def _watch_python(readable: Iterable[str]) -> bool:
    """Stop code written in Python, everywhere: an audit hook cannot be removed."""
    below = tuple(path + os.sep for path in readable)
    exactly = frozenset(readable)

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_FORBIDDEN_EVENTS):
            raise PermissionError(f"{event} is not allowed while a document is read")
        if event == "open" and not _is_readable(arguments[0], below, exactly):
            raise PermissionError(f"opening {str(arguments[0])[:200]!r} is not allowed while a document is read")

    sys.addaudithook(refuse)
    return True


def _is_readable(path: Any, below: tuple[str, ...], exactly: frozenset[str]) -> bool:
    if isinstance(path, int):  # a descriptor that is open already
        return True
    try:
        real = os.path.realpath(os.fsdecode(path))
    except (TypeError, ValueError):
        return False
    return real in exactly or real.startswith(below)
