"""The guard in front of every zip-based format.

A zip entry says nothing reliable about its size, so everything is decompressed once in small pieces, counted and
thrown away before a parser sees the file. On the way each XML part is searched for a document type: Office files have
none, and entities are the door to file reads and exponential growth.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib

from domain.errors import LoadError

MAX_BYTES = 200 * 1024 * 1024
MAX_RATIO = 100
MAX_ENTRIES = 2_000
_RATIO_FROM = 10 * 1024 * 1024  # below this the ratio does not matter: small XML parts compress very well
_PIECE = 1 << 16
_XML_PARTS = (".xml", ".rels", ".opf", ".ncx", ".xhtml", ".html", ".htm", ".vml", ".svg")
_DOCTYPE = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_ENTITY = re.compile(rb"<!ENTITY", re.IGNORECASE)
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]+)""")
_READABLE = frozenset((b"utf-8", b"utf8", b"utf-16", b"utf-16le", b"utf-16be", b"us-ascii", b"ascii"))


def guard_archive(data: bytes, allow_doctype: bool = False) -> None:
    """Pass, or raise LoadError "decompression_limit", "encrypted_document" or "corrupt_document".

    `allow_doctype` is for EPUB, whose XHTML pages may name one; entities are refused there too.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_entries(archive, len(data), _ENTITY if allow_doctype else _DOCTYPE, allow_doctype)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise LoadError(
            f"The file is damaged or cut off and cannot be unpacked ({error}); get a complete copy and ingest that.",
            code="corrupt_document",
        ) from error


def _check_entries(archive: zipfile.ZipFile, size: int, forbidden: re.Pattern[bytes], any_encoding: bool) -> None:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise _limit(f"The file has {len(entries)} parts, more than the {MAX_ENTRIES} allowed")
    total = 0
    for entry in entries:
        if entry.flag_bits & 1:
            raise LoadError(
                "The file is protected by a password; save a copy without one and ingest that.",
                code="encrypted_document",
            )
        total = _check_entry(archive, entry, total, size, forbidden, any_encoding)


def _check_entry(
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    total: int,
    size: int,
    forbidden: re.Pattern[bytes],
    any_encoding: bool,
) -> int:
    is_xml = entry.filename.lower().endswith(_XML_PARTS)
    tail = b""
    with archive.open(entry) as part:
        while piece := part.read(_PIECE):
            if is_xml and not tail and not any_encoding:
                _check_encoding(piece, entry.filename)
            total += len(piece)
            _check_size(total, size)
            if is_xml:
                # Zero bytes go, so that a part in UTF-16 is searched like any other.
                window = tail + piece.replace(b"\x00", b"")
                if forbidden.search(window):
                    raise _doctype(entry.filename)
                tail = window[-16:] or b" "
    return total


def _check_size(total: int, size: int) -> None:
    if total > MAX_BYTES:
        raise _limit(f"The file unpacks to more than {MAX_BYTES // 2**20} MB")
    if total > _RATIO_FROM and total > MAX_RATIO * size:
        raise _limit(f"The file unpacks to more than {MAX_RATIO} times its size")


def _check_encoding(piece: bytes, part: str) -> None:
    declared = _DECLARED.match(piece.replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe"))
    if declared and declared.group(1).lower() not in _READABLE:
        encoding = declared.group(1).decode("ascii")
        raise LoadError(
            f"The part {part!r} claims the encoding {encoding}, which no Office program writes; save it again."
        )


def _limit(what: str) -> LoadError:
    return LoadError(
        f"{what}: this looks like a decompression bomb. Split the document or export it to PDF.",
        code="decompression_limit",
    )


def _doctype(part: str) -> LoadError:
    return LoadError(
        f"The part {part!r} declares a document type or an entity, which no Office program writes; "
        "open the document and save it again.",
        code="corrupt_document",
    )
