"""D3-D6: a disk that is broken, full, or forgets what was not forced onto it."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from domain.errors import StorageError
from service import failpoints
from service.api.errors import problem_of
from service.indexes import IndexManager
from service.storage.documents import SqlDocumentStore
from tests.reliability.children import Child, Say
from tests.reliability.stored_corpus import Corpus, NamedTokens, add, indexes_equal_sql, make_corpus
from tests.service.storage_examples import DIM, make_document, put

SEED = int(os.environ.get("FOVEA_TEST_SEED", "20261123"))
WORDS = "x " * 150
ROOT = Path(__file__).parents[2]


def state(corpus: Corpus) -> list[object]:
    return corpus.rows("SELECT id, content_hash, chunk_count FROM documents ORDER BY id") + corpus.rows(
        "SELECT key, vector FROM chunks ORDER BY key"
    )


# -- D3 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action", ["eio", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("enospc", "raise"))]
)
def test_d3_whichever_step_fails_the_old_state_is_whole_and_a_retry_succeeds(action: str, tmp_path: Path) -> None:
    """SQLite's own way: fail the Nth step, N = 1, 2, ... until a pass meets no failure."""
    intact = make_corpus(tmp_path / "intact")
    before, failed = state(intact), 0
    for nth in range(1, 200):
        corpus = intact.copied(tmp_path / f"{nth}")
        with corpus.manager() as (store, manager):
            manager.reader("default")
            traps = failpoints.arm(f"*:{nth}:{action}")
            try:
                add(store, manager, 0, "another text of it\nin two lines")
                store.delete([make_document("1.txt", "").id])
                manager.save("default")
            except (StorageError, failpoints.FailpointReached, OSError):
                failed += 1
            finally:
                failpoints.disarm()
            if traps.passed() < nth:
                break
            found = state(corpus)
            if failed and found != before:  # then it is that of a commit, and never between two
                assert len(corpus.rows("SELECT * FROM documents WHERE content_hash LIKE '%another text%'")) == 1
            add(store, manager, 0, "another text of it\nin two lines")
            add(store, manager, 1, "back again")
            manager.save("default")
        assert indexes_equal_sql(corpus), f"step {nth}"
        shutil.rmtree(corpus.folder)
    assert 20 < nth < 199, "the loop came to its end"
    assert failed >= 10


def test_d3_every_write_of_sqlite_may_fail(tmp_path: Path) -> None:
    """A file that may not grow beyond N bytes makes the kernel refuse the write that does: a real I/O error."""
    intact = make_corpus(tmp_path / "intact")
    before = state(intact)

    def write(corpus: Corpus, limit: int, say: Say) -> None:
        with corpus.opened() as database:
            store = SqlDocumentStore(database)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                put(store, make_document("big.txt", "\n".join(f"line {n} of a large one {n}" for n in range(40))))
                say("stored")
            except StorageError as error:
                say(error.code)
            assert len(store.list_documents()) in (6, 7), "reading goes on"
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            put(store, make_document("after.txt", "after the disk came back"))
            say("recovered")

    outcomes = []
    for step in range(1, 40):
        corpus = intact.copied(tmp_path / f"{step}")
        ended = Child(partial(write, corpus, step * 8192)).end()
        assert ended.status == 0
        outcomes.append(ended.said)
        assert ended.said[-1] == "recovered"
        stored = ended.said[0] == "stored"
        extra = corpus.rows("SELECT source FROM documents WHERE source IN ('big.txt', 'after.txt')")
        assert sorted(extra) == ([("after.txt",), ("big.txt",)] if stored else [("after.txt",)])
        assert set(before) <= set(state(corpus))
        assert corpus.rows("PRAGMA integrity_check") == [("ok",)]
        shutil.rmtree(corpus.folder)
    assert {said[0] for said in outcomes} == {"storage_unavailable", "stored"}


# -- D4 ----------------------------------------------------------------------------------------------------------------


def test_d4_a_full_disk_refuses_writes_by_its_code_and_reading_goes_on(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "data")
    with corpus.manager() as (store, manager):
        reader = manager.reader("default")
        before = state(corpus)
        failpoints.arm("write.commit:1+:enospc,snapshot.begun:1+:enospc")
        try:
            for number in range(5):
                with pytest.raises(StorageError, match="full") as caught:
                    put(store, make_document("0.txt", f"version {number}"))
                assert (caught.value.code, problem_of(caught.value).status) == ("storage_full", 507)
                manager.save("default")  # a snapshot that has no room is a line in the log
                assert len(store.list_documents()) == 6
                assert reader.lexical.search("line", 3)
        finally:
            failpoints.disarm()
        assert state(corpus) == before
        add(store, manager, 7)
        manager.save("default")
    assert indexes_equal_sql(corpus)


@pytest.mark.nightly
def test_d4_a_real_full_disk_of_64_megabytes(tmp_path: Path) -> None:
    """On a file system of its own: fill it, meet `storage_full`, search, delete, make room, write; no restart."""

    def fill(say: Say) -> None:
        folder = tmp_path / "small"
        folder.mkdir()
        _mount_small(folder, 64 << 20)
        corpus = Corpus(folder / "data")
        with corpus.manager() as (store, manager):
            store.ensure_collection("default")
            store.check_encoder("default", "e5", DIM, NamedTokens.codec_id)
            ballast = folder / "ballast"
            ballast.write_bytes(bytes(52 << 20))
            stored = 0
            try:
                while True:
                    add(store, manager, stored, "\n".join(f"{WORDS} {stored:03d}-{n:03d}" for n in range(100)))
                    stored += 1
            except StorageError as error:
                say(error.code)
            for _ in range(3):
                assert len(store.list_documents(limit=1000)) == stored
                assert manager.reader("default").lexical.search("x", 3)
                manager.save("default")
            retire(store, manager, make_document("2.txt", "").id)
            ballast.unlink()
            retire(store, manager, make_document("0.txt", "").id)
            add(store, manager, 1, "a small one after there was room")
            manager.save("default")
            assert len(store.list_documents(limit=1000)) == stored - 2
        assert indexes_equal_sql(corpus)
        say(f"{stored}")

    ended = Child(fill).end()
    assert ended.status == 0
    assert ended.said[0] == "storage_full"
    print(f"{ended.said[1]} documents before the disk was full")


def retire(store: SqlDocumentStore, manager: IndexManager, document_id: str) -> None:
    for name, keys in store.delete([document_id]).items():
        manager.retire(name, store.generation(name), keys)


def _mount_small(folder: Path, size: int) -> None:
    """Mount a tmpfs that only this process sees; a user name space stands in for root where we are not."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_user, new_mounts = 0x10000000, 0x00020000
    user, group = os.getuid(), os.getgid()
    if libc.unshare(new_mounts | (new_user if user else 0)) != 0:
        raise OSError(ctypes.get_errno(), "no mount name space")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    private = 1 << 18 | 1 << 14
    libc.mount(b"none", b"/", None, private, None)
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode()) != 0:
        raise OSError(ctypes.get_errno(), "no tmpfs")


# -- D5 ----------------------------------------------------------------------------------------------------------------


def power_losses(folder: Path, count: int, seed: int) -> int:
    """Kill a save at a random step and then take from the index folder what was not forced to the disk.

    What a disk may forget: the bytes of a file written since its last fsync, and names given since the last fsync of
    the directory. How many of the states differed from what a mere kill leaves.
    """
    print(f"seed {seed}")
    rng, torn = random.Random(seed), 0
    intact = make_corpus(folder / "intact")
    steps = [name for name in failpoints.POINTS if name.startswith("snapshot.")]
    for number in range(count):
        corpus = intact.copied(folder / f"{number}")
        point = f"{rng.choice(steps)}:{rng.randint(1, 2)}:kill"
        ended = Child(partial(_save_noting_fsyncs, corpus), point).end()
        torn += _lose_power(corpus.folder / "indexes", _names(intact), set(ended.said), rng)
        assert indexes_equal_sql(corpus), f"state {number}, {point}"
        shutil.rmtree(corpus.folder)
    return torn


def _names(corpus: Corpus) -> set[str]:
    return {path.name for path in (corpus.folder / "indexes").iterdir()}


def _save_noting_fsyncs(corpus: Corpus, say: Say) -> None:
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        fsync(descriptor)
        status = os.fstat(descriptor)
        say(f"{status.st_ino}.{status.st_size}" if not os.path.isdir(f"/proc/self/fd/{descriptor}") else "directory")
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            for name in os.listdir(descriptor):
                say(f"name {name}")

    os.fsync = noting
    with corpus.manager() as (store, manager):
        manager.reader("default")
        add(store, manager, 30)
        manager.save("default")


def _lose_power(folder: Path, old: set[str], forced: set[str], rng: random.Random) -> int:
    torn = 0
    for path in sorted(folder.iterdir()):
        if path.name in old:
            continue
        status = path.stat()
        if f"{status.st_ino}.{status.st_size}" not in forced:
            data = bytearray(path.read_bytes())
            for start in range(0, len(data), 512):  # each block is there, or zeroes, or cut off
                if rng.random() < 0.5:
                    data[start : start + 512] = bytes(len(data[start : start + 512]))
            path.write_bytes(data[: rng.randint(0, len(data))])
            torn += 1
        if f"name {path.name}" not in forced and rng.random() < 0.5:
            path.rename(folder / f"1-vector-9-{rng.randbytes(4).hex()}.tmp")
            torn += 1
    return torn


def test_d5_what_a_power_cut_leaves_is_the_last_good_snapshot_or_a_rebuild(tmp_path: Path) -> None:
    assert power_losses(tmp_path, 24, SEED) > 5


@pytest.mark.nightly
@pytest.mark.timeout(1_800)
def test_d5_five_hundred_torn_states(tmp_path: Path) -> None:
    torn = power_losses(tmp_path, 500, SEED + 1)
    print(f"{torn} files or names were lost")
    assert torn > 100


@pytest.mark.parametrize("forgotten", ["file", "directory"])
def test_d5_the_model_notices_an_fsync_that_is_left_out(
    forgotten: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the wrong order of steps the same states are torn where the right order keeps them whole."""
    corpus = make_corpus(tmp_path / "data")
    old = _names(corpus)
    monkeypatch.setattr(
        "service.snapshots._sync", lambda path: None if path.is_dir() == (forgotten == "directory") else _sync(path)
    )
    ended = Child(partial(_save_noting_fsyncs, corpus), "snapshot.recorded:1:kill").end()
    assert _lose_power(corpus.folder / "indexes", old, set(ended.said), random.Random(1)) > 0


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)


# -- D6 ----------------------------------------------------------------------------------------------------------------

_WRITER = """
import sys
from pathlib import Path
from tests.reliability.commit_log import fresh, work
folder = Path(sys.argv[1])
work(fresh(folder), 0, int(sys.argv[2]), lambda line: print(line, flush=True))
"""


@pytest.mark.nightly
def test_d6_each_acknowledged_write_was_forced_to_the_disk_before(tmp_path: Path) -> None:
    """As the kernel saw it: between one acknowledgement and the next the write-ahead log is synced."""
    trace, writes = tmp_path / "trace", 200
    strace = ["strace", "-f", "-y", "-e", "trace=fdatasync,fsync,write", "-s", "80", "-o", str(trace)]
    command = [*strace, sys.executable, "-c", _WRITER, str(tmp_path / "data"), str(writes)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    acknowledged = synced = 0
    forced = False
    for line in trace.read_text(errors="replace").splitlines():
        if ("fdatasync(" in line or "fsync(" in line) and "fovea.db-wal" in line and line.rstrip().endswith("= 0"):
            forced = True
        elif "write(1<" in line and "! " in line:
            acknowledged += 1
            synced += forced
            forced = False
    print(f"{synced} of {acknowledged} acknowledged writes were forced to the disk before")
    assert acknowledged == writes
    assert synced == acknowledged
