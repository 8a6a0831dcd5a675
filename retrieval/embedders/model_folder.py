"""Folders of generated model files: published whole or not at all, and checked before they are used.

A folder is written under a temporary name beside its target: files first, then `manifest.json` with the size,
the time of change and the sha256 of each, everything flushed to disk, then one rename. A reader therefore sees a
complete folder or none. Two processes that build the same folder do the work twice; the first rename wins
and the other's copy is thrown away, which needs no lock that a killed process could leave behind.

Checking a folder hashes its small files always. Hashing half a gigabyte costs a second, so a big file whose
size and time of change are those of the manifest is believed, unless `full=True` asks for the hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import ConfigurationError

MANIFEST = "manifest.json"
_BIG = 32 * 1024 * 1024  # bytes; hashing less than this takes under 0.1 s


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish_folder(target: Path, write: Callable[[Path], None], recipe: str = "") -> Path:
    """Let `write` fill a new folder and make it appear at `target` complete, with a manifest; returns `target`.

    `recipe` names how the files were made, where that bears on the vectors; it goes into `weights_fingerprint`.

    Where `target` exists already, or another process is faster, the existing folder stays and the new one is dropped.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        write(draft)
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)  # some writers make their files private to the user
        _write_manifest(draft, recipe)
        _flush_tree(draft)
        _rename_into_place(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _rename_into_place(draft: Path, target: Path) -> None:
    try:
        draft.rename(target)
    except OSError:
        if not target.is_dir():  # a rename onto a full folder fails; that folder is the winner's
            raise
        return
    _flush(target.parent)


def _write_manifest(folder: Path, recipe: str) -> None:
    files = {}
    for path in _files(folder):
        state = path.stat()
        name = path.relative_to(folder).as_posix()
        files[name] = {"size": state.st_size, "mtime_ns": state.st_mtime_ns, "sha256": sha256_of(path)}
    (folder / MANIFEST).write_text(json.dumps({"recipe": recipe, "files": files}, indent=1), encoding="utf-8")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _flush_tree(folder: Path) -> None:
    for path in (*_files(folder), *(p for p in folder.rglob("*") if p.is_dir()), folder):
        _flush(path)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True)
class Manifest:
    """files: name -> {size, mtime_ns, sha256}. recipe: see `publish_folder`."""

    recipe: str
    files: dict[str, dict[str, Any]]


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a published folder; raises ConfigurationError when there is none to read."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = {
            name: {"size": int(entry["size"]), "mtime_ns": int(entry["mtime_ns"]), "sha256": str(entry["sha256"])}
            for name, entry in content["files"].items()
        }
        return Manifest(str(content.get("recipe", "")), files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, f"{MANIFEST} cannot be read ({error})") from error


def verify_folder(folder: Path, *, full: bool = False, recipe: str | None = None) -> None:
    """Check that a published folder holds exactly the files of its manifest, unchanged.

    Raises ConfigurationError that names the first file which is missing, extra, a link or altered.
    `full` hashes big files too; `recipe` is the one that the folder must have been made by.
    """
    manifest = read_manifest(folder)
    if recipe is not None and manifest.recipe != recipe:
        raise _damaged(folder, f"{MANIFEST} names the recipe {manifest.recipe!r} instead of {recipe!r}")
    expected = manifest.files
    found = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    found.pop(MANIFEST)
    for name in sorted(expected.keys() - found.keys()):
        raise _damaged(folder, f"{name} is missing")
    for name in sorted(found.keys() - expected.keys()):
        raise _damaged(folder, f"{name} does not belong there")
    for name, path in sorted(found.items()):
        _verify_file(folder, name, path, expected[name], full=full)


def _verify_file(folder: Path, name: str, path: Path, entry: dict[str, Any], *, full: bool) -> None:
    state = path.lstat()
    if not stat.S_ISREG(state.st_mode):
        raise _damaged(folder, f"{name} is a link or a special file")
    if state.st_size != entry["size"]:
        raise _damaged(folder, f"{name} has {state.st_size} bytes instead of {entry['size']}")
    believed = state.st_size >= _BIG and state.st_mtime_ns == entry["mtime_ns"] and not full
    if not believed and sha256_of(path) != entry["sha256"]:
        raise _damaged(folder, f"{name} differs from its sha256 in the manifest")


def _damaged(folder: Path, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"The model folder {folder} is not as it was written: {what}. "
        "Delete the folder; it is built again at the next start.",
        code="model_folder_damaged",
    )


def weights_fingerprint(folder: Path) -> str:
    """Eight hex digits that name the weights, and the recipe where the folder has one.

    Of one weight file its sha256, else the sha256 over the recipe and those of all, by name. Taken from the
    manifest where there is one, else from the files.
    """
    known = read_manifest(folder) if (folder / MANIFEST).is_file() else Manifest("", {})
    digests = [known.recipe] if known.recipe else []
    for path in sorted(folder.rglob("*.safetensors")):
        entry = known.files.get(path.relative_to(folder).as_posix())
        digests.append(entry["sha256"] if entry else sha256_of(path))
    return (digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest())[:8]
