"""Archives that unfold, lie or reach out (cases I3, I4, and the links of I11), read in the sandbox."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from domain.errors import LoadError
from ingestion.loaders.archive import guard_archive
from ingestion.sandbox import Sandbox
from tests.ingestion import samples
from tests.security.hostile_files import CONTENT_TYPES, MAIN_PART, MIB, RawEntry, package, raw_zip, zipped

KINDS = ("docx", "xlsx", "pptx", "epub")
SENTENCE = "The lamp is serviced twice a year."


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as opened:
        yield opened


def failure(sandbox: Sandbox, data: bytes, kind: str) -> LoadError:
    before = psutil.Process().memory_info().rss
    with pytest.raises(LoadError) as caught:
        sandbox.load(data, f"x.{kind}")
    assert psutil.Process().memory_info().rss - before < 50 * MIB
    return caught.value


def raw(kind: str, *entries: RawEntry) -> bytes:
    main = "META-INF/container.xml" if kind == "epub" else MAIN_PART[kind]
    return raw_zip([RawEntry(main, b"<document/>"), *entries])


@pytest.mark.parametrize("kind", KINDS)
def test_i3_a_part_at_the_highest_ratio_is_refused(sandbox: Sandbox, kind: str) -> None:
    assert failure(sandbox, package(kind, ("word/media/x.bin", bytes(30 * MIB))), kind).code == "decompression_limit"


@pytest.mark.parametrize("kind", KINDS)
def test_i3_ten_thousand_parts_are_refused(sandbox: Sandbox, kind: str) -> None:
    parts = [RawEntry(f"{number}.bin", b"x", method=zipfile.ZIP_STORED) for number in range(10_000)]
    error = failure(sandbox, raw(kind, *parts), kind)
    assert (error.code, "10001 parts" in error.message) == ("decompression_limit", True)


@pytest.mark.parametrize("kind", KINDS)
def test_i3_a_thousand_entries_of_one_place_are_all_counted(sandbox: Sandbox, kind: str) -> None:
    """One packed mebibyte, named a thousand times by the directory, as in the overlapping bombs of 2019."""
    bomb = raw(kind, *[RawEntry("media/x.bin", bytes(MIB), at=1)] * 1000)
    assert len(bomb) < 100_000
    assert failure(sandbox, bomb, kind).code == "decompression_limit"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("said", [1000, 0, 31 * MIB, 2**32 - 2])
def test_i3_a_size_that_is_not_true_is_refused_even_with_a_checksum_that_fits(
    sandbox: Sandbox, kind: str, said: int
) -> None:
    """Python's own reader stops at the size that is stated, and so would count 1,000 bytes where 30 MiB come."""
    content = bytes(30 * MIB)
    checksum = zlib.crc32(content[:said])
    lie = raw(kind, RawEntry("media/x.bin", content, said=said, checksum=checksum))
    assert failure(sandbox, lie, kind).code in ("decompression_limit", "corrupt_document")
    small = bytes(range(256)) * 20
    lie = raw(kind, RawEntry("media/x.bin", small, said=said, checksum=zlib.crc32(small[:said])))
    assert failure(sandbox, lie, kind).code == "corrupt_document"


@pytest.mark.parametrize("kind", KINDS)
def test_i3_packing_that_no_office_program_uses_is_refused(sandbox: Sandbox, kind: str) -> None:
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 9, 95, 99):
        odd = raw(kind, RawEntry("media/x.bin", b"abc", method=method))
        assert failure(sandbox, odd, kind).code == "corrupt_document"


@pytest.mark.parametrize("kind", KINDS)
def test_i3_an_archive_in_an_archive_is_bytes_and_stays_closed(sandbox: Sandbox, kind: str) -> None:
    inner = package("docx", ("word/media/x.bin", bytes(30 * MIB)))
    if kind == "docx":
        document = samples.docx(lambda d: d.add_paragraph(SENTENCE))
    elif kind == "xlsx":
        document = samples.xlsx({"S": [["a", SENTENCE]]})
    elif kind == "pptx":
        document = samples.pptx([("t", [SENTENCE], "")])
    else:
        document = samples.epub({"a.html": f"<p>{SENTENCE}</p>"})
    with_inner = _with_part(document, "embeddings/inner.docx", inner)
    assert SENTENCE in sandbox.load(with_inner, f"x.{kind}").text


def _with_part(document: bytes, name: str, content: bytes) -> bytes:
    import io

    buffer = io.BytesIO(document)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_i3_an_encrypted_part_is_named_as_such(sandbox: Sandbox, kind: str) -> None:
    assert failure(sandbox, raw(kind, RawEntry("media/x.bin", b"abc", flags=1)), kind).code == "encrypted_document"


# --- I4: entities and document types ---

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
PROLOGS = {
    "a file": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    "a page": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd">',
    "a parameter": '<!DOCTYPE a [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]>',
    "a thousand million laughs": f'<!DOCTYPE a [<!ENTITY l0 "lol">{LAUGHS}]>',
    "quadratic": f'<!DOCTYPE a [<!ENTITY x "{"x" * 50_000}">]>',
    "nothing but a type": "<!DOCTYPE a>",
    "in lower case": "<!doctype a>",
    "behind a long comment": f"<!--{' ' * 70_000}--><!DOCTYPE a>",
}
PARTS = {
    "docx": ("[Content_Types].xml", "_rels/.rels", "word/document.xml", "word/styles.xml", "docProps/core.xml",
             "customXml/item1.xml", "word/_rels/document.xml.rels", "word/vmlDrawing1.vml", "word/odd.bin"),
    "xlsx": ("xl/workbook.xml", "xl/sharedStrings.xml", "xl/worksheets/sheet1.xml", "xl/drawings/drawing1.xml"),
    "pptx": ("ppt/presentation.xml", "ppt/slides/slide1.xml", "ppt/theme/theme1.xml", "ppt/media/image1.svg"),
}  # fmt: skip


@pytest.mark.parametrize("prolog", PROLOGS)
@pytest.mark.parametrize("kind", PARTS)
def test_i4_a_document_type_in_any_part_is_refused(kind: str, prolog: str) -> None:
    """The guard alone, which every Office loader calls first; the sandbox adds that nothing could be reached."""
    for part in PARTS[kind]:
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be"):
            content = f'<?xml version="1.0"?>{PROLOGS[prolog]}<a>&x;</a>'.encode(encoding)
            own = [(name, body) for name, body in _minimal(kind) if name != part]
            with pytest.raises(LoadError, match="document type or an entity") as caught:
                guard_archive(zipped(*own, (part, content)))
            assert caught.value.code == "corrupt_document"


def _minimal(kind: str) -> tuple[tuple[str, bytes], ...]:
    return (("[Content_Types].xml", CONTENT_TYPES), (MAIN_PART[kind], b"<document/>"))


@pytest.mark.parametrize("encoding", ["cp037", "utf-7", "utf-32"])
def test_i4_an_encoding_in_which_nothing_would_be_found_is_refused(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a><a/>'
    with pytest.raises(LoadError) as caught:
        guard_archive(zipped(*_minimal("docx"), ("word/styles.xml", text.encode(encoding))))
    assert caught.value.code == "corrupt_document"


@pytest.mark.parametrize("kind", [*PARTS, "epub"])
def test_i4_the_sandbox_refuses_entities_and_reads_no_file(sandbox: Sandbox, kind: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the master key")
    prolog = f'<!DOCTYPE a [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
    if kind == "epub":
        data = samples.epub({"a.xhtml": "<p>&x;</p>"}, doctype=prolog)
    else:
        own = [(name, body) for name, body in _minimal(kind) if name != MAIN_PART[kind]]
        data = zipped(*own, (MAIN_PART[kind], f'<?xml version="1.0"?>{prolog}<a>&x;</a>'.encode()))
    error = failure(sandbox, data, kind)
    assert error.code == "corrupt_document"
    assert "master key" not in error.message


def test_i4_xml_that_is_a_document_of_its_own_is_text_and_is_not_parsed(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the master key")
    for name in ("a.xml", "a.svg", "a.txt", "a.rss"):
        text = f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "{secret.as_uri()}">]><a>&x; {SENTENCE}</a>'
        loaded = sandbox.load(text.encode(), name).text
        assert SENTENCE in loaded
        assert "master key" not in loaded


# --- I11: links and devices ---


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO])
@pytest.mark.parametrize("name", ["word/media/x.png", "../../etc/x", "/etc/x", "C:\\x", "word/styles.xml"])
def test_i11_links_devices_and_paths_in_an_archive_are_names_and_nothing_more(
    sandbox: Sandbox, kind: int, name: str, tmp_path: Path
) -> None:
    """No loader unpacks to disk: an entry that calls itself a link to a file is the bytes of its own name."""
    target = tmp_path / "secret"
    target.write_text("the master key")
    entry = RawEntry(name, str(target).encode(), attributes=(kind | 0o777) << 16)
    parts = [("[Content_Types].xml", CONTENT_TYPES), ("word/document.xml", b"<document/>")]
    data = raw_zip([*(RawEntry(part, body) for part, body in parts), entry])
    error = failure(sandbox, data, "docx")
    assert error.code == "corrupt_document"
    assert "master key" not in error.message
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
