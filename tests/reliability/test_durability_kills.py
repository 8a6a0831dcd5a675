"""D1, D2: kill -9 at random moments and at every named place; the state is a prefix of what was acknowledged."""

from __future__ import annotations

import os
import random
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import inspect

from domain.jobs import ErrorInfo
from service import failpoints
from service.maintenance.archive import read_manifest
from service.maintenance.backup import back_up, restore
from service.storage.database import open_database
from service.storage.reembedding import EncoderIdentity, SqlReembedding
from service.storage.tables import metadata
from tests.reliability.children import Child, Say, killed_somewhere
from tests.reliability.commit_log import Log, check, fresh, text_of, work
from tests.reliability.stored_corpus import Corpus, make_corpus
from tests.service.storage_examples import DIM, make_document, put, unit_vector

SEED = int(os.environ.get("FOVEA_TEST_SEED", "20261123"))


# -- D1 ----------------------------------------------------------------------------------------------------------------


def kills(folder: Path, count: int, seed: int) -> Log:
    print(f"seed {seed}")  # shown where the test fails
    rng, log, corpus = random.Random(seed), Log(), fresh(folder)
    for _ in range(count):
        ended = killed_somewhere(partial(work, corpus, log.next_write, 10_000), rng, 20)
        assert ended.killed
        log.follow(ended.said)
        check(corpus, log)
    return log


@pytest.mark.parametrize("count", [60, pytest.param(500, marks=[pytest.mark.nightly, pytest.mark.timeout(3_600)])])
def test_d1_kills_at_random_moments_lose_nothing_and_undo_nothing(count: int, tmp_path: Path) -> None:
    log = kills(tmp_path / "data", count, SEED + count)
    print(f"{count} kills, {log.acknowledged} acknowledged writes, {log.deleted} of them deletions")
    assert log.acknowledged > 2 * count
    assert log.deleted > count // 6


# -- D2 ----------------------------------------------------------------------------------------------------------------

WRITES = ("write.", "replace.", "delete.", "index.", "snapshot.")


def _writing(name: str) -> bool:
    return name.startswith(WRITES) and name != "index.rebuilt"


@pytest.mark.parametrize("name", [name for name in failpoints.POINTS if _writing(name)])
def test_d2_a_kill_at_a_named_place_leaves_a_prefix_of_the_log(name: str, tmp_path: Path) -> None:
    log, corpus, died = Log(), fresh(tmp_path / "data"), 0
    once = name == "index.opened"  # a start passes it once
    for nth in (1, 1, 1) if once else (1, 2, 3):
        ended = Child(partial(work, corpus, log.next_write, 40), f"{name}:{nth}:kill").end()
        died += ended.killed
        log.follow(ended.said)
        check(corpus, log)
    assert died == 3


def test_d2_a_kill_while_a_failure_is_recorded_leaves_the_live_version(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "data")
    before = corpus.rows("SELECT id, content_hash, error_code FROM documents ORDER BY id")

    def fail(say: Say) -> None:
        with corpus.manager() as (store, _):
            document = make_document("0.txt", "")
            store.record_failure("default", document.id, "0.txt", ErrorInfo("no_text", "Empty."))

    assert Child(fail, "failure.recorded:1:kill").end().killed
    assert corpus.rows("SELECT id, content_hash, error_code FROM documents ORDER BY id") == before


def test_d2_a_kill_while_a_collection_is_deleted_leaves_all_of_it(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "data")
    before = corpus.dump()

    def drop(say: Say) -> None:
        with corpus.manager() as (store, _):
            store.delete_collection("default")

    assert Child(drop, "collection.deleted:1:kill").end().killed
    assert corpus.dump() == before


def test_d2_a_kill_while_the_indexes_are_rebuilt_leaves_the_old_ones(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "data")
    before = corpus.dump()

    def rebuild(say: Say) -> None:
        with corpus.manager() as (_, manager):
            manager.rebuild("default")

    assert Child(rebuild, "index.rebuilt:1:kill").end().killed
    assert corpus.dump() == before


@pytest.mark.parametrize("point", ["embed.batch:1", "embed.batch:2", "embed.swap:1"])
def test_d2_a_kill_while_new_vectors_are_made_leaves_the_old_ones_and_what_was_done(point: str, tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "data")
    old = corpus.rows("SELECT key, vector, tokens FROM chunks ORDER BY key")
    new = EncoderIdentity("another", DIM, "other")

    def embed(say: Say) -> None:
        with corpus.opened() as database:
            vectors = SqlReembedding(database)
            vectors.begin("default", new)
            while True:
                keys, passages = vectors.pending("default", 8)
                if not keys:
                    break
                rows = [unit_vector(f"new {passage.text}") for passage in passages]
                vectors.keep("default", new, keys, rows_of(rows), [b"new"] * len(keys))
                say(f"{len(keys)}")
            assert vectors.swap("default", new)

    first = Child(embed, f"{point}:kill").end()
    assert first.killed
    assert corpus.rows("SELECT key, vector, tokens FROM chunks ORDER BY key") == old
    second = Child(embed).end()
    assert second.status == 0
    kept = 8 * int(point[-1]) if point.startswith("embed.batch") else 24  # the killed batch was committed
    assert sum(map(int, second.said)) == 24 - kept, "what was encoded is not encoded again"
    assert corpus.rows("SELECT count(*) FROM chunks WHERE tokens = ?", b"new") == [(24,)]
    assert corpus.rows("SELECT model_id FROM collections") == [("another",)]
    assert corpus.rows("SELECT * FROM new_vectors") == []


def rows_of(rows: list[object]) -> object:
    import numpy as np

    return np.stack(rows)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["backup.copied", "backup.packed"])
def test_d2_a_killed_backup_leaves_no_file_of_its_name(name: str, tmp_path: Path) -> None:
    corpus, target = make_corpus(tmp_path / "data"), tmp_path / "out" / "backup.zip"
    target.parent.mkdir()

    def make(say: Say) -> None:
        with corpus.opened() as database:
            back_up(database, corpus.folder, target, "1")

    assert Child(make, f"{name}:1:kill").end().killed
    assert not target.exists()
    assert Child(make).end().status == 0
    assert read_manifest(target)["tables"]["documents"]["rows"] == 6


@pytest.mark.parametrize("name", ["restore.unpacked", "restore.weights"])
def test_d2_a_killed_restore_can_be_run_again(name: str, tmp_path: Path) -> None:
    corpus, archive = make_corpus(tmp_path / "data"), tmp_path / "backup.zip"
    (corpus.folder / "weights").mkdir()
    (corpus.folder / "weights" / "own.safetensors").write_bytes(b"weights")
    with corpus.opened() as database:
        back_up(database, corpus.folder, archive, "1")
    target = tmp_path / "fresh"
    url = f"sqlite:///{target / 'fovea.db'}"

    assert Child(lambda say: _restored(archive, target, url), f"{name}:1:kill").end().killed
    assert not (target / "fovea.db").exists()
    restore(archive, target, url)
    assert (target / "weights" / "own.safetensors").read_bytes() == b"weights"
    assert Corpus(target).rows("SELECT count(*) FROM chunks") == [(24,)]
    assert not (target / "restore.partial").exists()


def _restored(archive: Path, target: Path, url: str) -> None:
    restore(archive, target, url)


# -- D18 ---------------------------------------------------------------------------------------------------------------


def _tables(url: str) -> set[str]:
    with closing(open_database(url)) as database, database.read() as connection:
        return set(inspect(connection).get_table_names())


def _steps() -> int:
    migrations = Path(__file__).parents[2] / "migrations" / "versions"
    return len(list(migrations.glob("0*.py")))


@pytest.mark.parametrize(
    "place", ["migrate.begun:1", "migrate.done:1", *(f"migrate.step:{n + 1}" for n in range(_steps()))]
)
def test_d18_a_migration_that_is_killed_leaves_nothing_and_the_next_start_does_it(place: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'fovea.db'}"
    assert Child(lambda say: open_database(url).close(), f"{place}:kill").end().killed
    assert Corpus(tmp_path).rows("SELECT name FROM sqlite_master") == []
    assert set(metadata.tables) < _tables(url)


@pytest.mark.parametrize("release", ["0001", "0002"])
def test_d18_documents_of_an_older_schema_survive_a_kill_at_each_step(release: str, tmp_path: Path) -> None:
    corpus = old_release(tmp_path / "data", release)
    before = corpus.rows("SELECT id, text FROM documents ORDER BY id")
    steps = _steps() - int(release)
    for place in ("migrate.begun:1", *(f"migrate.step:{n + 1}" for n in range(steps)), "migrate.done:1"):
        assert Child(lambda say: open_database(corpus.url).close(), f"{place}:kill").end().killed
        assert corpus.rows("SELECT version_num FROM alembic_version") == [(release,)]
        assert corpus.rows("SELECT id, text FROM documents ORDER BY id") == before
    with corpus.manager() as (store, manager):
        assert [(info.id, store.get_document(info.id).text) for info in store.list_documents()] == before
        assert len(manager.reader("default").vector) == 24
        assert put(store, make_document("new.txt", text_of(1)))[0] == 7
    assert set(metadata.tables) < _tables(corpus.url)


def old_release(folder: Path, release: str) -> Corpus:
    """A data directory as the release of that schema left it."""
    from alembic import command
    from alembic.config import Config

    import migrations

    corpus = make_corpus(folder)
    with corpus.opened() as database, database.write() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
        command.downgrade(config, release)
    return corpus


# -- the places themselves ---------------------------------------------------------------------------------------------


def test_every_named_place_exists_once_in_the_code_and_every_place_has_a_name() -> None:
    import re

    root = Path(__file__).parents[2]
    files = [*(root / "service").rglob("*.py"), *(root / "migrations").rglob("*.py")]
    found = [name for path in files for name in re.findall(r'failpoint\("([a-z_.]+)"\)', path.read_text())]
    assert sorted(found) == sorted(failpoints.POINTS)
    assert len(failpoints.POINTS) >= 24


def test_every_place_is_met_by_a_kill_of_these_tests() -> None:
    tested = Path(__file__).read_text() + Path(__file__).with_name("test_backup.py").read_text()
    untested = [name for name in failpoints.POINTS if not _writing(name) and name not in tested]
    assert untested == []
