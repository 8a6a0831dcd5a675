"""Expanding inputs into items: folders, links, CORPUS files, URLs."""

import gzip
import hashlib
import operator
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from domain.errors import LoadError, UsageError
from ingestion import corpus
from ingestion.fetcher import Fetcher
from ingestion.sources import CorpusItem, SourceExpander, SourceItem
from tests.ingestion import samples


def expand(*inputs: str | Path, **options: object) -> list[SourceItem]:
    return list(SourceExpander(**options).expand(inputs))  # type: ignore[arg-type]


def codes(items: list[SourceItem]) -> dict[str, str]:
    """What reading each item comes to, by name."""
    found = {}
    for item in items:
        try:
            item.read()
            found[item.name] = "ok"
        except LoadError as error:
            found[item.name] = error.code
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    for name in ("b.txt", "a.txt", "sub/c.md", ".hidden", ".git/config", "node_modules/x.js", "__pycache__/y.py"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def test_a_folder_is_walked_in_sorted_order_without_hidden_and_generated_files(folder: Path) -> None:
    items = expand(str(folder))
    assert [item.source for item in items] == [f"{folder}/a.txt", f"{folder}/b.txt", f"{folder}/sub/c.md"]
    assert [item.name for item in items] == ["a.txt", "b.txt", "c.md"]
    assert items[2].read() == b"sub/c.md"


def test_the_source_is_the_path_as_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert [item.source for item in expand("docs/sub", "docs/a.txt")] == ["docs/sub/c.md", "docs/a.txt"]


def test_the_hash_is_that_of_the_bytes(folder: Path) -> None:
    (item,) = expand(folder / "a.txt")
    assert item.content_hash() == hashlib.sha256(b"a.txt").hexdigest()


def test_an_excluded_folder_is_not_entered(folder: Path) -> None:
    assert [item.name for item in expand(folder, excluded=[folder / "sub"])] == ["a.txt", "b.txt"]


def test_i11_links_are_reported_and_never_read(folder: Path) -> None:
    (folder / "passwd").symlink_to("/etc/passwd")
    (folder / "etc").symlink_to("/etc")
    (folder / "loop").symlink_to(folder)
    found = codes(expand(folder))
    assert {name: code for name, code in found.items() if code != "ok"} == {
        "passwd": "symlink",
        "etc": "symlink",
        "loop": "symlink",
    }
    (item,) = expand(folder / "passwd")
    with pytest.raises(LoadError, match="name the file it points to") as caught:
        item.read()
    assert caught.value.code == "symlink"


def test_i11_a_file_that_becomes_a_link_before_it_is_read_is_refused(folder: Path) -> None:
    (item,) = expand(folder / "a.txt")
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to("/etc/passwd")
    with pytest.raises(LoadError) as caught:
        item.read()
    assert caught.value.code == "symlink"


def test_i11_a_pipe_does_not_hang_the_run(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert codes(expand(folder))["pipe"] == "unreadable_file"


def test_a_file_that_vanished_is_unreadable_and_a_large_one_too_large(folder: Path) -> None:
    items = expand(folder, max_bytes=5)
    (folder / "b.txt").unlink()
    assert codes(items) == {"a.txt": "ok", "b.txt": "unreadable_file", "c.md": "too_large"}


def test_a_missing_path_is_an_error_before_anything_starts(folder: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        SourceExpander().expand([folder, folder / "missing.pdf"])
    with pytest.raises(UsageError, match="http"):
        SourceExpander().expand(["ftp://example.com/x"])
    with pytest.raises(UsageError, match="switched off"):
        SourceExpander().expand(["https://example.com/x"])


def test_the_length_hint_counts_files_and_lines(folder: Path) -> None:
    (folder / "c.jsonl").write_bytes(samples.corpus([{"id": "1", "text": "a"}, {"id": "2", "text": "b"}]))
    stream = SourceExpander().expand([folder, folder / "a.txt"])
    assert operator.length_hint(stream) == 6 == len(list(stream))


def test_a_url_is_fetched_when_it_is_read() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["host"])
        return httpx.Response(
            200, stream=httpx.ByteStream(b"<p>hi</p>"), headers={"content-type": "text/html; charset=utf-8"}
        )

    fetcher = Fetcher(resolver=lambda host, port: ["93.184.216.34"], transport=httpx.MockTransport(answer))
    (item,) = expand("https://example.com/docs/page.html?v=1#top", fetcher=fetcher)
    assert (item.source, item.name, asked) == ("https://example.com/docs/page.html?v=1#top", "page.html", [])
    assert item.read() == b"<p>hi</p>"
    assert (item.media_type, asked) == ("text/html", ["example.com"])


# --- CORPUS ---

RECORDS = [
    {"id": "d1", "title": "One", "text": "First.\n\nSecond.", "metadata": {"lang": "en"}},
    {"id": "d2", "text": "没有标题。"},
]


@pytest.mark.parametrize("compressed", [False, True])
def test_each_line_of_a_corpus_is_a_document(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / ("c.jsonl.gz" if compressed else "c.jsonl")
    path.write_bytes(samples.corpus(RECORDS, compressed=compressed))
    first, second = expand(path)
    assert isinstance(first, CorpusItem) and first.loaded is not None and second.loaded is not None
    assert (first.source, first.loaded.title, first.loaded.text) == ("d1", "One", "First.\n\nSecond.")
    assert [block.span.of(first.loaded.text) for block in first.loaded.blocks] == ["First.", "Second."]
    assert first.loaded.metadata == {"lang": "en"}
    assert (second.source, second.loaded.title) == ("d2", "d2")
    assert first.content_hash() != second.content_hash()


def hashes(path: Path, *records: dict[str, object]) -> list[str]:
    path.write_bytes(samples.corpus(records))
    return [item.content_hash() for item in expand(path)]


def test_the_hash_of_a_line_depends_on_what_becomes_of_it_only(tmp_path: Path) -> None:
    base = {"id": "a", "title": "t", "text": "x"}
    same, title, text = hashes(tmp_path / "c.jsonl", base | {"other": 1}, base | {"title": "u"}, base | {"text": "y"})
    assert hashes(tmp_path / "d.jsonl", base) == [same]
    assert len({same, title, text}) == 3


def test_a_bad_line_fails_alone_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    lines = [
        RECORDS[0],
        "{broken",
        '{"id": 7, "text": "x"}',
        '{"id": "e", "text": " "}',
        "",
        '{"id": " ", "text": "x"}',
    ]
    path.write_bytes(samples.corpus([*lines, '{"id": "nan", "text": NaN}', "[" * 100_000, RECORDS[1]]))
    items = expand(path)
    found = codes(items)
    assert found == {
        "d1": "ok",
        "c.jsonl:2": "invalid_json",
        "c.jsonl:3": "invalid_json",
        "e": "empty_document",
        "c.jsonl:6": "invalid_json",
        "c.jsonl:7": "invalid_json",
        "c.jsonl:8": "invalid_json",
        "d2": "ok",
    }


def test_other_jsonl_is_an_ordinary_file(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"id": 1, "event": "x"}\n')
    (item,) = expand(path)
    assert item.loaded is None and item.name == "log.jsonl"


def test_a_corpus_is_read_lazily(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(samples.corpus({"id": str(i), "text": "x"} for i in range(1000)))
    stream: Iterator[SourceItem] = SourceExpander().expand([path])
    assert next(stream).source == "0"
    with open(path, "ab") as file:
        file.write(samples.corpus([{"id": "late", "text": "x"}]))
    assert [item.source for item in stream][-1] == "late"


def test_a_cut_off_archive_gives_what_it_holds_and_then_an_error(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl.gz"
    good = samples.corpus([{"id": str(i), "text": os.urandom(2000).hex()} for i in range(100)], compressed=True)
    path.write_bytes(good[: len(good) // 2])
    items = expand(path)
    assert 10 < sum(1 for item in items if isinstance(item, CorpusItem)) < 100
    with pytest.raises(LoadError, match="damaged after line") as caught:
        items[-1].read()
    assert caught.value.code == "corrupt_document"


def test_i3_a_compressed_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "_RATIO_FROM", 100_000)
    path = tmp_path / "c.jsonl.gz"
    lines = samples.corpus([{"id": str(i), "text": "0" * 50_000} for i in range(200)])
    path.write_bytes(gzip.compress(lines))
    items = expand(path)
    assert len(items) < 200
    with pytest.raises(LoadError) as caught:
        items[-1].read()
    assert caught.value.code == "decompression_limit"


def test_i9_an_endless_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "_MAX_LINE", 1000)
    path = tmp_path / "c.jsonl"
    path.write_bytes(samples.corpus([RECORDS[0], {"id": "x", "text": "y" * 2000}]))
    found = codes(expand(path))
    assert found == {"d1": "ok", "c.jsonl:2": "too_large"}
