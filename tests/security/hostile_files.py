"""Writers of files that mean harm: PDFs and archives built byte by byte, so that each has exactly one thing wrong."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence

MIB = 2**20
TEXT = b"BT /F1 12 Tf 50 700 Td (The lamp is serviced twice a year.) Tj ET"
FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"


# --- PDF ---


def pdf_of(objects: Sequence[bytes]) -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalogue."""
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, table)
    return bytes(out)


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %b >>\nstream\n%b\nendstream" % (len(content), entries, content)


def page_pdf(
    contents: bytes, *further: bytes, resources: bytes = b"/Font << /F1 4 0 R >>", font: bytes = FONT
) -> bytes:
    """One page that shows object 5, `contents`; `further` are objects 6 and up."""
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 5 0 R /Resources << %b >> >>" % resources
    pages = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    return pdf_of([CATALOG, pages, page, font, contents, *further])


def tree_pdf(pages: bytes, *further: bytes) -> bytes:
    """A PDF whose page tree is `pages` (object 2) and `further` (3 and up)."""
    return pdf_of([CATALOG, pages, *further])


def deflated(start: bytes, filler: bytes, mebibytes: int) -> bytes:
    """`start`, then that many mebibytes of `filler`, deflated without ever being whole in memory."""
    packer = zlib.compressobj(9)
    piece = (filler * (MIB // len(filler) + 1))[:MIB]
    parts = [packer.compress(start), *(packer.compress(piece) for _ in range(mebibytes)), packer.flush()]
    return b"".join(parts)


# --- archives ---

CONTENT_TYPES = (
    b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    b'<Default Extension="xml" ContentType="application/xml"/></Types>'
)
MAIN_PART = {"docx": "word/document.xml", "xlsx": "xl/workbook.xml", "pptx": "ppt/presentation.xml"}


def package(kind: str, *parts: tuple[str, bytes]) -> bytes:
    """The bare minimum that is taken for an Office file or an e-book, and the given parts."""
    own = (("META-INF/container.xml", b"<container/>"),)
    if kind != "epub":
        own = (("[Content_Types].xml", CONTENT_TYPES), (MAIN_PART[kind], b"<document/>"))
    return zipped(*own, *parts)


def zipped(*parts: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts:
            archive.writestr(name, content)
    return buffer.getvalue()


def raw_zip(entries: Sequence[RawEntry]) -> bytes:
    """An archive whose directory says what each entry tells it to, true or not; equal `at` means one place for all."""
    out, directory, places = bytearray(), bytearray(), {}
    for number, entry in enumerate(entries):
        at = number if entry.at is None else entry.at
        if at not in places:
            places[at] = len(out)
            out += struct.pack(
                "<4s5H3I2H", b"PK\x03\x04", 20, entry.flags, entry.method, 0, 33, *entry.sizes, len(entry.name), 0
            )
            out += entry.name + entry.data
        directory += struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", 20, 20, entry.flags, entry.method, 0, 33, *entry.sizes, len(entry.name), 0, 0,
            0, 0, entry.attributes, places[at],
        )  # fmt: skip
        directory += entry.name
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(directory), len(out), 0)
    return bytes(out + directory + end)


class RawEntry:
    """An entry: its packed `data`, and what is said of it: checksum, packed and unpacked size."""

    def __init__(
        self,
        name: str,
        content: bytes,
        *,
        method: int = zipfile.ZIP_DEFLATED,
        said: int | None = None,
        checksum: int | None = None,
        at: int | None = None,
        flags: int = 0,
        attributes: int = 0,
    ) -> None:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.name, self.method, self.at, self.flags, self.attributes = name.encode(), method, at, flags, attributes
        self.data = packer.compress(content) + packer.flush() if method == zipfile.ZIP_DEFLATED else content
        size = len(content) if said is None else said
        self.sizes = (zlib.crc32(content) if checksum is None else checksum, len(self.data), size)
