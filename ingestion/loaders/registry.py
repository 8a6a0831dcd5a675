"""Which loader reads a file: decided by what the bytes are, with the name as a tie-break.

Formats with a signature (PDF, the zip families, old Office, HTML) are recognised by it whatever the file is called.
Text has none, so there the extension decides between Markdown, code, tables and the rest, then the media type, and
plain text is the answer when neither is known. Anything else is refused by name.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from domain.documents import LoadedDocument
from domain.errors import LoadError
from ingestion.encoding import looks_like_text
from ingestion.loaders.code import SourceCodeLoader
from ingestion.loaders.epub import EpubLoader
from ingestion.loaders.html import HtmlLoader
from ingestion.loaders.mail import MailLoader
from ingestion.loaders.markdown import MarkdownLoader
from ingestion.loaders.pdf import PdfLoader
from ingestion.loaders.plain import PlainTextLoader
from ingestion.loaders.slides import SlidesLoader
from ingestion.loaders.tabular import DelimitedLoader, SpreadsheetLoader
from ingestion.loaders.word import WordLoader

if TYPE_CHECKING:
    from domain.protocols import DocumentLoader  # imports numpy, which a parser process can do without

PDF = "application/pdf"
HTML = "text/html"
MAIL = "message/rfc822"
PLAIN = "text/plain"
_OFFICE = "application/vnd.openxmlformats-officedocument"
_ZIP_MEMBERS = (
    ("word/", f"{_OFFICE}.wordprocessingml.document"),
    ("ppt/", f"{_OFFICE}.presentationml.presentation"),
    ("xl/", f"{_OFFICE}.spreadsheetml.sheet"),
    ("META-INF/container.xml", "application/epub+zip"),
)
_ODS = "application/vnd.oasis.opendocument.spreadsheet"
_XLS = "application/vnd.ms-excel"
_ZIP = "application/zip"
# Formats whose first bytes no text begins with, whatever its encoding: refused even where nothing but text follows.
# Those that begin with letters (GIF89a, RIFF) are told from text by the bytes behind them.
_NEVER_TEXT = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"\x1f\x9d", "application/x-compress"),
    (b"BZh91AY&SY", "application/x-bzip2"),
    (b"(\xb5/\xfd", "application/zstd"),
    (b"\x04\x22\x4d\x18", "application/x-lz4"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\x7fELF", "application/x-elf"),
    (b"\x1aE\xdf\xa3", "video/x-matroska"),
    (b"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
)
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLD_FORMATS = {"WordDocument": ".doc", "PowerPoint Document": ".ppt"}
_HTML_START = re.compile(
    # Atomic: a comment ends at its first end. Otherwise 500 comments can be divided in 2**500 ways, all of them tried.
    rb"^(?:\xef\xbb\xbf)?\s*+(?:<\?xml[^>]*+>\s*+|(?><!--.*?-->)\s*+)*+<(?:!doctype\s+html|html|head|body)[\s>]",
    re.I | re.S,
)
_MAIL_HEADER = re.compile(
    rb"^(?:From|To|Subject|Date|Received|Return-Path|Delivered-To|Message-ID|MIME-Version|Content-Type):", re.I | re.M
)
# Extensions that promise a format with a signature; text under such a name is judged without the name.
_SIGNED = frozenset((*PdfLoader.extensions, *WordLoader.extensions, *SlidesLoader.extensions, *EpubLoader.extensions))
_SIGNED_TYPES = frozenset(
    (
        PDF,
        _ZIP,
        *WordLoader.media_types,
        *SlidesLoader.media_types,
        *EpubLoader.media_types,
        *SpreadsheetLoader.media_types,
    )
)


class LoaderRegistry:
    """Chooses a loader and runs it. Of two loaders for one format the later one wins, so callers append their own."""

    def __init__(self, loaders: Sequence[DocumentLoader]) -> None:
        self._by_type = {media_type: loader for loader in loaders for media_type in loader.media_types}
        self._by_extension = {extension: loader for loader in loaders for extension in loader.extensions}

    @property
    def extensions(self) -> tuple[str, ...]:
        """Every file extension that some loader names, sorted."""
        return tuple(sorted(self._by_extension))

    def load(self, data: bytes, name: str, media_type: str | None = None) -> LoadedDocument:
        """Read one file. `media_type` is what the sender claims, used only where the content leaves the question open.

        Raises LoadError, whatever goes wrong inside a loader; memory exhaustion passes through.
        """
        if not data.strip(b" \t\r\n\x00\xef\xbb\xbf"):
            raise LoadError("The file is empty; there is nothing to index.", code="empty_document")
        loader = self._choose(data, name, media_type)
        document = _run(loader, data, name)
        if not document.text.strip():
            raise LoadError("The file holds no text; there is nothing to index.", code="empty_document")
        return document

    def _choose(self, data: bytes, name: str, media_type: str | None) -> DocumentLoader:
        extension = PurePosixPath(name.replace("\\", "/")).suffix.lower()
        found = sniff(data, extension)
        named = self._by_extension.get(extension)
        is_text = _signed_as(data) is None and looks_like_text(data)
        if found in self._by_type:
            return self._by_type[found]
        if found is None and named is not None and not _SIGNED_TYPES.intersection(named.media_types) and not is_text:
            return named  # a format of the caller's own
        if found is not None or not is_text:
            raise _unsupported(data, found)
        claimed = self._by_type.get((media_type or "").partition(";")[0].strip().lower())
        for loader in (named, claimed, self._by_type.get(PLAIN)):
            if loader is not None and not _SIGNED_TYPES.intersection(loader.media_types):
                return loader
        raise _unsupported(data, found)


def default_loaders() -> tuple[DocumentLoader, ...]:
    """The built-in loaders, one for each format or family."""
    return (
        PlainTextLoader(),
        MarkdownLoader(),
        HtmlLoader(),
        PdfLoader(),
        WordLoader(),
        SlidesLoader(),
        SpreadsheetLoader(),
        DelimitedLoader(),
        EpubLoader(),
        MailLoader(),
        SourceCodeLoader(),
    )


def sniff(data: bytes, extension: str = "") -> str | None:
    """The media type that the content proves; None for text without a signature and for unknown binary data.

    Raises LoadError for formats that are recognised but damaged, encrypted or out of date.
    """
    if b"%PDF-" in data[:1024]:
        return PDF
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_type(data)
    if data.startswith(_OLE_MAGIC):
        return _ole_type(data)
    if data.startswith(b"{\\rtf"):
        raise LoadError("RTF files are not read; save the document as DOCX or PDF.", code="unsupported_format")
    is_open = extension in ("", ".html", ".htm", ".xhtml", ".shtml", ".txt", ".eml", ".mht") or extension in _SIGNED
    if is_open and _HTML_START.match(data[:4096]):
        return HTML
    if extension in ("", ".eml", ".txt", ".msg") and len(_MAIL_HEADER.findall(data[:4096].split(b"\n\n")[0])) >= 3:
        return MAIL
    return None


def _zip_type(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist()[:5000])
            is_ods = "mimetype" in names and archive.getinfo("mimetype").file_size < 200
            if is_ods and archive.read("mimetype").strip() == _ODS.encode():
                return _ODS
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise LoadError(
            f"The file is damaged or cut off and cannot be unpacked ({error}); get a complete copy and ingest that.",
            code="corrupt_document",
        ) from error
    for member, media_type in _ZIP_MEMBERS:
        if member in names or (member.endswith("/") and any(name.startswith(member) for name in names)):
            return media_type
    return _ZIP


def _ole_type(data: bytes) -> str:
    """Old Office files, and new ones inside an encrypted envelope, are named by their streams (in UTF-16)."""
    if "EncryptedPackage".encode("utf-16-le") in data:
        raise LoadError(
            "The document is protected by a password; save a copy without one and ingest that.",
            code="encrypted_document",
        )
    for stream, extension in _OLD_FORMATS.items():
        if stream.encode("utf-16-le") in data:
            raise LoadError(
                f"Old Office files ({extension}) are not read; save the document as {extension}x.",
                code="unsupported_format",
            )
    return _XLS


def _run(loader: DocumentLoader, data: bytes, name: str) -> LoadedDocument:
    try:
        return loader.load(data, name)
    except (LoadError, MemoryError):
        raise
    except Exception as error:  # parsers raise whatever the bytes drive them to
        what = loader.media_types[0] if loader.media_types else type(loader).__name__
        raise LoadError(
            f"The file could not be read as {what} ({type(error).__name__}: {str(error)[:200]}); it is probably "
            "damaged. Open it in its own program, save it again and ingest that.",
            code="corrupt_document",
        ) from error


def _unsupported(data: bytes, found: str | None) -> LoadError:
    kind = found or _signed_as(data) or _guess(data) or "unknown"
    return LoadError(
        f"Files of this kind ({kind}) are not read; convert the content to PDF, DOCX, HTML or plain text.",
        code="unsupported_format",
    )


def _signed_as(data: bytes) -> str | None:
    """The media type of a format that is not read and that no text begins like; None for everything else."""
    return next((media_type for signature, media_type in _NEVER_TEXT if data.startswith(signature)), None)


def _guess(data: bytes) -> str:
    """What a library of signatures calls the bytes, for the message only."""
    import puremagic

    try:
        return str(puremagic.from_string(data[:65536], mime=True))
    except (puremagic.PureError, ValueError, IndexError, OSError):
        return ""
