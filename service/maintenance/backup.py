"""`fovea backup` and `fovea restore`: everything that cannot be made again, in one file, and back.

A backup is taken beside a running server and holds one state: what was acknowledged when it began is in it. It carries
the database, with the calibrations of its collections, and the trained weights; not the index snapshots, which the
next start builds from the database without the encoder, nor converted models, which the encoder makes again.

The database travels as SQLite whatever it came from, so that a backup is also the road to PostgreSQL and back: restore
into settings that name the other kind.

    restore    check every byte -> unpack beside the places -> weights into place -> database into place, last

A restore that was killed has put no database in place. The next one clears what it left and begins anew.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from domain.errors import StorageError, UsageError
from domain.maintenance import BackupReport
from service.failpoints import failpoint
from service.maintenance.archive import damaged, digest_of, pack, read_manifest, sync_directory, unpack
from service.storage.database import Database, open_database, sqlite_file, without_password
from service.storage.tables import SCHEMA_VERSION, metadata
from service.storage.transfer import copy_to_file, fingerprints, import_file, is_empty

_DATABASE = "database.sqlite"
_WEIGHTS = "weights"
_STAGING = "restore.partial"
_COUNT = {name: str(select(func.count()).select_from(table)) for name, table in metadata.tables.items()}


def back_up(database: Database, data_dir: Path, target: Path, release: str) -> BackupReport:
    """Write everything that cannot be made again into one new file. Needs free space for the database twice.

    Raises UsageError for a target that is there or has no folder, StorageError.
    """
    started = time.perf_counter()
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent} to write the backup into.")
    if os.path.lexists(target):
        raise UsageError(f"{target} is there already; name another file, backups are never overwritten.")
    # Beside the target, which has the room; of this user alone, as the database is.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        copy = Path(folder) / _DATABASE
        os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        copy_to_file(database, copy)
        failpoint("backup.copied")
        tables = _states(copy)
        weights = _weights_in(data_dir)
        about = {
            "release": release,
            "schema": SCHEMA_VERSION,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "source": "sqlite" if database.is_sqlite else "postgresql",
            "tables": tables,
        }
        size, sha256 = pack(target, {_DATABASE: copy, **weights}, about)
    rows = {name: int(state["rows"]) for name, state in tables.items()}
    return BackupReport(str(target), size, sha256, database.name, rows, len(weights), time.perf_counter() - started)


def restore(path: Path, data_dir: Path, database_url: str) -> BackupReport:
    """Put a backup into an empty data directory, which the caller holds the lock of, and an empty database.

    Raises StorageError for a backup that is damaged or of a later release, before anything is touched; UsageError
    where there is something that a restore would replace.
    """
    started = time.perf_counter()
    manifest = read_manifest(path)
    if str(manifest["schema"]) > SCHEMA_VERSION:
        raise StorageError(
            f"{path} holds schema {manifest['schema']}, newer than {SCHEMA_VERSION} of this release; restore it with "
            "the release that wrote it, or a later one.",
            code="schema_too_new",
        )
    file = sqlite_file(database_url)
    if file is None:
        _refuse_occupied_server(database_url)
    _clear_interrupted(data_dir)
    _refuse_occupied(data_dir, file)
    staging = data_dir / _STAGING
    try:
        for name in manifest["files"]:
            unpack(path, name, staging / name, manifest)
        _check_database(path, staging / _DATABASE, manifest["tables"])
    except StorageError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    failpoint("restore.unpacked")
    if (staging / _WEIGHTS).is_dir():
        (staging / _WEIGHTS).rename(data_dir / _WEIGHTS)
    failpoint("restore.weights")
    if file is None:
        _into_server(staging / _DATABASE, database_url)
    else:
        _into_place(staging / _DATABASE, file)
    shutil.rmtree(staging)
    sync_directory(data_dir)
    rows = {name: int(state["rows"]) for name, state in manifest["tables"].items()}
    weights = len(manifest["files"]) - 1
    size, sha256, shown = path.stat().st_size, digest_of(path), without_password(database_url)
    return BackupReport(str(path), size, sha256, shown, rows, weights, time.perf_counter() - started)


# -- steps -------------------------------------------------------------------------------------------------------------


def _states(copy: Path) -> dict[str, dict[str, Any]]:
    database = open_database(f"sqlite:///{copy}")
    try:
        return {name: {"rows": one.rows, "sha256": one.sha256} for name, one in fingerprints(database).items()}
    finally:
        database.close()


def _weights_in(data_dir: Path) -> Mapping[str, Path]:
    folder = data_dir / _WEIGHTS
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {f"{_WEIGHTS}/{path.relative_to(folder).as_posix()}": path for path in files}


def _check_database(path: Path, unpacked: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise StorageError unless the file is a sound database with the rows that the manifest counts.

    A checksum says that nothing was lost on the way, not who wrote it.
    """
    try:
        with closing(sqlite3.connect(f"file:{unpacked}?mode=ro", uri=True)) as database:
            (state,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if state != "ok" or not tables.keys() <= names:
                raise damaged(path, "its database is not whole")
            for name in tables:
                (rows,) = database.execute(_COUNT[name]).fetchone() if name in _COUNT else (tables[name]["rows"],)
                if rows != tables[name]["rows"]:
                    raise damaged(path, f"its table {name} has {rows} rows instead of {tables[name]['rows']}")
    except sqlite3.Error as error:
        raise damaged(path, f"its database cannot be read ({error})") from error


def _clear_interrupted(data_dir: Path) -> None:
    """Remove what a restore left that was killed: until its database is in place, nothing here is anybody's."""
    if (data_dir / _STAGING / _DATABASE).is_file():
        shutil.rmtree(data_dir / _WEIGHTS, ignore_errors=True)
    shutil.rmtree(data_dir / _STAGING, ignore_errors=True)


def _refuse_occupied(data_dir: Path, file: Path | None) -> None:
    places = [data_dir / _WEIGHTS, data_dir / "indexes", data_dir / "tenants", *([file] if file is not None else [])]
    for place in places:
        if place.is_file() or (place.is_dir() and any(place.iterdir())):
            raise UsageError(f"{place} is there already; restore into an empty data directory (--data-dir).")


def _refuse_occupied_server(url: str) -> None:
    target = open_database(url)
    try:
        if not is_empty(target):
            raise UsageError(f"The database {target.name} holds something already; restore into an empty one.")
    finally:
        target.close()


def _into_place(unpacked: Path, file: Path) -> None:
    """Give a database its name, in one step."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if unpacked.stat().st_dev == file.parent.stat().st_dev:
        unpacked.rename(file)
    else:
        near = file.with_name(f"{file.name}.restoring")
        shutil.copyfile(unpacked, near)
        near.chmod(0o600)
        _sync(near)
        near.rename(file)
    sync_directory(file.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _into_server(unpacked: Path, url: str) -> None:
    target = open_database(url)
    try:
        import_file(unpacked, target)
    finally:
        target.close()
