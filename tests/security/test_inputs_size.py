"""Input without end and traps for parsers (case I9): the work grows with the size and no faster.

Nothing here looks at a clock alone: each shape is read and cut into chunks at one size and at four times it, in one
run, and the processor times are compared. Linear work takes 4 times as long, quadratic work 16 times.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import pytest

from domain.documents import Document
from domain.errors import LoadError
from ingestion.chunking import StructureChunker
from ingestion.loaders.registry import LoaderRegistry, default_loaders
from ingestion.sandbox import Sandbox

MOST = 10.0  # between 4 and 16, nearer to 16 for the noise of a busy machine
NOISE = 0.05  # seconds: what a collection or another process may add to a short run
MAX_TOKENS = 256
REGISTRY = LoaderRegistry(default_loaders())
_TOKEN = re.compile(r"[A-Za-z0-9]+|[^\sA-Za-z0-9]")

Shape = Callable[[int], bytes]


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(_TOKEN.findall(text)) for text in texts]


def repeated(unit: str, before: str = "", after: str = "") -> Shape:
    return lambda size: (before + unit * max(1, size // len(unit)) + after).encode()


def wide(row: str, rule: str = "") -> Shape:
    """A header of as many cells as fit, then one row."""
    return lambda size: "".join(f"{line * (size // 8)}\n" for line in (row, rule, row) if line).encode()


MAIL = "From: a\nTo: b\nSubject: c\nMIME-Version: 1.0\n"
BODY = "<html><body>x"

SHAPES: dict[str, tuple[str, Shape]] = {
    "words on one line": ("a.txt", repeated("word ")),
    "one word": ("a.txt", repeated("a")),
    "one Chinese line": ("a.txt", repeated("中")),
    "Chinese sentences": ("a.txt", repeated("中文。")),
    "lines of one character": ("a.txt", repeated("a\n")),
    "blank lines": ("a.txt", repeated(" \n", "a", "b")),
    "white space": ("a.txt", repeated(" \t\u3000", "a", "b")),
    "full stops": ("a.txt", repeated(".")),
    "abbreviations": ("a.txt", repeated("Dr. ")),
    "initials": ("a.txt", repeated("U.S.")),
    "numbers": ("a.txt", repeated("1. ")),
    "open quotes": ("a.txt", repeated("“(")),
    "closing quotes": ("a.txt", repeated("”)")),
    "accents": ("a.txt", repeated("\u0301", "a")),
    "joiners": ("a.txt", repeated("\u200d\u200c", "a", "b")),
    "selectors": ("a.txt", repeated("\ufe0f", "a", "b")),
    "bytes that are no text": ("a.txt", lambda size: b"ab\xff" * (size // 3)),
    "headings": ("a.md", repeated("# h\n")),
    "quotes in quotes": ("a.md", repeated("> ")),
    "stars": ("a.md", repeated("**a_ ")),
    "brackets": ("a.md", repeated("![[](")),
    "runs of backticks": ("a.md", lambda size: " ".join("`" * n for n in range(int((2 * size) ** 0.5))).encode()),
    "lists in lists": ("a.md", lambda size: "".join(" " * 2 * n + "- a\n" for n in range(int(size**0.5))).encode()),
    "columns": ("a.md", wide("|a", "|-")),
    "references": ("a.md", repeated("[a]: b\n")),
    "front matter": ("a.md", repeated("a: b\n", "---\n")),
    "open elements": ("a.html", repeated("<div>", BODY)),
    "open lists": ("a.html", repeated("<ul><li>", BODY)),
    "a long list": ("a.html", repeated("<li>a", "<html><body><ol>")),
    "a long table": ("a.html", repeated("<tr><td>a", "<html><body><table>")),
    "formatting": ("a.html", repeated("<b><p>a", BODY)),
    "comments": ("a.html", repeated("<!---->", "", "<html><body><p>x")),
    "processing instructions": ("a.html", repeated("<?xml ?>", "", "<html><body><p>x")),
    "attributes": ("a.html", repeated("a=b ", "<html><body><p ", ">x")),
    "styles": ("a.html", repeated("display:", '<html><body><p style="', '">x')),
    "style rules": ("a.html", repeated("@media print{", "<html><head><style>", "</style></head><body><p>x")),
    "entities": ("a.html", repeated("&amp", BODY)),
    "wide rows": ("a.csv", wide("a,")),
    "quotation marks": ("a.csv", repeated('"')),
    "delimiters": ("a.csv", repeated(";,|\t", "a", "b")),
    "addresses": ("a.eml", repeated("a@b.c, ", "From: a\nTo: ", "\nSubject: c\n\nbody")),
    "comments in an address": ("a.eml", repeated("(", "From: a\nTo: ", "\nSubject: c\n\nbody")),
    "folded lines": ("a.eml", repeated(" a\n", "From: a\nSubject: c\n", "\nbody")),
    "encoded words": ("a.eml", repeated("=?utf-8?q?a?= ", "From: a\nTo: b\nSubject: ", "\n\nbody")),
    "parameters": ("a.eml", repeated("; a=b", MAIL + "Content-Type: text/plain", "\n\nbody")),
    "parts": ("a.eml", repeated("--x\n\na\n", MAIL + "Content-Type: multipart/mixed; boundary=x\n\n")),
    "brackets of code": ("a.js", repeated("}{")),
    "objects": ("a.json", repeated("[")),
    "streams": ("a.pdf", lambda size: b"%PDF-1.4\n" + b"stream\nx\x9c" * (size // 9)),
    "dictionaries": ("a.pdf", lambda size: b"%PDF-1.4\n1 0 obj\n" + b"<<" * (size // 2) + b"\nendobj\ntrailer <<>>"),
}  # fmt: skip


def spent(name: str, data: bytes) -> float:
    """Processor seconds of reading and cutting; a refusal with a reason is an end like any other."""
    started = time.process_time()
    try:
        loaded = REGISTRY.load(data, name)
    except LoadError:
        return time.process_time() - started
    document = Document("d", "s", loaded.title, loaded.text, loaded.media_type, "h", blocks=loaded.blocks)
    chunks = StructureChunker(count_words, max_tokens=MAX_TOKENS).split(document)
    assert all(chunk.token_count <= MAX_TOKENS for chunk in chunks)
    return time.process_time() - started


def growth_is_linear(shape: str, size: int) -> bool:
    name, make = SHAPES[shape]
    small, large = make(size), make(4 * size)
    spent(name, make(1000))  # imports
    return any(spent(name, large) <= MOST * spent(name, small) + NOISE for _ in range(3))


@pytest.mark.parametrize("shape", SHAPES)
def test_i9_four_times_the_input_is_about_four_times_the_work(shape: str) -> None:
    assert growth_is_linear(shape, 8_000)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("shape", SHAPES)
def test_i9_four_times_a_large_input_is_about_four_times_the_work(shape: str) -> None:
    assert growth_is_linear(shape, 250_000)


def test_i9_a_table_of_a_hundred_thousand_columns_is_read() -> None:
    with Sandbox() as sandbox:
        cells = 100_000
        loaded = sandbox.load(b"a," * (cells - 1) + b"a\n" + b"1," * (cells - 1) + b"1\n", "wide.csv")
    assert loaded.text.count(" | ") == 2 * (cells - 1)


@pytest.mark.nightly
def test_i9_a_million_columns_and_a_million_lines_are_read() -> None:
    million = 1_000_000
    with Sandbox() as sandbox:
        assert sandbox.load(b"a," * million + b"a\n", "wide.csv").text.count(" | ") == million
        assert sandbox.load(b"a\n" * million, "long.txt").text.count("\n") == million


def test_i9_more_open_elements_than_any_page_has_are_refused() -> None:
    """The parser's time grows with the square of their number."""
    page = b"<html><body>" + b"<section>" * 100_000
    with pytest.raises(LoadError, match="nests more than") as caught:
        REGISTRY.load(page, "deep.html")
    assert caught.value.code == "corrupt_document"
    many = b"<html><body>" + b"<p>a<br>" * 20_000 + b"<section>b</section>" * 30_000
    assert REGISTRY.load(many, "long.html").text.startswith("a")
