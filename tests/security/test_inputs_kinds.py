"""Files that are not what they say, or nothing at all (cases I5, I6), and file names (case I10)."""

from __future__ import annotations

import gzip
import io
import pickle
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import LoadError
from ingestion.sandbox import Sandbox
from service.api.uploads import clean_name
from tests.ingestion import samples
from tests.security.hostile_files import page_pdf, stream, zipped

SENTENCE = "The lamp is serviced twice a year."
OFFICE = "application/vnd.openxmlformats-officedocument"
WORD, SLIDES, SHEET = (
    f"{OFFICE}.{kind}" for kind in ("wordprocessingml.document", "presentationml.presentation", "spreadsheetml.sheet")
)
PDF, HTML, TEXT, EPUB, SOURCE = "application/pdf", "text/html", "text/plain", "application/epub+zip", "text/x-source"
REFUSED = "unsupported_format"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as opened:
        yield opened


# --- I5: nothing in it ---

EMPTY = {
    "a.txt": b"",
    "b.txt": b" \n\t\r\n",
    "c.txt": b"\xef\xbb\xbf\n",
    "d.txt": bytes(5000),
    "e.txt": "\u200b\u2060\ufeff\U000e0041\n".encode(),
    "f.txt": "\u3000\u00a0\u2003".encode(),
    "g.txt": "\u202e\u202c".encode("utf-16"),
    "a.md": b"\n\n   \n",
    "b.md": b"<!-- nothing -->\n",
    "a.html": b"<html><body></body></html>",
    "b.html": b"<html><body><script>alert(1)</script></body></html>",
    "c.html": b"<html><body><p hidden>x</p><img src=x></body></html>",
    "a.csv": b",,,\n,,,\n",
    "a.docx": samples.docx(lambda document: None),
    "a.pptx": samples.pptx([]),
    "a.xlsx": samples.xlsx({"S": [[None, None]]}),
    "a.epub": samples.epub({"a.html": ""}),
    "a.pdf": samples.image_only_pdf(),
    "b.pdf": samples.pdf([[]]),
    "a.eml": b"\n\n",
}


@pytest.mark.parametrize("name", EMPTY)
def test_i5_a_file_without_text_is_refused_and_never_ready_without_a_chunk(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(LoadError) as caught:
        loaded = sandbox.load(EMPTY[name], name)
        assert not any(block.span.of(loaded.text).strip() for block in loaded.blocks)
        raise LoadError("the pipeline refuses a document without chunks", code="no_text")
    assert caught.value.code in ("empty_document", "no_text")


# --- I6: not what it says ---


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    return buffer.getvalue()


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1/0",)


ELF = Path(shutil.which("true") or "/bin/true").read_bytes()
PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de") + bytes(200)
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000") + bytes(200)
GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00" + bytes(100)
MZ = b"MZ\x90\x00\x03\x00\x00\x00" + bytes(300)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
PAGE = f"<!DOCTYPE html><html><body><p>{SENTENCE}</p><script>alert(1)</script></body></html>".encode()
WORDS = SENTENCE.encode()
A_PDF = page_pdf(stream(b"BT /F1 12 Tf 50 700 Td (" + WORDS + b") Tj ET"))
DOCX = samples.docx(lambda document: document.add_paragraph(SENTENCE))
PPTX = samples.pptx([("t", [SENTENCE], "")])
XLSX = samples.xlsx({"S": [["a", SENTENCE]]})
BOOK = samples.epub({"a.html": f"<p>{SENTENCE}</p>"})
MAIL = samples.mail("Lamp", SENTENCE)

# (name, bytes, what the sender claims, what it is read as or why it is refused)
DISGUISED: tuple[tuple[str, bytes, str | None, str], ...] = (
    ("program.pdf", ELF, "application/pdf", REFUSED),
    ("program.txt", ELF, "text/plain", REFUSED),
    ("program.docx", ELF, WORD, REFUSED),
    ("program.html", MZ, "text/html", REFUSED),
    ("program", MZ, None, REFUSED),
    ("photo.pdf", PNG, "application/pdf", REFUSED),
    ("photo.html", JPEG, "text/html", REFUSED),
    ("photo.md", GIF, "text/markdown", REFUSED),
    ("damaged.png", PNG[:8] + WORDS, "image/png", REFUSED),
    ("damaged.jpg", JPEG[:3] + WORDS, "text/plain", REFUSED),
    ("damaged.txt", gzip.compress(WORDS)[:3] + WORDS, None, REFUSED),
    ("photo and archive.gif", GIF + DOCX, "image/gif", REFUSED),
    ("packed.txt", gzip.compress(WORDS), "text/plain", REFUSED),
    ("packed.pdf", gzip.compress(A_PDF), "application/pdf", REFUSED),
    ("tape.txt", _tar(), "text/plain", REFUSED),
    ("any.docx", zipped(("a.txt", WORDS)), WORD, REFUSED),
    ("any.zip", zipped(("a.txt", WORDS)), "application/zip", REFUSED),
    ("any.pdf", zipped(("a.txt", WORDS)), "application/pdf", REFUSED),
    ("rich.docx", rb"{\rtf1 " + WORDS + b"}", WORD, REFUSED),
    ("rich.txt", rb"{\rtf1 " + WORDS + b"}", "text/plain", REFUSED),
    ("old.docx", OLE + "WordDocument".encode("utf-16-le"), WORD, REFUSED),
    ("locked.docx", OLE + "EncryptedPackage".encode("utf-16-le"), WORD, "encrypted_document"),
    ("rows.txt", b"SQLite format 3\x00" + bytes(200), "text/plain", REFUSED),
    ("object.txt", pickle.dumps(_Bomb()), "text/plain", REFUSED),
    ("class.py", b"\xca\xfe\xba\xbe\x00\x00\x00\x34" + bytes(100), None, REFUSED),
    ("module.js", b"\x00asm\x01\x00\x00\x00" + bytes(100), None, REFUSED),
    ("song.txt", b"ID3\x04\x00" + bytes(200), None, REFUSED),
    ("a.txt", A_PDF, "text/plain", PDF),
    ("a.html", A_PDF, "text/html", PDF),
    ("a", A_PDF, "image/png", PDF),
    ("page and document.html", PAGE[:15] + b"<!--" + A_PDF + b"-->" + PAGE[15:], "text/html", PDF),
    ("document and archive.pdf", A_PDF + DOCX, "application/pdf", PDF),
    ("document and archive.docx", A_PDF + DOCX, WORD, PDF),
    ("a.pdf", DOCX, "application/pdf", WORD),
    ("a.zip", DOCX, "application/zip", WORD),
    ("a.docx", PPTX, WORD, SLIDES),
    ("a.csv", XLSX, "text/csv", SHEET),
    ("a.docx", BOOK, WORD, EPUB),
    ("a.pdf", PAGE, "application/pdf", HTML),
    ("a.docx", PAGE, WORD, HTML),
    ("a.txt", PAGE, "text/plain", HTML),
    ("a.pdf", WORDS, "application/pdf", TEXT),
    ("a.docx", WORDS, WORD, TEXT),
    ("a.png", WORDS, "image/png", TEXT),
    ("a.gif", b"GIF89a is older than PNG. " + WORDS, "image/gif", TEXT),
    ("a", WORDS, "application/x-executable", TEXT),
    ("a.exe", WORDS, "application/x-msdownload", TEXT),
    ("a.pdf", b"#!/bin/sh\n# " + WORDS, "application/pdf", TEXT),
    ("a.eml", MAIL, "text/html", "message/rfc822"),
    ("letter", MAIL, "application/octet-stream", "message/rfc822"),
)


def test_i6_there_are_forty_fixtures() -> None:
    assert len(DISGUISED) >= 40


@pytest.mark.parametrize(("name", "data", "claimed", "expected"), DISGUISED, ids=[row[0] for row in DISGUISED])
def test_i6_the_bytes_decide_what_a_file_is(
    sandbox: Sandbox, name: str, data: bytes, claimed: str | None, expected: str
) -> None:
    if "/" in expected:
        loaded = sandbox.load(data, name, claimed)
        assert loaded.media_type == expected
        assert SENTENCE in loaded.text
        assert "alert(1)" not in loaded.text or expected != HTML
        return
    with pytest.raises(LoadError) as caught:
        sandbox.load(data, name, claimed)
    assert caught.value.code == expected, caught.value.message


# --- I10: names ---

NAMES = {
    "../../etc/passwd": "../../etc/passwd",
    "..\\..\\x.txt": "..\\..\\x.txt",
    "C:\\Windows\\x.txt": "C:\\Windows\\x.txt",
    "/etc/passwd": "/etc/passwd",
    "CON": "CON",
    "a\r\nSet-Cookie: b=c.txt": "aSet-Cookie: b=c.txt",
    "a\x00.txt": "a.txt",
    "a%00.txt": "a%00.txt",
    "<img src=x onerror=alert(1)>.txt": "<img src=x onerror=alert(1)>.txt",
    "report\u202etxt.exe": "reporttxt.exe",
    "re\u200bport\ufeff.txt": "report.txt",
    "a\U000e0041\U000e0042.txt": "a.txt",
    "a\U000e0100\ufe01\u3164.txt": "a.txt",
    "\x1b[31mred.txt": "[31mred.txt",
    "\ud800.txt": ".txt",
    "  spaced .txt ": "spaced .txt",
    "cafe\u0301.txt": "caf\u00e9.txt",
    "😀📄.txt": "😀📄.txt",
    "合同 (1).pdf": "合同 (1).pdf",
    "": "",
}


@pytest.mark.parametrize("given", NAMES)
def test_i10_a_name_is_display_data_without_characters_that_nobody_sees(given: str) -> None:
    assert clean_name(given) == NAMES[given]


@pytest.mark.parametrize("name", [*NAMES, "x" * 5000, "/" * 5000, "." * 300, "a/" * 2000 + "b.txt"])
def test_i10_any_name_is_read_by_the_sandbox_and_touches_no_file(
    sandbox: Sandbox, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = sandbox.load(WORDS, name)
    assert loaded.text == SENTENCE
    assert 1 <= len(loaded.title) <= 255
    assert loaded.title.isprintable()
    assert list(tmp_path.iterdir()) == []
