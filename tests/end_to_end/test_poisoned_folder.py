"""A folder as it is found in the wild: every file is indexed, or named with what to do about it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fovea import open_engine
from tests.end_to_end.product import fovea, hashing
from tests.ingestion.samples import docx, image_only_pdf, pdf, xlsx, zipped

MIB = 2**20
# What the files that hold something say, each something of its own.
GOOD = {
    "plain.txt": "The lamp is serviced twice a year.",
    "really-a-pdf.txt": "The jetty is closed in winter.",
    "really-html.docx": "Fergus paints the railings.",
    "really-a-docx.pdf": "The boat is moored at Skerry Point.",
    "gb18030.txt": "灯塔的电池每三年更换一次。",
    "big5.txt": "燈塔由港務局負責維護。",
    "utf-16.txt": "The generator burns diesel.",
    "good.docx": "The mooring costs 90 pounds.",
    "good.xlsx": "The buoy is red.",
    "résumé 简历 (1).md": "Ada wrote the chronicle.",
}
BAD = {
    "empty.txt": "empty_document",
    "blank.md": "empty_document",
    "image-only.pdf": "no_text",
    "encrypted.pdf": "encrypted_document",
    "truncated.docx": "corrupt_document",
    "truncated.pdf": "corrupt_document",
    "really-an-elf.pdf": "unsupported_format",
    "bomb.xlsx": "decompression_limit",
    "photo.jpg": "unsupported_format",
    "link-to-passwd.txt": "symlink",
}
LINE = "one-line.txt"


def _write(folder: Path) -> None:
    files: dict[str, bytes] = {
        "plain.txt": b"The lamp is serviced twice a year.\r\n",
        "really-a-pdf.txt": pdf([["The jetty is closed in winter."]]),
        "really-html.docx": b"<!DOCTYPE html><html><body><p>Fergus paints the railings.</p></body></html>",
        "really-a-docx.pdf": docx(lambda document: document.add_paragraph("The boat is moored at Skerry Point.")),
        "gb18030.txt": ("灯塔的电池每三年更换一次。" + "这是一份关于灯塔维护的说明文件，请仔细阅读。" * 3).encode(
            "gb18030"
        ),
        "big5.txt": ("燈塔由港務局負責維護。" + "這是一份關於燈塔的說明文件，請仔細閱讀。" * 3).encode("big5"),
        "utf-16.txt": "The generator burns diesel.".encode("utf-16"),
        "good.docx": docx(lambda document: document.add_paragraph("The mooring costs 90 pounds.")),
        "good.xlsx": xlsx({"Buoys": [["Note"], ["The buoy is red."]]}),
        "résumé 简历 (1).md": b"# Chronicle\n\nAda wrote the chronicle.\n",
        "empty.txt": b"",
        "blank.md": b" \n\t\n",
        "image-only.pdf": image_only_pdf(),
        "encrypted.pdf": pdf([["A secret."]], password="open sesame"),
        "truncated.docx": docx(lambda document: document.add_paragraph("Lost. " * 2000))[:-400],
        "truncated.pdf": pdf([["Lost."]])[:300],
        "really-an-elf.pdf": Path(shutil.which("true") or "/bin/true").read_bytes(),
        "bomb.xlsx": zipped({"xl/workbook.xml": b"0" * (700 * MIB), "[Content_Types].xml": b"<Types/>"}),
        "photo.jpg": bytes.fromhex("ffd8ffe000104a46494600010100000100010000") + bytes(200),
        LINE: (b"TGlnaHRob3VzZXM" * (50 * MIB // 15 + 1))[: 50 * MIB],
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "link-to-passwd.txt").symlink_to("/etc/passwd")
    (folder / ".hidden.txt").write_text("Nobody asked for this.")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of `fovea ingest` over the folder: (process, outcomes by file name, data directory)."""
    home = tmp_path_factory.mktemp("poisoned")
    folder = home / "folder"
    folder.mkdir()
    _write(folder)
    # Chunks as large as they may be: the one line has 50 MB of them.
    done = fovea("ingest", folder, "--json", "--data-dir", home / "data", FOVEA_INGESTION__CHUNK_TOKENS="480")
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report.keys() == {"documents", "seconds"}
    outcomes = {str(Path(item["source"]).relative_to(folder)): item for item in report["documents"]}
    assert len(outcomes) == len(report["documents"]), "each input has one outcome"
    return done, outcomes, home / "data"


def test_failures_end_the_run_with_1_and_without_a_traceback(run):
    done, _, _ = run
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_every_file_has_its_outcome(run):
    _, outcomes, _ = run
    assert outcomes.keys() == {*GOOD, *BAD, LINE}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_is_indexed_whatever_its_name_claims(run, name):
    _, outcomes, _ = run
    item = outcomes[name]
    assert (item["status"], item["error"]) == ("indexed", None)
    assert item["id"].startswith("doc-") and item["chunks"] >= 1


@pytest.mark.parametrize(("name", "code"), BAD.items())
def test_a_bad_file_fails_with_a_code_and_a_sentence_that_says_what_to_do(run, name, code):
    _, outcomes, _ = run
    item = outcomes[name]
    assert (item["status"], item["chunks"]) == ("failed", 0)
    assert item["error"]["code"] == code, item["error"]
    message = item["error"]["message"]
    assert message.endswith((".", "?")) and len(message) > 40, "a sentence that says what happened and what to do"
    assert "Error(" not in message and "Traceback" not in message


def test_a_line_of_50_megabytes_is_a_document_like_any_other(run):
    _, outcomes, _ = run
    item = outcomes[LINE]
    assert (item["status"], item["error"]) == ("indexed", None)
    assert item["chunks"] > 10_000


def test_the_good_files_are_found_and_nothing_of_the_bad_ones_is(run):
    _, outcomes, data_dir = run
    with open_engine(settings=hashing(data_dir)) as engine:
        for name, words in GOOD.items():
            best = engine.search(words).evidence[0]  # its own words: the hashing encoder knows no others
            assert (Path(best.source).name, words in best.text) == (name, True), best
            document = engine.document(best.document_id)
            assert all(span.of(document.text) in best.text for span in best.spans)
        for question in ("root:x:0:0", "A secret.", "Nobody asked for this."):
            found = {Path(item.source).name for item in engine.search(question).evidence}
            assert found <= {*GOOD, LINE}
        # A failure is on record, so that it is listed; the document has nothing to search.
        listed = {Path(item.source).name: item for item in engine.list_documents(limit=1000)}
        assert {name for name in BAD if name in listed} <= {
            name for name, item in listed.items() if item.error is not None and item.chunks == 0
        }
        assert outcomes[LINE]["chunks"] == listed[LINE].chunks
