"""D17: backups taken under load, restored elsewhere, and the road from SQLite to PostgreSQL and back."""

from __future__ import annotations

import json
import random
import threading
import zipfile
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from domain.errors import FoveaError, NotFound, StorageError, UsageError
from service.maintenance.archive import digest_of, read_manifest
from service.maintenance.backup import back_up, restore
from service.maintenance.verify import Verifier
from service.storage.database import open_database
from service.storage.documents import SqlDocumentStore
from service.storage.tables import SCHEMA_VERSION
from service.storage.transfer import TableState, fingerprints
from tests.reliability.children import Child
from tests.reliability.commit_log import text_of
from tests.reliability.stored_corpus import Corpus, NamedTokens, add, indexes_equal_sql, make_corpus
from tests.service.postgres_server import PostgresServer
from tests.service.storage_examples import make_document, put


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("intact") / "data")


@pytest.fixture(scope="module")
def archive(intact: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return backed_up(intact, tmp_path_factory.mktemp("backups") / "backup.zip")


def backed_up(corpus: Corpus, target: Path) -> Path:
    with corpus.opened() as database:
        back_up(database, corpus.folder, target, "1")
    return target


def restored(archive: Path, folder: Path) -> Corpus:
    corpus = Corpus(folder)
    restore(archive, folder, corpus.url)
    return corpus


def states(url: str) -> dict[str, TableState]:
    with closing(open_database(url)) as database:
        return fingerprints(database)


def is_sound(corpus: Corpus) -> bool:
    with corpus.opened() as database:
        codecs = {NamedTokens.codec_id: NamedTokens()}
        return Verifier(database, lambda tenant: corpus.folder / "indexes", codecs).look().findings == ()


# -- under load --------------------------------------------------------------------------------------------------------


def backups_under_load(folder: Path, backups: int) -> int:
    """Back up while documents come and go; how many writes were acknowledged meanwhile."""
    corpus, stop, acknowledged = make_corpus(folder / "data"), threading.Event(), 0
    failures: list[BaseException] = []

    def write() -> None:
        nonlocal acknowledged
        try:
            with corpus.opened() as database:
                store = SqlDocumentStore(database)
                for number in count():
                    if stop.is_set():
                        return
                    generation, _ = put(store, make_document(f"{number % 20}.txt", text_of(number)))
                    acknowledged = generation  # told to the caller: from here on every backup must have it
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(backups):
            told = acknowledged
            target = backed_up(corpus, folder / f"{number}.zip")
            copy = restored(target, folder / f"restored {number}")
            manifest = read_manifest(target)["tables"]
            found = {name: {"rows": one.rows, "sha256": one.sha256} for name, one in states(copy.url).items()}
            assert found == manifest, "counts and digests are those of the backup"
            (generation,) = copy.rows("SELECT generation FROM collections")[0]
            assert generation >= told, "nothing acknowledged before the backup is missing in it"
            assert is_sound(copy)
            assert indexes_equal_sql(copy)
    finally:
        stop.set()
        writer.join()
    assert failures == []
    return acknowledged


def test_d17_a_backup_under_load_holds_one_whole_state(tmp_path: Path) -> None:
    assert backups_under_load(tmp_path, 4) > 6


@pytest.mark.nightly
def test_d17_twenty_backups_under_load(tmp_path: Path) -> None:
    assert backups_under_load(tmp_path, 20) > 30


# -- what a backup is --------------------------------------------------------------------------------------------------


def test_a_backup_is_one_private_zip_with_a_manifest(intact: Corpus, archive: Path) -> None:
    manifest = read_manifest(archive)
    assert archive.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in archive.parent.iterdir()] == [archive.name], "nothing temporary is left"
    assert manifest["schema"] == SCHEMA_VERSION
    assert manifest["source"] == "sqlite"
    assert manifest["tables"]["chunks"]["rows"] == 24
    assert set(manifest["files"]) == {"database.sqlite"}
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        assert json.loads(opened.read("manifest.json")) == manifest


def test_calibrations_jobs_and_weights_travel_and_index_files_do_not(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "data")
    weights = corpus.folder / "weights" / "sub"
    weights.mkdir(parents=True)
    (weights / "own.safetensors").write_bytes(b"\x00weights\xff")
    with corpus.raw() as connection:
        connection.execute("INSERT INTO calibrations VALUES (1, '{}', '2026')")

    copy = restored(backed_up(corpus, tmp_path / "backup.zip"), tmp_path / "fresh")

    assert (copy.folder / "weights" / "sub" / "own.safetensors").read_bytes() == b"\x00weights\xff"
    assert copy.rows("SELECT content FROM calibrations") == [("{}",)]
    assert copy.rows("SELECT blob FROM job_blobs") == [(b"bytes of a job",)]
    assert copy.rows("SELECT * FROM index_snapshots") == []
    assert sorted(path.name for path in copy.folder.iterdir()) == ["fovea.db", "weights"]
    assert (copy.folder / "fovea.db").stat().st_mode & 0o777 == 0o600
    assert indexes_equal_sql(copy)


def test_a_restored_directory_is_written_to_like_any_other(archive: Path, tmp_path: Path) -> None:
    copy = restored(archive, tmp_path / "fresh")
    with copy.manager() as (store, manager):
        add(store, manager, 99)
        assert store.generation("default") == 7
    assert is_sound(copy)
    assert indexes_equal_sql(copy)


# -- what is refused ---------------------------------------------------------------------------------------------------


def refused(archive: Path, folder: Path) -> str:
    """The code of the error; nothing was put into the folder."""
    with pytest.raises(FoveaError) as caught:
        restored(archive, folder)
    assert not folder.exists() or list(folder.iterdir()) == []
    return caught.value.code


def test_d17_every_damaged_backup_is_refused_untouched(archive: Path, tmp_path: Path) -> None:
    rng, data, damaged = random.Random(7), archive.read_bytes(), tmp_path / "damaged.zip"
    for number in range(200):
        broken = bytearray(data)
        match number % 4:
            case 0 | 1:
                broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
            case 2:
                del broken[rng.randrange(len(broken)) :]
            case _:
                broken += rng.randbytes(rng.randint(1, 99))
        damaged.write_bytes(broken)
        assert refused(damaged, tmp_path / "fresh") == "backup_damaged", number


def test_a_zip_of_somebody_else_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as opened:
        opened.writestr("database.sqlite", b"anything")
    assert refused(other, tmp_path / "fresh") == "backup_damaged"
    assert refused(tmp_path / "missing.zip", tmp_path / "fresh") == NotFound.code


@pytest.mark.parametrize("name", ["../escape", "/absolute", "weights/../../escape", "weights//x"])
def test_a_name_that_leads_out_of_the_directory_is_refused(name: str, archive: Path, tmp_path: Path) -> None:
    from service.maintenance.archive import pack

    crafted, file = tmp_path / "crafted.zip", tmp_path / "file"
    file.write_bytes(b"x")
    about = {key: value for key, value in read_manifest(archive).items() if key not in ("files", "format")}
    pack(crafted, {"database.sqlite": file, name: file}, about)
    assert refused(crafted, tmp_path / "in" / "fresh") == "backup_damaged"
    assert not (tmp_path / "escape").exists()


def test_a_backup_of_a_later_release_is_refused(archive: Path, tmp_path: Path) -> None:
    from service.maintenance.archive import pack

    later, file = tmp_path / "later.zip", tmp_path / "file"
    file.write_bytes(b"x")
    pack(later, {"database.sqlite": file}, {**read_manifest(archive), "schema": "9999"})
    assert refused(later, tmp_path / "fresh") == "schema_too_new"


@pytest.mark.parametrize(
    ("database", "manifest"),
    [
        (b"abc", {}),
        (b"", {"tables": {"documents": {"rows": 7}}}),
        (b"abc", {"tables": None}),
        (b"abc", {"tables": {"documents": 7}}),
        (b"abc", {"schema": None}),
        (b"abc", {"schema": 4}),
    ],
)
def test_a_sealed_file_that_is_no_backup_is_refused(
    database: bytes, manifest: dict[str, object], archive: Path, tmp_path: Path
) -> None:
    """The seal says that nothing was lost on the way, not who wrote it."""
    from service.maintenance.archive import pack

    crafted, file = tmp_path / "crafted.zip", tmp_path / "file"
    file.write_bytes(database)
    about = {key: value for key, value in read_manifest(archive).items() if key not in ("files", "format")}
    pack(crafted, {"database.sqlite": file}, {**about, **manifest})
    assert refused(crafted, tmp_path / "fresh") == "backup_damaged"


def test_a_database_with_other_rows_than_the_manifest_counts_is_refused(
    intact: Corpus, archive: Path, tmp_path: Path
) -> None:
    from service.maintenance.archive import pack, unpack

    known, crafted = read_manifest(archive), tmp_path / "crafted.zip"
    unpack(archive, "database.sqlite", tmp_path / "database", known)
    tables = {**known["tables"], "documents": {**known["tables"]["documents"], "rows": 9_999}}
    about = {key: value for key, value in known.items() if key not in ("files", "format")}
    pack(crafted, {"database.sqlite": tmp_path / "database"}, {**about, "tables": tables})
    assert refused(crafted, tmp_path / "fresh") == "backup_damaged"


def test_a_backup_never_overwrites(intact: Corpus, archive: Path) -> None:
    before = digest_of(archive)
    with intact.opened() as database, pytest.raises(UsageError, match="never overwritten"):
        back_up(database, intact.folder, archive, "1")
    assert digest_of(archive) == before


def test_a_restore_never_replaces(intact: Corpus, archive: Path) -> None:
    before = intact.dump()
    with pytest.raises(UsageError, match="empty data directory"):
        restore(archive, intact.folder, intact.url)
    assert intact.dump() == before


def test_a_damaged_database_is_not_backed_up_as_if_it_were_sound(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "data")
    data = bytearray(corpus.file.read_bytes())
    data[data.index(b"localdoc-") + 9] ^= 1
    corpus.file.write_bytes(data)
    with corpus.opened() as database, pytest.raises(StorageError) as caught:
        back_up(database, corpus.folder, tmp_path / "backup.zip", "1")
    assert caught.value.code == "storage_corrupt"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


# -- to PostgreSQL and back --------------------------------------------------------------------------------------------


def test_d17_a_backup_moves_to_postgresql_and_back(
    intact: Corpus, archive: Path, server: PostgresServer, tmp_path: Path
) -> None:
    url = server.new_database()
    restore(archive, tmp_path / "there", url)
    assert states(url) == states(intact.url)

    there = Corpus(tmp_path / "there", url)
    with there.manager() as (store, manager):
        add(store, manager, 50)  # its numbers go on behind those that came along
        assert store.generation("default") == 7
        assert len(manager.reader("default").vector) == 28
    assert is_sound(there)

    back = restored(backed_up(there, tmp_path / "back.zip"), tmp_path / "back")
    assert states(back.url) == states(url)
    assert is_sound(back)
    assert indexes_equal_sql(back)
    assert read_manifest(tmp_path / "back.zip")["source"] == "postgresql"


def test_a_restore_into_a_postgresql_that_holds_something_changes_nothing(
    archive: Path, server: PostgresServer, tmp_path: Path
) -> None:
    url = server.new_database()
    restore(archive, tmp_path / "first", url)
    before = states(url)
    with pytest.raises(UsageError, match="empty one"):
        restore(archive, tmp_path / "second", url)
    assert states(url) == before


def test_d2_a_restore_into_postgresql_that_is_killed_leaves_it_empty(
    archive: Path, server: PostgresServer, tmp_path: Path
) -> None:
    url = server.new_database()
    open_database(url).close()
    empty = states(url)

    def run(say: object) -> None:
        restore(archive, tmp_path / "there", url)

    assert Child(run, "restore.tables:4:kill").end().killed
    assert states(url) == empty
    restore(archive, tmp_path / "there", url)
    assert states(url)["chunks"].rows == 24
