"""fovea verify, reindex, backup, restore: what they print, and how they end."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fovea import open_engine
from service.settings import EncoderSettings, Settings
from tests.service.conftest import Command


@pytest.fixture(autouse=True)
def hashing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("FOVEA_ENCODER__MODEL", "hashing")
    monkeypatch.chdir(tmp_path)
    yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "corpus.jsonl").write_text(
        "".join(
            json.dumps({"id": f"box {n}", "title": "", "text": f"The code of box{n} is X{n}Y."}) + "\n"
            for n in range(5)
        )
    )
    settings = Settings(data_dir=folder / "data", encoder=EncoderSettings(model="hashing"))
    with open_engine(settings=settings) as engine:
        engine.ingest([folder / "corpus.jsonl"])
        engine.ingest_text("Something else.", collection="other", source="else")
    return folder / "data"


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(made, tmp_path / "data"))


def damage(data: Path) -> None:
    with closing(sqlite3.connect(data / "fovea.db")) as connection:
        connection.execute("UPDATE chunks SET vector = zeroblob(12) WHERE ordinal = 0 AND text LIKE '%box3%'")
        connection.commit()


def test_verify_finds_nothing_in_a_sound_directory(fovea: Command, data: Path) -> None:
    status, out, _ = fovea("verify", "--data-dir", data)
    assert status == 0
    assert "2 collections, 6 documents, 6 chunks, 4 snapshots looked at, 0 wrong" in out
    status, out, _ = fovea("verify", "--data-dir", data, "--json")
    report = json.loads(out)
    assert (status, report["findings"], report["left"], report["unchecked"]) == (0, [], 0, [])


def test_verify_names_what_is_wrong_and_repair_puts_it_right(fovea: Command, data: Path) -> None:
    damage(data)
    status, out, _ = fovea("verify", "--data-dir", data, "--json")
    kinds = {item["kind"]: item for item in json.loads(out)["findings"]}
    assert (status, set(kinds)) == (1, {"bad_vector", "wrong_vectors"})
    assert "12 bytes instead of 256" in kinds["bad_vector"]["detail"]
    assert kinds["bad_vector"]["repaired"] is False

    status, out, _ = fovea("verify", "--data-dir", data)
    assert status == 1
    assert "fovea verify --repair" in out

    status, out, _ = fovea("verify", "--repair", "--data-dir", data)
    assert status == 0
    assert "repaired" in out
    status, _, _ = fovea("verify", "--data-dir", data)
    assert status == 0


def test_verify_looks_beside_a_running_engine_and_repair_waits_its_turn(fovea: Command, data: Path) -> None:
    settings = Settings(data_dir=data, encoder=EncoderSettings(model="hashing"))
    with open_engine(settings=settings) as engine:
        engine.search("box3")
        assert fovea("verify", "--data-dir", data)[0] == 0
        status, _, err = fovea("verify", "--repair", "--data-dir", data)
        assert status == 2
        assert "has opened the data directory" in err


def test_verify_says_that_there_is_nothing(fovea: Command, tmp_path: Path) -> None:
    status, _, err = fovea("verify", "--data-dir", tmp_path / "nowhere")
    assert status == 2
    assert "There is no database" in err
    assert not (tmp_path / "nowhere").exists()


def test_a_backup_is_taken_beside_a_running_engine_and_restored_elsewhere(
    fovea: Command, data: Path, tmp_path: Path
) -> None:
    file, fresh = tmp_path / "backup.zip", tmp_path / "fresh"
    with open_engine(settings=Settings(data_dir=data, encoder=EncoderSettings(model="hashing"))):
        status, out, _ = fovea("backup", file, "--data-dir", data, "--json")
    report = json.loads(out)
    assert (status, report["documents"], report["chunks"], report["size"]) == (0, 6, 6, file.stat().st_size)

    status, out, _ = fovea("restore", file, "--data-dir", fresh)
    assert status == 0
    assert "Restored 6 documents (6 chunks)" in out and report["sha256"] in out
    assert fovea("verify", "--data-dir", fresh)[0] == 0
    status, out, _ = fovea("search", "What is the code of box3?", "--data-dir", fresh, "--json")
    assert (status, json.loads(out)["evidence"][0]["source"]) == (0, "box 3")

    status, _, err = fovea("restore", file, "--data-dir", fresh)
    assert (status, "empty data directory" in err) == (2, True)
    status, _, err = fovea("backup", file, "--data-dir", data)
    assert (status, "never overwritten" in err) == (2, True)
    file.write_bytes(file.read_bytes()[:-1])
    status, _, err = fovea("restore", file, "--data-dir", tmp_path / "third")
    assert (status, "is refused" in err) == (1, True)
    assert not (tmp_path / "third").exists()


def test_reindex_makes_all_collections_anew_or_one(fovea: Command, data: Path) -> None:
    status, out, _ = fovea("reindex", "--data-dir", data)
    assert status == 0
    assert "default: 5 chunks" in out and "other: 1 chunks" in out
    status, out, _ = fovea("reindex", "--collection", "other", "--embed", "--json", "--data-dir", data)
    (report,) = json.loads(out)["collections"]
    assert (status, report["collection"], report["chunks"], report["encoded"]) == (0, "other", 1, 1)
    status, _, err = fovea("reindex", "--collection", "unknown", "--data-dir", data)
    assert (status, "There is no collection 'unknown'" in err) == (2, True)


def test_a_failpoint_without_a_test_ends_the_command(
    fovea: Command, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILPOINT", "write.commit:1:kill")
    status, _, err = fovea("verify", "--data-dir", data)
    assert (status, "unset it" in err) == (2, True)
