"""Choosing a loader by content, and every way in which a file may be refused."""

from pathlib import Path

import pytest

from domain.documents import LoadedDocument
from domain.errors import LoadError
from ingestion.loaders.registry import LoaderRegistry, default_loaders, sniff
from tests.ingestion import samples

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
HTML = b"<!DOCTYPE html>\n<html><body><p>Hello there.</p></body></html>"


@pytest.fixture(scope="module")
def registry() -> LoaderRegistry:
    return LoaderRegistry(default_loaders())


@pytest.mark.parametrize(
    ("data", "name", "media_type"),
    [
        (samples.pdf([["Hello."]]), "report.txt", "application/pdf"),
        (b"\n\n" + samples.pdf([["Hello."]]), "noname", "application/pdf"),
        (
            samples.docx(lambda d: d.add_paragraph("x")),
            "a.pdf",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        (
            samples.pptx([("t", ["a"], "")]),
            "a.docx",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ),
        (
            samples.xlsx({"S": [["a", "b"]]}),
            "a.csv",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
        (samples.epub({"a.html": "<p>x</p>"}), "a.zip", "application/epub+zip"),
        (HTML, "page.pdf", "text/html"),
        (HTML, "page", "text/html"),
        (b"Just words.\n", "words.pdf", "text/plain"),
        (b"Just words.\n", "words.docx", "text/plain"),
        (b"Just words.\n", "README", "text/plain"),
        (b"# Title\n", "a.md", "text/markdown"),
        (b"# Title\n", "a.MD", "text/markdown"),
        (b"a,b\n1,2\n", "t.csv", "text/csv"),
        (b"def f(): pass\n", "f.py", "text/x-source"),
        (b'{"a": 1}', "a.json", "text/x-source"),
        (b"<html><body>{{ x }}</body></html>", "view.vue", "text/x-source"),
        (samples.mail("s", "b"), "message", "message/rfc822"),
        (samples.mail("s", "b"), "m.eml", "message/rfc822"),
    ],
)
def test_the_content_decides_and_the_name_breaks_ties(
    registry: LoaderRegistry, data: bytes, name: str, media_type: str
) -> None:
    assert registry.load(data, name).media_type == media_type


def test_a_claimed_media_type_counts_only_where_nothing_better_is_known(registry: LoaderRegistry) -> None:
    assert registry.load(b"# Title\n", "page", "text/markdown; charset=utf-8").media_type == "text/markdown"
    assert registry.load(b"# Title\n", "page.txt", "text/markdown").media_type == "text/plain"
    assert registry.load(b"Just words.\n", "page", "application/pdf").media_type == "text/plain"


@pytest.mark.parametrize(
    ("data", "name", "code", "advice"),
    [
        (b"", "a.txt", "empty_document", "empty"),
        (b" \n\t\r\n", "a.txt", "empty_document", "empty"),
        (b"\xef\xbb\xbf\n", "a.md", "empty_document", "empty"),
        ("\u200b\u200b".encode(), "a.txt", "empty_document", "no text"),
        (b"\x7fELF\x02\x01\x01" + bytes(500), "report.pdf", "unsupported_format", "convert"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "photo.txt", "unsupported_format", "convert"),
        (samples.zipped({"a.txt": "x"}), "a.docx", "unsupported_format", "convert"),
        (OLE + "WordDocument".encode("utf-16-le"), "a.doc", "unsupported_format", "save the document as .docx"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "a.docx", "encrypted_document", "password"),
        (OLE, "a.xls", "corrupt_document", "damaged"),
        (b"{\\rtf1 hello}", "a.rtf", "unsupported_format", "DOCX or PDF"),
        (samples.docx(lambda d: d.add_paragraph("x"))[:2000], "a.docx", "corrupt_document", "complete copy"),
        (samples.docx(lambda d: None), "a.docx", "empty_document", "no text"),
        (samples.pdf([["x"]])[:200], "a.pdf", "corrupt_document", "complete copy"),
        (samples.pdf([["x"]], password="p"), "a.pdf", "encrypted_document", "password"),
        (samples.image_only_pdf(), "a.pdf", "no_text", "OCR"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_code_and_advice(
    registry: LoaderRegistry, data: bytes, name: str, code: str, advice: str
) -> None:
    with pytest.raises(LoadError) as caught:
        registry.load(data, name)
    assert caught.value.code == code
    assert advice in caught.value.message


class ShoutingLoader:
    extensions = (".txt", ".shout")
    media_types = ("application/x-shout",)

    def load(self, data: bytes, name: str) -> LoadedDocument:
        return LoadedDocument(title=name, text=data.decode("latin-1").upper(), media_type="application/x-shout")


class BrokenLoader:
    extensions = (".broken",)
    media_types = ("application/x-broken",)

    def load(self, data: bytes, name: str) -> LoadedDocument:
        raise KeyError("an inner detail")


def test_a_callers_loader_comes_before_the_built_in_ones() -> None:
    registry = LoaderRegistry((*default_loaders(), ShoutingLoader()))
    assert registry.load(b"hi", "a.txt").text == "HI"
    assert registry.load(b"hi", "a.md").text == "hi"


def test_a_callers_loader_may_read_a_binary_format_of_its_own() -> None:
    registry = LoaderRegistry((*default_loaders(), ShoutingLoader()))
    assert registry.load(b"\x00\x01hi", "a.shout").text == "\x00\x01HI"


def test_whatever_a_parser_raises_becomes_a_load_error() -> None:
    with pytest.raises(LoadError, match=r"KeyError.*save it again") as caught:
        LoaderRegistry((BrokenLoader(),)).load(b"x", "a.broken")
    assert caught.value.code == "corrupt_document"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "C:\\x\\y.txt", "", "a\r\nb", "x" * 5000, "<img onerror=1>", "😀", "%00", "CON"]
)
def test_any_name_gives_a_tidy_title(registry: LoaderRegistry, name: str) -> None:
    title = registry.load(b"text", name).title
    assert 0 < len(title) <= 255
    assert not set("\r\n/\\") & set(title)


def test_i6_a_polyglot_is_read_as_the_format_with_the_stricter_signature() -> None:
    assert sniff(b"<html><!-- %PDF-1.7 -->", ".html") == "application/pdf"


def test_every_format_of_the_contract_has_a_loader(registry: LoaderRegistry) -> None:
    promised = ".txt .md .html .pdf .docx .pptx .xlsx .xls .ods .csv .tsv .epub .eml .py .js .ts .java .go .rs .c .cpp .sh .sql .yaml .toml .json"  # noqa: E501
    assert set(promised.split()) <= set(registry.extensions)


def test_the_repository_can_read_its_own_source(registry: LoaderRegistry) -> None:
    path = Path(__file__)
    assert registry.load(path.read_bytes(), path.name).text == path.read_text(encoding="utf-8")
