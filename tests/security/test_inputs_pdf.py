"""PDFs that are locked, broken, endless or bombs (cases I1, I2), read in the sandbox as the product reads them."""

from __future__ import annotations

import gzip
import pickle
import zlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from domain.errors import LoadError
from ingestion.sandbox import Sandbox
from tests.ingestion import samples
from tests.security.hostile_files import MIB, TEXT, deflated, page_pdf, pdf_of, stream, tree_pdf

SENTENCE = "The lamp is serviced twice a year."
FLATE = b"/Filter /FlateDecode"
WITH_OBJECT = b"/Font << /F1 4 0 R >> /XObject << /X 6 0 R >>"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(wall_seconds=60, cpu_seconds=60) as opened:
        yield opened


def failure(sandbox: Sandbox, data: bytes) -> LoadError:
    with pytest.raises(LoadError) as caught:
        sandbox.load(data, "x.pdf")
    assert sandbox.load(page_pdf(stream(TEXT)), "next.pdf").text == SENTENCE, "the next document is read"
    return caught.value


MANY = b"<< /Type /Pages /Kids [%b] /Count 100000 >>" % (b"3 0 R " * 100_000)
PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] >>"
LOOP = b"<< /Type /Pages /Kids [3 0 R] /Count 5 >>"
VAST = b"<< /Type /Pages /Kids [3 0 R] /Count 2000000000 >>"
DEEP = [b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % (number + 3) for number in range(20_000)]

BROKEN = {
    "encrypted": (samples.pdf([["A secret."]], password="open sesame"), "encrypted_document"),
    "nothing but a header": (b"%PDF-1.7\n%%EOF", "corrupt_document"),
    "cut off": (samples.pdf([["Lost."]])[:300], "corrupt_document"),
    "a catalogue without pages": (pdf_of([b"<< /Type /Catalog >>"]), "corrupt_document"),
    "pages that contain themselves": (
        tree_pdf(LOOP, LOOP.replace(b"3 0 R", b"2 0 R")),
        "corrupt_document",
    ),
    "a tree 20,000 deep": (tree_pdf(*DEEP, PAGE), "corrupt_document"),
    "a hundred thousand pages": (tree_pdf(MANY, PAGE), "too_many_pages"),
    "a count of two thousand million": (tree_pdf(VAST, PAGE), "no_text"),
    "a count below zero": (tree_pdf(b"<< /Type /Pages /Kids [3 0 R] /Count -1 >>", PAGE), "no_text"),
    "only a picture": (samples.image_only_pdf(), "no_text"),
    "arrays in arrays": (page_pdf(stream(b"[" * 200_000)), "no_text"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_i1_a_pdf_that_cannot_be_read_fails_with_its_reason(sandbox: Sandbox, name: str) -> None:
    data, code = BROKEN[name]
    error = failure(sandbox, data)
    assert error.code == code, error.message
    assert len(error.message) > 40 and "Traceback" not in error.message


GOOD = page_pdf(stream(TEXT))


@pytest.mark.parametrize(
    "data",
    [
        GOOD.replace(b"startxref\n", b"startxref\n9999"),
        GOOD.replace(b"0000000000 65535 f", b"9999999999 00000 n"),
        GOOD.replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev 400"),
        GOOD.replace(b"/Length %d" % len(TEXT), b"/Length 5 0 R"),
        GOOD[: GOOD.index(b"xref\n0")] + GOOD[GOOD.index(b"trailer") :],
        b"junk " * 100 + GOOD,
        GOOD + b"\0" * 5000,
    ],
    ids=[
        "xref elsewhere",
        "xref nonsense",
        "trailer loop",
        "length of itself",
        "no xref",
        "junk before",
        "junk behind",
    ],
)
def test_i1_a_damaged_cross_reference_table_is_rebuilt(sandbox: Sandbox, data: bytes) -> None:
    assert sandbox.load(data, "x.pdf").text == SENTENCE


BOMBS = {
    "spaces": stream(deflated(TEXT, b" ", 70), FLATE),
    "two layers": stream(zlib.compress(deflated(TEXT, b" ", 70), 9), b"/Filter [/FlateDecode /FlateDecode]"),
    "text operators": stream(deflated(TEXT, b"(a)Tj ", 70), FLATE),
    "an unnamed filter": stream(deflated(TEXT, b" ", 70), b"/Filter /Fl#61teDecode"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_i2_a_deflate_bomb_is_refused_before_it_unfolds(sandbox: Sandbox, name: str) -> None:
    data = page_pdf(BOMBS[name])
    before = psutil.Process().memory_info().rss
    assert len(data) < MIB
    assert failure(sandbox, data).code == "decompression_limit"
    assert psutil.Process().memory_info().rss - before < 50 * MIB


def test_i2_many_small_bombs_are_counted_together(sandbox: Sandbox) -> None:
    part = stream(deflated(b"", b" ", 9), FLATE)
    data = page_pdf(stream(TEXT), *[part] * 8)
    assert failure(sandbox, data).code == "decompression_limit"


def test_i2_a_large_drawing_is_no_bomb(sandbox: Sandbox) -> None:
    """Three megabytes of curves at an ordinary ratio, and a blank scan at the highest there is."""
    drawing = b"".join(
        b"%d %d m %d %d l S\n" % (i % 600, i * 7 % 800, i * 31 % 600, i * 17 % 800) for i in range(150_000)
    )
    picture = stream(deflated(b"", b"\xff", 100), b"/Subtype /Image /Width 10240 /Height 10240 " + FLATE)
    data = page_pdf(stream(zlib.compress(drawing + TEXT), FLATE), picture)
    assert sandbox.load(data, "drawing.pdf").text == SENTENCE


def test_i2_a_picture_bomb_is_never_painted() -> None:
    picture = stream(
        deflated(b"", b"\0", 300),
        b"/Subtype /Image /Width 17000 /Height 17000 /BitsPerComponent 8 /ColorSpace /DeviceGray " + FLATE,
    )
    shown = stream(TEXT + b" q 500 0 0 500 0 0 cm /X Do Q")
    data = page_pdf(shown, picture, resources=WITH_OBJECT)
    with Sandbox() as fresh:
        assert fresh.load(data, "x.pdf").text == SENTENCE
        assert fresh.child_pid is not None
        assert psutil.Process(fresh.child_pid).memory_info().rss < 200 * MIB


def test_i2_what_the_counting_does_not_see_meets_the_limits_of_the_child() -> None:
    """A form that draws itself twice: exponential work from 700 bytes."""
    entries = b"/Type /XObject /Subtype /Form /BBox [0 0 1 1] /Resources << /XObject << /X 6 0 R >> >>"
    data = page_pdf(stream(b"/X Do " + TEXT), stream(b"/X Do /X Do", entries), resources=WITH_OBJECT)
    with Sandbox(memory_bytes=300 * MIB, cpu_seconds=2, wall_seconds=30) as small:
        assert failure(small, data).code in ("parser_timeout", "parser_memory", "parser_crashed")


class Canary:
    """Whoever unpickles it makes a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.mkdir, (str(self._path),)


def test_i2_a_character_map_named_like_a_path_is_not_opened(sandbox: Sandbox, tmp_path: Path) -> None:
    """CVE-2025-64512: a reader that keeps its maps as pickles opened the file that a font named."""
    touched = tmp_path / "touched"
    for name in ("map", "map.pickle.gz", "map.pickle", "to-unicode-map.pickle.gz"):
        (tmp_path / name).write_bytes(gzip.compress(pickle.dumps(Canary(touched))))
    path = f"{tmp_path}/map".replace("/", "#2F").encode()
    for encoding in (b"/" + path, b"/..#2F..#2F..#2F..#2F.." + path, b"(" + str(tmp_path).encode() + b"/map)"):
        font = b"<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding %b /DescendantFonts [6 0 R] >>" % encoding
        descendant = (
            b"<< /Type /Font /Subtype /CIDFontType0 /BaseFont /X /CIDSystemInfo << /Registry %b /Ordering %b >> >>"
        )
        data = page_pdf(stream(TEXT), descendant % (b"(x)", b"(" + str(tmp_path).encode() + b"/map)"), font=font)
        try:
            sandbox.load(data, "font.pdf")
        except LoadError as error:
            assert error.code in ("no_text", "corrupt_document", "parser_crashed")
        assert not touched.exists()
