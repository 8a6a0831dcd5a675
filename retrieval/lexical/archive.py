"""One file out of an index directory, and back: a zip without compression, which brings a checksum for each member."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

# The first date that zip knows: the same index gives the same bytes on any day.
_DATE = (1980, 1, 1, 0, 0, 0)
_LOCKS = ".lock"
_LABEL = "fovea-lexical-1 "


def pack(directory: Path, archive: Path, label: str) -> None:
    """Write the files of `directory`, sorted by name, without locks; `label` says what made them."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        target.comment = (_LABEL + label).encode()
        for file in sorted(directory.iterdir()):
            if file.suffix != _LOCKS:
                with file.open("rb") as source, target.open(zipfile.ZipInfo(file.name, _DATE), "w") as member:
                    shutil.copyfileobj(source, member, 1 << 20)


def unpack(archive: Path, directory: Path, label: str) -> None:
    """Restore what `pack` wrote into the empty `directory`. Raises ValueError for anything else, or another label."""
    try:
        with zipfile.ZipFile(archive) as source:
            if source.comment != (_LABEL + label).encode():
                raise ValueError(f"it is marked {source.comment[:80]!r} instead of {_LABEL + label!r}.")
            for info in source.infolist():
                _extract(source, info, directory)
        if not (directory / "meta.json").is_file():  # tantivy would take the directory for one to begin an index in
            raise ValueError("it holds no index.")
    except (OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{error}.") from error


def _extract(source: zipfile.ZipFile, info: zipfile.ZipInfo, directory: Path) -> None:
    # `pack` writes plain members with plain names, so anything else is not its work and could reach elsewhere.
    if Path(info.filename).name != info.filename or info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"the member {info.filename!r} does not belong into an index.")
    with source.open(info) as member, (directory / info.filename).open("wb") as target:
        shutil.copyfileobj(member, target, 1 << 20)
