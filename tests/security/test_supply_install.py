"""What is installed is what was locked: hashes are checked, versions above known holes, nothing runs at the start.

The whole lock is installed into an empty environment before a release (docs/security.md has the command); here the
same installer is held to its word on a package made on the spot.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")
_ENTRY = re.compile(
    r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)(?: ;[^\\\n]*)?((?: \\\n    --hash=sha256:[0-9a-f]{64})*)$", re.M
)
# Below these stand published holes (docs/security.md); a package that is not installed cannot have one.
FLOORS = {
    "starlette": "1.5.1",
    "python-multipart": "0.0.32",
    "pdfminer-six": "20251230",
    "torch": "2.10",
    "transformers": "5.3",
    "mcp": "1.23",
    "lxml": "5.4",
    "h11": "0.16",
    "urllib3": "2.5",
    "jinja2": "3.1.6",
    "pillow": "11.3",
}
# Python runs lines of .pth files that begin with "import" at every start: the favourite place of stolen packages.
PTH_THAT_RUN = {"distutils-precedence.pth": "import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = "}


def locked(name: str) -> Iterator[tuple[str, str, list[str]]]:
    """(package, version, hashes) of each entry of a lock file."""
    for package, pinned, hashes in _ENTRY.findall((ROOT / name).read_text()):
        yield re.sub(r"[-_.]+", "-", package).lower(), pinned, re.findall(r"sha256:(\w+)", hashes)


@pytest.mark.parametrize("name", LOCKS)
def test_s4_every_line_of_a_lock_is_an_entry_and_every_entry_carries_hashes(name: str) -> None:
    entries = list(locked(name))
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith(("#", "    --hash="))]
    assert len(entries) == len(lines) >= 90
    assert [package for package, _, hashes in entries if not hashes] == []


@pytest.mark.parametrize("name", LOCKS)
def test_s4_torch_is_the_cpu_build_on_linux_with_a_hash_for_each_python(name: str) -> None:
    pinned = {one: hashes for package, one, hashes in locked(name) if package == "torch"}
    (plain,) = (one for one in pinned if "+" not in one)
    assert pinned.keys() == {plain, f"{plain}+cpu"}
    known = (ROOT / ".ci" / "torch-wheels.sha256").read_text().splitlines()
    assert sorted(pinned[f"{plain}+cpu"]) == sorted(line.split()[0] for line in known)
    for python in ("cp311", "cp312", "cp313"):
        assert any(f"-{python}-{python}-manylinux_2_28_x86_64.whl" in line for line in known)


def tiny_wheel(folder: Path) -> str:
    """A wheel of one empty module in `folder`; returns its sha256."""
    path = folder / "tiny_canary-1.0-py3-none-any.whl"
    info = "tiny_canary-1.0.dist-info"
    members = {
        "tiny_canary.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-canary\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*members, f"{info}/RECORD"))
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in {**members, f"{info}/RECORD": record}.items():
            wheel.writestr(name, content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (lambda line: line, None),
        (lambda line: line[:-1] + ("0" if line[-1] != "0" else "1"), "DO NOT MATCH THE HASHES"),
        (lambda line: line.partition(" --hash")[0], "Hashes are required"),
    ],
    ids=["as locked", "one digit edited", "hash removed"],
)
def test_s4_the_installer_takes_the_locked_bytes_and_no_others(tmp_path: Path, edit, word: str | None) -> None:
    wheels, lock, target = tmp_path / "wheels", tmp_path / "tiny.lock", tmp_path / "site"
    wheels.mkdir()
    lock.write_text(edit(f"tiny-canary==1.0 --hash=sha256:{tiny_wheel(wheels)}") + "\n")
    command = [sys.executable, "-m", "pip", "install", "--isolated", "--no-index", "--find-links", str(wheels)]
    command += ["--require-hashes", "--no-cache-dir", "--target", str(target), "-r", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if word is None:
        assert done.returncode == 0 and (target / "tiny_canary.py").is_file(), done.stderr
    else:
        assert done.returncode != 0 and word in done.stderr and not target.exists()


def start_files(site: Path) -> list[str]:
    """What Python would run of `site` at its start, other than what is known, by file name."""
    found = []
    for path in sorted(site.glob("*.pth")):
        runs = [line for line in path.read_text().splitlines() if line.startswith(("import ", "import\t"))]
        known = PTH_THAT_RUN.get(path.name)
        if any(known is None or not line.startswith(known) for line in runs):
            found.append(path.name)
    return found + [name for name in ("sitecustomize.py", "usercustomize.py") if (site / name).exists()]


def test_s4_nothing_that_is_installed_runs_at_pythons_start() -> None:
    assert start_files(Path(sysconfig.get_paths()["purelib"])) == []


@pytest.mark.parametrize("name", ["litellm_init.pth", "distutils-precedence.pth"])
def test_s4_a_start_file_that_was_slipped_in_is_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "_editable_impl_fovea_rag.pth").write_text("/somewhere/fovea\n")
    assert start_files(tmp_path) == []
    (tmp_path / name).write_text("import os; os.system('true')\n")
    assert start_files(tmp_path) == [name]


@pytest.mark.parametrize("name", LOCKS)
def test_s6_no_locked_version_is_below_a_known_hole(name: str) -> None:
    pinned = {package: Version(one) for package, one, _ in locked(name)}
    assert {"starlette", "python-multipart", "torch", "transformers", "mcp"} <= pinned.keys()
    assert [
        f"{package} {pinned[package]}"
        for package in FLOORS.keys() & pinned.keys()
        if pinned[package] < Version(FLOORS[package])
    ] == []


def test_s6_what_runs_here_is_what_is_locked() -> None:
    pinned = {package: one for package, one, _ in locked("requirements-dev.lock")}
    for package in ("starlette", "fastapi", "python-multipart", "transformers", "mcp", "sqlalchemy", "pypdfium2"):
        assert version(package) == pinned[package]
