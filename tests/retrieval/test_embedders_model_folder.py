"""Generated model folders appear whole or not at all, and an altered one is refused by name."""

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from domain.errors import ConfigurationError
from retrieval.embedders import model_folder
from retrieval.embedders.model_folder import (
    MANIFEST,
    publish_folder,
    sha256_of,
    verify_folder,
    weights_fingerprint,
)


def write_two_files(folder: Path) -> None:
    (folder / "config.json").write_text('{"width": 4}')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(64)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return publish_folder(tmp_path / "model", write_two_files)


def test_a_published_folder_passes_its_own_check(folder: Path) -> None:
    verify_folder(folder, full=True)
    assert sorted(json.loads((folder / MANIFEST).read_text())["files"]) == [
        "1_Pooling/config.json",
        "config.json",
        "model.safetensors",
    ]


def test_nothing_is_left_when_writing_fails(tmp_path: Path) -> None:
    def fail(draft: Path) -> None:
        write_two_files(draft)
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        publish_folder(tmp_path / "model", fail)
    assert list(tmp_path.iterdir()) == []


def test_of_two_writers_one_wins_and_both_get_a_complete_folder(tmp_path: Path) -> None:
    barrier = threading.Barrier(2)

    def write(draft: Path, name: str) -> None:
        write_two_files(draft)
        (draft / "author").write_text(name)
        barrier.wait()  # both have written before either renames

    threads = [
        threading.Thread(target=publish_folder, args=(tmp_path / "model", lambda draft, n=name: write(draft, n)))
        for name in ("first", "second")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verify_folder(tmp_path / "model", full=True)
    assert (tmp_path / "model" / "author").read_text() in ("first", "second")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def _publish_slowly(target: Path) -> None:
    def write(draft: Path) -> None:
        write_two_files(draft)
        (target.parent / "writing").touch()
        time.sleep(60)

    publish_folder(target, write)


def test_a_writer_that_is_killed_leaves_no_folder_behind_under_the_name(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_publish_slowly, args=(tmp_path / "model",))
    process.start()
    while not (tmp_path / "writing").exists():
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (tmp_path / "model").exists()
    verify_folder(publish_folder(tmp_path / "model", write_two_files))


@pytest.mark.parametrize("name", ["config.json", "1_Pooling/config.json", "model.safetensors"])
def test_one_changed_bit_is_found_and_the_file_named(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ConfigurationError, match=name):
        verify_folder(folder)


def test_missing_extra_and_linked_files_are_found(folder: Path, tmp_path: Path) -> None:
    (folder / "extra.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"extra\.json does not belong"):
        verify_folder(folder)
    (folder / "extra.json").unlink()
    (folder / "config.json").rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match=r"config\.json is missing"):
        verify_folder(folder)
    (folder / "config.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match=r"config\.json is a link"):
        verify_folder(folder)


def test_a_big_file_is_believed_by_size_and_time_until_a_full_check(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_folder, "_BIG", 64)
    weights = folder / "model.safetensors"
    state = weights.stat()
    weights.write_bytes(bytes(64))
    with pytest.raises(ConfigurationError, match="sha256"):  # the time differs, so the hash decides
        verify_folder(folder)
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))
    verify_folder(folder)
    with pytest.raises(ConfigurationError, match="sha256"):
        verify_folder(folder, full=True)


def test_a_copied_folder_is_checked_by_hash_and_accepted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_folder, "_BIG", 64)
    os.utime(folder / "model.safetensors", ns=(1, 1))
    verify_folder(folder)


def test_a_folder_without_a_readable_manifest_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_text("[]")
    with pytest.raises(ConfigurationError, match=r"manifest\.json cannot be read"):
        verify_folder(folder)


def test_the_fingerprint_is_that_of_the_weights_alone(folder: Path, tmp_path: Path) -> None:
    digest = sha256_of(folder / "model.safetensors")
    assert weights_fingerprint(folder) == digest[:8]
    (folder / MANIFEST).unlink()
    (folder / "config.json").write_text("changed")
    assert weights_fingerprint(folder) == digest[:8]
    (folder / "model-2.safetensors").write_bytes(b"more")
    assert weights_fingerprint(folder) != digest[:8]


def test_another_recipe_gives_the_same_weights_another_fingerprint(tmp_path: Path) -> None:
    prints = {
        weights_fingerprint(publish_folder(tmp_path / f"model{recipe}", write_two_files, recipe))
        for recipe in ("", "1", "2")
    }
    assert len(prints) == 3
