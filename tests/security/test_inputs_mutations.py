"""Damaged files of every kind, by the thousand (case I17): read, or refused by name, in a child that lives on."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from domain.errors import LoadError
from ingestion.sandbox import Sandbox
from tests.ingestion import samples

SEED = int(os.environ.get("FOVEA_TEST_SEED", "17"))
WORDS = "The lamp is serviced twice a year. 灯塔的电池每三年更换一次。"
TELLING = (b"\xff\xff\xff\xff", b"\x00", b"PK\x05\x06", b"<!DOCTYPE x>", b"-1", b"%PDF-", b"\n\n")
CODES = frozenset(
    "empty_document no_text encrypted_document corrupt_document unsupported_format too_large too_many_pages "
    "decompression_limit parser_timeout parser_memory parser_crashed".split()
)
FILES = {
    "pdf": samples.pdf([["# Head", "The lamp is serviced."], ["Sales 5 6", "Costs 3 4"]]),
    "docx": samples.docx(lambda document: [document.add_heading("H"), document.add_paragraph(WORDS)]),
    "pptx": samples.pptx([("Title", [WORDS, "b"], "notes")]),
    "xlsx": samples.xlsx({"S": [["a", "b"], [WORDS, 2]]}),
    "epub": samples.epub({"a.xhtml": f"<h1>H</h1><p>{WORDS}</p><ul><li>a</li></ul>"}),
    "html": f"<html><head><title>T</title></head><body><h1>H</h1><p>{WORDS}</p><table><tr><td>1</table>".encode(),
    "md": f"---\ntitle: T\n---\n# H\n\n{WORDS}\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n".encode(),
    "csv": f"a;b\n{WORDS};2\n\"x;y\";3\n".encode(),
    "eml": samples.mail("Lamp", WORDS, html=f"<p>{WORDS}</p>", attachments=["a.bin"]),
    "py": f"import os\n\n\ndef lamp():\n    '''{WORDS}'''\n    return 1\n".encode(),
    "txt": (WORDS * 5).encode("gb18030"),
    "json": b'{"a": [1, 2, {"b": "c"}]}',
}  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(cpu_seconds=20, wall_seconds=60) as opened:
        yield opened


def mutated(data: bytes, draw: random.Random) -> bytes:
    """The file with a few faults: bits flipped, pieces cut, doubled, moved, zeroed or swapped for telling bytes."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        at = draw.randrange(len(out) + 1)
        length = draw.choice((1, 2, 4, 16, 256))
        kind = draw.randrange(7)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del out[at : at + length]
        elif kind == 2:
            out[at:at] = out[at : at + length] * draw.choice((1, 10, 100))
        elif kind == 3:
            out[at : at + length] = bytes(length)
        elif kind == 4:
            out[at:at] = draw.choice(
                (b"\xff\xff\xff\xff", b"\x00", b"PK\x05\x06", b"<!DOCTYPE x>", b"-1", b"%PDF-", b"\n\n")
            )
        elif kind == 5:
            out[at : at + 4] = draw.randbytes(4)
        else:
            del out[at:]
    return bytes(out)


def read_or_refused(sandbox: Sandbox, kind: str, count: int) -> None:
    draw = random.Random(f"{SEED}-{kind}")
    print(f"FOVEA_TEST_SEED={SEED}")
    for number in range(count):
        data = mutated(FILES[kind], draw)
        try:
            loaded = sandbox.load(data, f"{number}.{kind}")
        except LoadError as error:
            assert error.code in CODES, (number, error)
            assert "Traceback" not in error.message
        else:
            assert loaded.text.strip()
            for block in loaded.blocks:
                assert 0 <= block.span.start < block.span.end <= len(loaded.text)
            loaded.text.encode("utf-8")
    assert sandbox.load(FILES[kind], f"whole.{kind}").text.strip(), "the whole file is still read"


@pytest.mark.parametrize("kind", FILES)
def test_i17_a_damaged_file_is_read_or_refused_by_name(sandbox: Sandbox, kind: str) -> None:
    read_or_refused(sandbox, kind, 15)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", FILES)
def test_i17_two_thousand_damaged_files_are_read_or_refused_by_name(sandbox: Sandbox, kind: str) -> None:
    read_or_refused(sandbox, kind, 2000)


@pytest.mark.parametrize("kind", FILES)
def test_i17_the_beginning_of_any_file_under_any_name(sandbox: Sandbox, kind: str) -> None:
    """Each file's first bytes, claimed to be of each other kind."""
    draw = random.Random(SEED)
    for other in FILES:
        cut = FILES[kind][: draw.randrange(1, len(FILES[kind]))]
        try:
            sandbox.load(cut, f"x.{other}", f"application/{kind}")
        except LoadError as error:
            assert error.code in CODES
