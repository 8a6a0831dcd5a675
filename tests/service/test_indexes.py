from __future__ import annotations

import logging
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from domain.documents import Document
from domain.errors import NotFound, StorageError
from domain.protocols import IndexReader
from domain.search import FloatArray, Hit
from service.indexed_text import indexed_text
from service.indexes import IndexManager
from service.storage.database import Database
from service.storage.documents import SqlDocumentStore
from service.storage.snapshots import SqlSnapshotManifest
from tests.service.storage_examples import (
    DIM,
    ListLexicalIndex,
    ListVectorIndex,
    make_chunks,
    make_document,
    put,
    unit_vector,
)

MakeManager = Callable[[], IndexManager]


@pytest.fixture
def encoded_store(store: SqlDocumentStore) -> SqlDocumentStore:
    store.check_encoder("default", "e5", DIM, "int8")
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "indexes"


@pytest.fixture
def make_manager(database: Database, encoded_store: SqlDocumentStore, folder: Path) -> MakeManager:
    """A manager as the next process would have it: nothing in memory, the same database and folder."""
    manifest = SqlSnapshotManifest(database)
    return lambda: IndexManager(encoded_store, manifest, folder, ListVectorIndex, ListLexicalIndex)


@pytest.fixture
def manager(make_manager: MakeManager) -> IndexManager:
    return make_manager()


def ingest(store: SqlDocumentStore, manager: IndexManager, document: Document, collection: str = "default") -> None:
    """Commit a document and let the indexes follow, as the engine does."""
    generation, retired = put(store, document, collection)
    chunks = make_chunks(document)
    vectors = np.stack([unit_vector(chunk.text) for chunk in chunks])
    texts = [indexed_text(chunk, document.title) for chunk in chunks]
    manager.apply(collection, generation, [chunk.key for chunk in chunks], vectors, texts, retired)


def remove(store: SqlDocumentStore, manager: IndexManager, document: Document) -> None:
    for collection, keys in store.delete([document.id]).items():
        manager.retire(collection, store.generation(collection), keys)


def content(reader: IndexReader) -> tuple[dict[int, list[float]], dict[int, str]]:
    assert isinstance(reader.vector, ListVectorIndex)
    assert isinstance(reader.lexical, ListLexicalIndex)
    return dict(reader.vector.rows), dict(reader.lexical.texts)


def truth(store: SqlDocumentStore) -> tuple[dict[int, list[float]], dict[int, str]]:
    """What the indexes must hold, read from SQL."""
    vectors = {
        key: row.tolist() for keys, rows in store.iter_vectors("default") for key, row in zip(keys, rows, strict=True)
    }
    texts = {key: text for keys, part in store.iter_texts("default") for key, text in zip(keys, part, strict=True)}
    return vectors, texts


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def documents(encoded_store: SqlDocumentStore) -> list[Document]:
    documents = [make_document(f"{n}", f"alpha {n}\nbeta {n}\n第{n}行") for n in range(4)]
    for document in documents:
        put(encoded_store, document)
    return documents


# -- following SQL -----------------------------------------------------------------------------------------------------


def test_c3_what_was_applied_is_found_at_once(encoded_store: SqlDocumentStore, manager: IndexManager) -> None:
    document = make_document("a", "one\ntwo")
    manager.reader("default")
    ingest(encoded_store, manager, document)
    first, second = make_chunks(document)
    assert manager.reader("default").vector.search(unit_vector("two"), 1)[0].key == second.key
    assert [hit.key for hit in manager.reader("default").lexical.search("one", 5)] == [first.key]


def test_a_first_search_opens_the_indexes_from_sql(
    encoded_store: SqlDocumentStore, documents: list[Document], manager: IndexManager
) -> None:
    assert content(manager.reader("default")) == truth(encoded_store)
    assert len(manager.reader("default").vector) == 12


def test_a_first_write_opens_the_indexes_too(encoded_store: SqlDocumentStore, manager: IndexManager) -> None:
    ingest(encoded_store, manager, make_document("a", "one"))
    assert content(manager.reader("default")) == truth(encoded_store)
    assert manager.status() == [{"collection": "default", "generation": 1, "vectors": 1, "texts": 1, "saved": False}]


def test_a_collection_without_vectors_reads_as_empty(store: SqlDocumentStore, make_manager: MakeManager) -> None:
    manager = make_manager()
    store.create_collection("bare")
    for name in ("bare", "nowhere"):
        reader = manager.reader(name)
        assert reader.vector.search(unit_vector(1), 3) == []
        assert reader.lexical.search("one", 3) == []
        assert (len(reader.vector), len(reader.lexical), reader.lexical.terms("one")) == (0, 0, ())


def test_a_replaced_document_leaves_only_its_new_chunks(encoded_store: SqlDocumentStore, manager: IndexManager) -> None:
    manager.reader("default")
    ingest(encoded_store, manager, make_document("a", "one\ntwo"))
    ingest(encoded_store, manager, make_document("a", "three"))
    assert content(manager.reader("default")) == truth(encoded_store)
    assert len(manager.reader("default").vector) == 1


def test_a_version_that_keeps_its_keys_stays_found(encoded_store: SqlDocumentStore, manager: IndexManager) -> None:
    manager.reader("default")
    document = make_document("a", "one\ntwo")
    ingest(encoded_store, manager, document)
    ingest(encoded_store, manager, document)
    assert content(manager.reader("default")) == truth(encoded_store)


def test_d12_a_deleted_document_is_gone_now_and_after_a_restart(
    encoded_store: SqlDocumentStore, documents: list[Document], make_manager: MakeManager
) -> None:
    manager = make_manager()
    manager.reader("default")
    manager.save("default")
    remove(encoded_store, manager, documents[1])
    assert content(manager.reader("default")) == truth(encoded_store)
    assert len(manager.reader("default").lexical) == 9
    assert content(make_manager().reader("default")) == truth(encoded_store)


def test_a_missed_commit_is_fetched_from_sql(encoded_store: SqlDocumentStore, manager: IndexManager) -> None:
    ingest(encoded_store, manager, make_document("a", "one"))
    put(encoded_store, make_document("b", "two"))  # committed, but its apply is still on the way
    ingest(encoded_store, manager, make_document("c", "three"))
    assert content(manager.reader("default")) == truth(encoded_store)


def test_commits_that_arrive_out_of_order_or_twice_change_nothing(
    encoded_store: SqlDocumentStore, manager: IndexManager
) -> None:
    manager.reader("default")
    first, second = make_document("a", "one"), make_document("a", "uno")
    old_generation, old_retired = put(encoded_store, first)
    ingest(encoded_store, manager, second)
    for _ in range(2):
        (chunk,) = make_chunks(first)
        manager.apply("default", old_generation, [chunk.key], unit_vector("one")[None], ["stale"], old_retired)
    assert content(manager.reader("default")) == truth(encoded_store)


def test_a_batch_follows_many_commits_together_and_all_of_them_in_the_end(
    encoded_store: SqlDocumentStore, documents: list[Document], manager: IndexManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.indexes._BATCH", 6)
    sizes = []
    with manager.batch("default"):
        for number in range(5):
            ingest(encoded_store, manager, make_document(f"{number}", f"new {number}\nlines {number}"))
            sizes.append(len(manager.reader("default").vector))
    # Four documents of 3 chunks are replaced by ones of 2, that is 5 changes each: every second commit fills the batch.
    assert sizes == [12, 10, 10, 8, 8]
    assert len(manager.reader("default").vector) == 10
    assert content(manager.reader("default")) == truth(encoded_store)


def test_a_batch_that_ends_in_an_error_has_followed_what_was_committed(
    encoded_store: SqlDocumentStore, manager: IndexManager
) -> None:
    with pytest.raises(KeyboardInterrupt), manager.batch("default"):
        ingest(encoded_store, manager, make_document("a", "one"))
        raise KeyboardInterrupt
    assert content(manager.reader("default")) == truth(encoded_store)
    assert len(manager.reader("default").vector) == 1


def test_a_deletion_does_not_wait_for_the_end_of_a_batch(
    encoded_store: SqlDocumentStore, documents: list[Document], manager: IndexManager
) -> None:
    with manager.batch("default"):
        ingest(encoded_store, manager, make_document("new", "one"))
        remove(encoded_store, manager, documents[0])
        assert content(manager.reader("default")) == truth(encoded_store)


def test_a_commit_missed_inside_a_batch_is_fetched_from_sql(
    encoded_store: SqlDocumentStore, documents: list[Document], manager: IndexManager
) -> None:
    with manager.batch("default"):
        ingest(encoded_store, manager, make_document("a", "one"))
        put(encoded_store, make_document("a", "one, again"))
        ingest(encoded_store, manager, make_document("b", "two"))
    assert content(manager.reader("default")) == truth(encoded_store)


def test_a_snapshot_is_written_when_enough_has_changed(
    encoded_store: SqlDocumentStore, manager: IndexManager, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.indexes._WORTH_SAVING", 3)
    saved = []
    for number in range(7):
        with manager.batch("default"):
            ingest(encoded_store, manager, make_document(f"{number}", f"line {number}"))
        saved.append(manager.status()[0]["saved"])
    assert saved == [False, False, True, False, False, True, False]
    manager.close()
    assert any("-7-" in name for name in names(folder))


def test_closing_lets_go_of_what_an_index_holds(documents: list[Document], manager: IndexManager) -> None:
    closed = []
    manager.reader("default").vector.close = lambda: closed.append("vector")  # type: ignore[attr-defined]
    manager.close()
    assert closed == ["vector"]
    assert manager.status() == []


def test_refresh_follows_what_another_process_committed(
    encoded_store: SqlDocumentStore, documents: list[Document], manager: IndexManager
) -> None:
    manager.reader("default")
    put(encoded_store, make_document("x", "elsewhere"))
    encoded_store.delete([documents[0].id])
    manager.refresh("default")
    assert content(manager.reader("default")) == truth(encoded_store)


def test_a_write_that_breaks_an_index_ends_in_a_rebuild(
    encoded_store: SqlDocumentStore, documents: list[Document], manager: IndexManager, caplog: pytest.LogCaptureFixture
) -> None:
    broken = manager.reader("default")

    def fail(keys: Sequence[int], texts: Sequence[str]) -> None:
        raise RuntimeError("index full")

    broken.lexical.add = fail  # type: ignore[method-assign]
    ingest(encoded_store, manager, make_document("x", "more"))
    assert content(manager.reader("default")) == truth(encoded_store)
    assert "index full" in caplog.text


def test_a_collection_made_again_under_its_name_starts_afresh(
    encoded_store: SqlDocumentStore, documents: list[Document], manager: IndexManager
) -> None:
    manager.reader("default")
    encoded_store.delete_collection("default")
    encoded_store.create_collection("default")
    encoded_store.check_encoder("default", "e5", DIM, "int8")
    for number in range(5):  # passes the generation of the deleted one
        ingest(encoded_store, manager, make_document(f"new {number}", f"text {number}"))
    assert content(manager.reader("default")) == truth(encoded_store)


def test_searches_see_the_old_indexes_until_a_rebuild_is_done(
    encoded_store: SqlDocumentStore, documents: list[Document], manager: IndexManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = manager.reader("default")
    reading, go_on = Event(), Event()
    original = encoded_store.iter_texts

    def slow(collection: str, batch: int = 4096, since: int = 0) -> Iterator[tuple[list[int], list[str]]]:
        reading.set()
        go_on.wait(30)
        return original(collection, batch, since)

    monkeypatch.setattr(encoded_store, "iter_texts", slow)
    thread = Thread(target=manager.rebuild, args=("default",))
    thread.start()
    assert reading.wait(30)
    assert manager.reader("default") is before
    assert len(manager.reader("default").vector) == 12
    go_on.set()
    thread.join()
    assert manager.reader("default") is not before
    assert content(manager.reader("default")) == truth(encoded_store)


def test_rebuilding_something_unknown_is_not_found(manager: IndexManager) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        manager.rebuild("nowhere")


def test_c2_readers_are_never_disturbed_by_writers(encoded_store: SqlDocumentStore, manager: IndexManager) -> None:
    ingest(encoded_store, manager, make_document("fixed", "anchor"))
    (anchor,) = make_chunks(make_document("fixed", "anchor"))
    done, failures = Event(), []

    def search() -> None:
        while not done.is_set():
            try:
                assert (
                    manager.reader("default").vector.search(unit_vector("anchor"), 1, {anchor.key})[0].key == anchor.key
                )
            except BaseException as error:
                failures.append(error)

    threads = [Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(10):
        ingest(encoded_store, manager, make_document(f"{number}", f"text {number}"))
        manager.save("default")
    manager.rebuild("default")
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []


# -- snapshots ---------------------------------------------------------------------------------------------------------


def test_a_restart_loads_the_snapshot_instead_of_reading_sql(
    encoded_store: SqlDocumentStore,
    documents: list[Document],
    make_manager: MakeManager,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = make_manager()
    before = content(first.reader("default"))
    first.close()
    asked: list[int] = []
    original = encoded_store.iter_vectors

    def counting(collection: str, batch: int = 4096, since: int = 0) -> Iterator[tuple[list[int], FloatArray]]:
        asked.append(since)
        return original(collection, batch, since)

    monkeypatch.setattr(encoded_store, "iter_vectors", counting)
    assert content(make_manager().reader("default")) == before
    assert asked == [4]


def test_an_old_snapshot_is_brought_up_to_date(
    encoded_store: SqlDocumentStore, documents: list[Document], make_manager: MakeManager
) -> None:
    first = make_manager()
    first.reader("default")
    first.close()
    put(encoded_store, make_document("0", "replaced"))
    encoded_store.delete([documents[1].id])
    put(encoded_store, make_document("new", "added"))
    assert content(make_manager().reader("default")) == truth(encoded_store)


def test_saving_twice_writes_once(documents: list[Document], manager: IndexManager, folder: Path) -> None:
    manager.reader("default")
    manager.save("default")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    manager.save("default")
    manager.close()
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert len(before) == 2


def test_the_newest_two_snapshots_of_each_kind_are_kept(
    encoded_store: SqlDocumentStore, manager: IndexManager, folder: Path
) -> None:
    foreign = folder / "notes.txt"
    folder.mkdir()
    foreign.write_text("mine")
    look_alike = folder / ("1-vector-1-" + "0" * 16)
    look_alike.write_text("not in the manifest")
    for number in range(5):
        ingest(encoded_store, manager, make_document(f"{number}", f"text {number}"))
        manager.save("default")
    kept = names(folder) - {foreign.name, look_alike.name}
    assert sorted(tuple(name.split("-")[1:3]) for name in kept) == [
        ("lexical", "4"),
        ("lexical", "5"),
        ("vector", "4"),
        ("vector", "5"),
    ]
    assert foreign.read_text() == "mine"
    assert look_alike.exists()


def test_a_snapshot_newer_than_sql_is_not_used(
    encoded_store: SqlDocumentStore, documents: list[Document], make_manager: MakeManager, database: Database
) -> None:
    """As after restoring a database whose manifest survived by other means: its rows cannot be trusted."""
    first = make_manager()
    first.reader("default")
    first.close()
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE collections SET generation = 3")
        connection.exec_driver_sql("UPDATE chunks SET generation = 3 WHERE generation > 3")
    encoded_store.delete([documents[3].id])
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE collections SET generation = 3")
        connection.exec_driver_sql("DELETE FROM tombstones")
    assert content(make_manager().reader("default")) == truth(encoded_store)


def _flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _truncate(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def _append(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.randint(1, 50)))


def _swap(path: Path, rng: random.Random) -> None:
    # A snapshot of the same size from another place: only its sha256 tells.
    data = bytearray(path.read_bytes())
    data.reverse()
    path.write_bytes(data)


def _become_a_folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _become_a_link(path: Path, rng: random.Random) -> None:
    target = path.with_name("elsewhere")
    path.rename(target)
    path.symlink_to(target)


_DAMAGES = (_flip, _flip, _flip, _truncate, _append, _swap, _become_a_folder, _become_a_link)


def test_d7_a_corrupted_snapshot_is_detected_and_rebuilt(
    sqlite_database: Database, sqlite_store: SqlDocumentStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _corrupt_and_restart(sqlite_database, sqlite_store, tmp_path, caplog, 100)


@pytest.mark.nightly
def test_d7_a_thousand_corrupted_snapshots_are_detected_and_rebuilt(
    sqlite_database: Database, sqlite_store: SqlDocumentStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _corrupt_and_restart(sqlite_database, sqlite_store, tmp_path, caplog, 1000)


def _corrupt_and_restart(
    sqlite_database: Database,
    sqlite_store: SqlDocumentStore,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    corruptions: int,
) -> None:
    sqlite_store.check_encoder("default", "e5", DIM, "int8")
    for number in range(3):
        put(sqlite_store, make_document(f"{number}", f"alpha {number}\nbeta {number}"))
    expected, manifest = truth(sqlite_store), SqlSnapshotManifest(sqlite_database)

    for seed in range(corruptions):
        rng = random.Random(seed)
        folder = tmp_path / f"indexes {seed}"

        def next_process(folder: Path = folder) -> IndexManager:
            return IndexManager(sqlite_store, manifest, folder, ListVectorIndex, ListLexicalIndex)

        next_process().rebuild("default")
        victim = rng.choice(sorted(folder.iterdir()))
        rng.choice(_DAMAGES)(victim, rng)
        (folder / "stray.tmp").write_bytes(b"stray")
        before = names(folder)
        caplog.clear()

        assert content(next_process().reader("default")) == expected, f"seed {seed}"

        assert len(caplog.records) == 1, f"seed {seed}: {caplog.text}"
        assert victim.name in caplog.text
        renamed = {f"{victim.name}.corrupt-1"}
        assert names(folder) == before - {victim.name} | renamed, f"seed {seed}"


def test_the_previous_snapshot_stands_in_for_a_damaged_one(
    encoded_store: SqlDocumentStore, make_manager: MakeManager, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_manager()
    for number in range(2):
        ingest(encoded_store, first, make_document(f"{number}", f"text {number}"))
        first.save("default")
    for path in folder.glob("*-2-*"):
        _flip(path, random.Random(0))
    asked: list[int] = []
    original = encoded_store.iter_vectors

    def counting(collection: str, batch: int = 4096, since: int = 0) -> Iterator[tuple[list[int], FloatArray]]:
        asked.append(since)
        return original(collection, batch, since)

    expected = truth(encoded_store)
    monkeypatch.setattr(encoded_store, "iter_vectors", counting)
    assert content(make_manager().reader("default")) == expected
    assert asked == [1]


def test_a_second_damaged_file_of_one_name_gets_a_name_of_its_own(
    documents: list[Document], make_manager: MakeManager, folder: Path
) -> None:
    for _ in range(3):
        manager = make_manager()
        manager.rebuild("default")
        for path in folder.glob("*-vector-*"):
            if "corrupt" not in path.name:
                _flip(path, random.Random(0))
        make_manager().reader("default")
    assert sorted(name.rsplit(".", 1)[1] for name in names(folder) if "corrupt" in name) == [
        "corrupt-1",
        "corrupt-2",
        "corrupt-3",
    ]


def test_a_file_with_the_right_sum_but_the_wrong_rows_is_not_believed(
    documents: list[Document],
    encoded_store: SqlDocumentStore,
    make_manager: MakeManager,
    database: Database,
    folder: Path,
) -> None:
    make_manager().rebuild("default")
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE index_snapshots SET entries = entries + 1")
    assert content(make_manager().reader("default")) == truth(encoded_store)
    assert sum("corrupt" in name for name in names(folder)) == 2


def test_d8_without_the_index_folder_everything_is_rebuilt(
    encoded_store: SqlDocumentStore, documents: list[Document], make_manager: MakeManager, folder: Path
) -> None:
    def top(manager: IndexManager) -> list[list[Hit]]:
        return [manager.reader("default").vector.search(unit_vector(f"query {n}"), 10) for n in range(20)]

    first = make_manager()
    before = top(first)
    first.close()
    shutil.rmtree(folder)
    second = make_manager()
    assert top(second) == before
    assert content(second.reader("default")) == truth(encoded_store)
    second.close()
    assert len(names(folder)) == 2


def test_what_a_killed_save_left_behind_is_removed_and_nothing_else(
    documents: list[Document], make_manager: MakeManager, folder: Path, database: Database
) -> None:
    state = SqlSnapshotManifest(database).state("default")
    assert state is not None
    folder.mkdir()
    ours = folder / f"{state.id}-vector-7-0123abcd.tmp"
    others = [
        folder / name for name in ("notes.tmp", f"{state.id}1-vector-7-0123abcd.tmp", f"{state.id}-x-7-0123abcd.tmp")
    ]
    for path in (ours, *others):
        path.touch()
    make_manager().reader("default")
    assert not ours.exists()
    assert all(path.exists() for path in others)


@pytest.mark.parametrize("step", ["fsync", "replace", "record"])
def test_d2_a_save_that_stops_midway_leaves_the_old_snapshot(
    encoded_store: SqlDocumentStore,
    make_manager: MakeManager,
    folder: Path,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    manager = make_manager()
    ingest(encoded_store, manager, make_document("a", "one"))
    manager.save("default")
    before = names(folder)
    ingest(encoded_store, manager, make_document("b", "two"))
    target = {"fsync": "os.fsync", "replace": "pathlib.Path.replace"}.get(
        step, "service.storage.snapshots.SqlSnapshotManifest.record"
    )
    with monkeypatch.context() as patch:
        patch.setattr(target, fail)
        manager.save("default")
    assert "No space left" in caplog.text
    assert before <= names(folder)
    assert not any(name.endswith(".tmp") for name in names(folder))
    assert content(manager.reader("default")) == truth(encoded_store)
    assert content(make_manager().reader("default")) == truth(encoded_store)
    manager.save("default")
    assert len([name for name in names(folder) if "-2-" in name]) == 2


def test_a_database_that_fails_while_saving_does_not_fail_the_caller(
    documents: list[Document], manager: IndexManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("The database went away.")

    manager.reader("default")
    monkeypatch.setattr(SqlSnapshotManifest, "record", fail)
    with caplog.at_level(logging.WARNING):
        manager.close()
    assert "went away" in caplog.text


@pytest.mark.parametrize("sql_first", [True, False])
def test_dropping_a_collection_removes_its_files(
    encoded_store: SqlDocumentStore, documents: list[Document], make_manager: MakeManager, folder: Path, sql_first: bool
) -> None:
    manager = make_manager()
    manager.rebuild("default")
    (folder / "notes.txt").touch()
    steps = [lambda: encoded_store.delete_collection("default"), lambda: manager.drop("default")]
    for step in steps if sql_first else reversed(steps):
        step()
    assert names(folder) == {"notes.txt"}
    assert len(manager.reader("default").vector) == 0


def test_files_of_a_collection_deleted_before_a_kill_go_with_the_next_drop(
    encoded_store: SqlDocumentStore, documents: list[Document], make_manager: MakeManager, folder: Path
) -> None:
    make_manager().rebuild("default")
    encoded_store.delete_collection("default")
    make_manager().drop("another")
    assert names(folder) == set()


def test_a2_a_foreign_tenant_has_indexes_of_its_own(
    database: Database, encoded_store: SqlDocumentStore, documents: list[Document], manager: IndexManager, folder: Path
) -> None:
    manager.rebuild("default")
    foreign_store = SqlDocumentStore(database, "foreign")
    foreign_store.ensure_collection("default")
    foreign_store.check_encoder("default", "e5", DIM, "int8")
    foreign = IndexManager(
        foreign_store, SqlSnapshotManifest(database, "foreign"), folder, ListVectorIndex, ListLexicalIndex
    )
    assert len(foreign.reader("default").vector) == 0
    foreign.drop("default")
    assert len(names(folder)) == 2


def test_snapshots_and_their_folder_are_the_users_alone(
    documents: list[Document], manager: IndexManager, folder: Path
) -> None:
    before = os.umask(0)
    try:
        manager.reader("default")
        manager.close()
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600, 0o600]
