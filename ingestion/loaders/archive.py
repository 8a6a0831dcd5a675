"""The guard in front of every zip-based format.

A zip entry says nothing reliable about its size, so everything is decompressed once in small pieces, counted and
thrown away before a parser sees the file; an entry whose contents are not as long as it says is refused, because the
next program might believe the other number. On the way each XML part is searched for a document type: Office files
have none, and entities are the door to file reads and exponential growth.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

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
_BEFORE_XML = b"\x00 \t\r\n\xef\xbb\xbf\xff\xfe"  # zero bytes, white space and byte order marks
_LOCAL_HEADER = struct.Struct("<26x2H")  # of a zip entry: up to the lengths of its name and of its extra field
_READABLE = frozenset((b"utf-8", b"utf8", b"utf-16", b"utf-16le", b"utf-16be", b"us-ascii", b"ascii"))


def guard_archive(data: bytes, allow_doctype: bool = False) -> None:
    """Pass, or raise LoadError "decompression_limit", "encrypted_document" or "corrupt_document".

    `allow_doctype` is for EPUB, whose XHTML pages may name one; entities are refused there too.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_entries(archive, len(data), allow_doctype)
    # NotImplementedError is zipfile's own: a version or a kind of encryption that it does not read.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise _damaged(str(error)) from error


def _check_entries(archive: zipfile.ZipFile, size: int, allow_doctype: bool) -> None:
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
        if entry.compress_type not in _METHODS:
            raise _damaged(f"the part {entry.filename!r} is packed with method {entry.compress_type}")
        total = _check_entry(archive, entry, total, size, allow_doctype)


def _check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, total: int, size: int, allow_doctype: bool) -> int:
    search = _DoctypeSearch(entry.filename, allow_doctype)
    before = total
    for piece in _pieces(archive, entry):
        total += len(piece)
        _check_size(total, size)
        search.feed(piece)
    search.end()
    if total - before != entry.file_size:
        raise _damaged(f"the part {entry.filename!r} is not as long as it says")
    return total


class _DoctypeSearch:
    """Looks through one part, piece by piece, for a document type.

    A part is XML by its name, or because it begins with "<": a package may name any part as its document.
    """

    def __init__(self, part: str, allow_doctype: bool) -> None:
        self._part = part
        self._named_xml = part.lower().endswith(_XML_PARTS)
        self._forbidden = _ENTITY if allow_doctype else _DOCTYPE
        self._any_encoding = allow_doctype
        self._start: bytes | None = None  # the first bytes that are neither white space nor a byte order mark
        self._tail = b""

    def feed(self, piece: bytes) -> None:
        if self._start is None and (start := piece.lstrip(_BEFORE_XML)):
            self._start = start[:1]
            if self._named_xml and not self._any_encoding:
                _check_encoding(piece, self._part)
        if self._named_xml or self._start == b"<":
            # Zero bytes go, so that a part in UTF-16 is searched like any other.
            window = self._tail + piece.replace(b"\x00", b"")
            if self._forbidden.search(window):
                raise _doctype(self._part)
            self._tail = window[-16:]

    def end(self) -> None:
        """Refuse a part that calls itself XML and begins as none: in some encodings nothing would have been found."""
        if self._named_xml and not self._any_encoding and self._start not in (None, b"<"):
            raise LoadError(f"The part {self._part!r} does not begin as XML does; open the document and save it again.")


def _pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """What an entry really unpacks to. Not `ZipFile.read`, which stops at the size that the entry claims."""
    archive.open(entry).close()  # the local header is there and bears the same name
    source = archive.fp
    assert source is not None
    source.seek(entry.header_offset)
    header = source.read(_LOCAL_HEADER.size)
    source.seek(sum(_LOCAL_HEADER.unpack(header)), os.SEEK_CUR)
    left = entry.compress_size
    inflater = _METHODS[entry.compress_type]()
    while left and (raw := source.read(min(left, _PIECE))):
        left -= len(raw)
        at = source.tell()
        yield from inflater(raw)
        source.seek(at)


def _stored() -> Callable[[bytes], Iterator[bytes]]:
    return lambda raw: iter((raw,))


def _deflated() -> Callable[[bytes], Iterator[bytes]]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)

    def inflate(raw: bytes) -> Iterator[bytes]:
        while raw and not inflater.eof:
            piece = inflater.decompress(raw, _PIECE)
            raw = inflater.unconsumed_tail
            if piece:
                yield piece

    return inflate


_METHODS = {zipfile.ZIP_STORED: _stored, zipfile.ZIP_DEFLATED: _deflated}


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


def _damaged(what: str) -> LoadError:
    return LoadError(
        f"The file is damaged or cut off and cannot be unpacked ({what}); get a complete copy and ingest that.",
        code="corrupt_document",
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
