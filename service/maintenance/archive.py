"""The file of a backup: an ordinary zip archive, every byte of which is under a checksum.

    database.sqlite     the whole database, whichever kind it came from
    weights/...         what was trained in the data directory
    manifest.json       format, release, schema, and of each file its size and sha256, of each table its rows and sha256
    comment             "sha256:" and the digest of all bytes before it

Nothing is compressed: most of it is vectors, which do not shrink. The archive is written beside its place under a
temporary name, forced to the disk and renamed, so that a file of the wanted name is a whole backup.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from domain.errors import NotFound, StorageError, UsageError
from service.failpoints import failpoint

MANIFEST = "manifest.json"
FORMAT = 1
_COMMENT = b"sha256:"
_COMMENT_BYTES = len(_COMMENT) + 64
_PART = 1 << 20
_DATE = (1980, 1, 1, 0, 0, 0)  # the oldest that a zip can say; the manifest has the time


def pack(target: Path, files: Mapping[str, Path], about: Mapping[str, Any]) -> tuple[int, str]:
    """Write an archive of `files` (name in the archive -> path) with a manifest; (size, sha256 of all of it).

    Raises UsageError where something of the name is there already, StorageError for a full or broken disk.
    """
    if os.path.lexists(target):
        raise UsageError(f"{target} is there already; name another file, backups are never overwritten.")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        with _disk_errors(target):
            _write(temporary, files, about)
            failpoint("backup.packed")
            size, sha256 = temporary.stat().st_size, digest_of(temporary)
            _name(temporary, target)
            sync_directory(target.parent)
    except FileExistsError:
        raise UsageError(f"{target} is there already; name another file, backups are never overwritten.") from None
    finally:
        temporary.unlink(missing_ok=True)
    return size, sha256


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of an archive whose every byte is what was written. Raises NotFound, StorageError."""
    if not path.is_file():
        raise NotFound(f"There is no backup {path}.")
    _check_all_bytes(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
                raise damaged(path, "it is compressed, which no backup is")
            manifest = json.loads(archive.read(MANIFEST))
            names = entries.keys() - {MANIFEST}
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise damaged(path, str(error)) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StorageError(
            f"{path} has format {manifest.get('format') if isinstance(manifest, dict) else None}, this release reads "
            f"{FORMAT}; restore it with the release that wrote it or a later one.",
            code="backup_too_new",
        )
    if not _is_complete(manifest):
        raise damaged(path, "its manifest does not say all that one says")
    if names != set(manifest["files"]) or not all(map(_stays_inside, names)):
        raise damaged(path, "its files are not those of its manifest")
    return manifest


def unpack(path: Path, name: str, target: Path, manifest: Mapping[str, Any]) -> None:
    """Write one file of an archive to `target`, forced to the disk. Raises StorageError unless it is as recorded."""
    expected, hasher = manifest["files"][name], hashlib.sha256()
    with _disk_errors(target):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file, zipfile.ZipFile(path) as archive, archive.open(name) as source:
            while part := source.read(_PART):
                hasher.update(part)
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
    if (size, hasher.hexdigest()) != (expected["size"], expected["sha256"]):
        raise damaged(path, f"{name} is not what its manifest says")


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_directory(path: Path) -> None:
    """Force the names in a directory to the disk."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- steps -------------------------------------------------------------------------------------------------------------


def _write(path: Path, files: Mapping[str, Path], about: Mapping[str, Any]) -> None:
    entries = {name: {"size": file.stat().st_size, "sha256": digest_of(file)} for name, file in files.items()}
    manifest = {"format": FORMAT, **about, "files": entries}
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, source in files.items():
                with source.open("rb") as data, archive.open(_entry(name), "w", force_zip64=True) as target:
                    shutil.copyfileobj(data, target, _PART)
            archive.writestr(_entry(MANIFEST), json.dumps(manifest, ensure_ascii=False, indent=1))
            archive.comment = _COMMENT + b"0" * 64
        _seal(file)
        file.flush()
        os.fsync(file.fileno())


def _name(temporary: Path, target: Path) -> None:
    try:
        os.link(temporary, target)  # unlike a rename it fails where another backup took the name meanwhile
    except FileExistsError:
        raise
    except OSError:  # a file system without links, for example on a memory stick
        temporary.rename(target)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.external_attr = 0o600 << 16
    return entry


def _seal(file: BinaryIO) -> None:
    """Write the digest of all bytes before the comment's digits into them."""
    length = file.seek(0, os.SEEK_END)
    digest = _digest_until(file, length - 64)
    file.seek(length - 64)
    file.write(digest.encode())


def _check_all_bytes(path: Path) -> None:
    try:
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            if length < _COMMENT_BYTES:
                raise damaged(path, f"it has {length} bytes")
            digest = _digest_until(file, length - 64)
            file.seek(length - _COMMENT_BYTES)
            sealed = file.read() == _COMMENT + digest.encode()
    except OSError as error:
        raise damaged(path, str(error)) from error
    if not sealed:
        raise damaged(path, "its sha256 is not the one at its end: it is cut, changed, or no backup of this product")


def _digest_until(file: BinaryIO, end: int) -> str:
    hasher = hashlib.sha256()
    file.seek(0)
    while end > 0 and (part := file.read(min(_PART, end))):
        hasher.update(part)
        end -= len(part)
    return hasher.hexdigest()


def _is_complete(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest has everything that a restore reads: anybody can write one."""
    files, tables = manifest.get("files"), manifest.get("tables")
    return (
        isinstance(manifest.get("schema"), str)
        and isinstance(files, dict)
        and isinstance(tables, dict)
        and all(isinstance(one, dict) and {"size", "sha256"} <= one.keys() for one in files.values())
        and all(isinstance(one, dict) and isinstance(one.get("rows"), int) for one in tables.values())
    )


def _stays_inside(name: str) -> bool:
    """Whether a name leads to a place inside the folder that it is unpacked into, on any system."""
    return not any(part in ("", ".", "..") or set(part) & set("\\:\0") for part in name.split("/"))


def damaged(path: Path, why: str) -> StorageError:
    return StorageError(f"The backup {path} is refused: {why}. Nothing was restored.", code="backup_damaged")


@contextmanager
def _disk_errors(place: Path) -> Iterator[None]:
    from service.storage.database import storage_errors

    try:
        with storage_errors(str(place)):
            yield
    except StorageError as error:
        if isinstance(error.__cause__, FileExistsError):
            raise error.__cause__ from None
        raise
