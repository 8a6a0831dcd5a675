"""E-books: the chapters of an EPUB in reading order."""

from __future__ import annotations

import io
import posixpath
import zipfile
from typing import TYPE_CHECKING
from urllib.parse import unquote

from domain.documents import LoadedDocument
from domain.errors import LoadError
from ingestion.encoding import decode
from ingestion.loaders.archive import guard_archive
from ingestion.loaders.assembly import TextAssembler, title_from_name
from ingestion.loaders.html import add_body, visible_tree

if TYPE_CHECKING:
    from lxml.etree import _Element

MEDIA_TYPE = "application/epub+zip"
_CONTAINER = "META-INF/container.xml"
_PAGES = ("application/xhtml+xml", "text/html")


class EpubLoader:
    """EPUB 2 and 3. A chapter without a heading of its own gets none; the book's title is the document's."""

    extensions: tuple[str, ...] = (".epub",)
    media_types: tuple[str, ...] = (MEDIA_TYPE,)

    def load(self, data: bytes, name: str) -> LoadedDocument:
        guard_archive(data, allow_doctype=True)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if "META-INF/encryption.xml" in archive.namelist() and "META-INF/rights.xml" in archive.namelist():
                raise LoadError("The book is protected by DRM; ingest a copy without it.", code="encrypted_document")
            package_path, package = _package(archive)
            assembler = TextAssembler()
            for path in _reading_order(package, posixpath.dirname(package_path)):
                _add_chapter(assembler, archive, path)
        return assembler.document(_named(package, "title") or title_from_name(name), MEDIA_TYPE, _metadata(package))


def _add_chapter(assembler: TextAssembler, archive: zipfile.ZipFile, path: str) -> None:
    try:
        page = archive.read(path)
    except KeyError:
        return  # the spine may name a page that was left out
    tree, _ = visible_tree(decode(page).text)
    if tree.body is not None:
        add_body(assembler, tree.body)


def _package(archive: zipfile.ZipFile) -> tuple[str, _Element]:
    try:
        rootfile = next(element for element in _xml(archive.read(_CONTAINER)).iter("{*}rootfile"))
        path = rootfile.get("full-path") or ""
        return path, _xml(archive.read(path))
    except (KeyError, StopIteration) as error:
        raise LoadError(
            "The e-book has no readable table of contents (container or package file); convert it again."
        ) from error


def _xml(data: bytes) -> _Element:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise LoadError(f"The e-book's package file is damaged ({error}); get a complete copy.") from error


def _reading_order(package: _Element, folder: str) -> list[str]:
    pages = {
        item.get("id"): posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or "")))
        for item in package.iter("{*}item")
        if item.get("media-type") in _PAGES
    }
    spine = (reference.get("idref") for reference in package.iter("{*}itemref"))
    return [pages[page] for page in spine if page in pages]


def _named(package: _Element, tag: str) -> str:
    return next((element.text or "" for element in package.iter(f"{{*}}{tag}")), "").strip()


def _metadata(package: _Element) -> dict[str, str]:
    return {"author": _named(package, "creator"), "language": _named(package, "language")}
