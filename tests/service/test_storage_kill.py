"""What an acknowledged write is worth when a process is killed: documents, indexes and jobs together (D1, C9 in small).

Here each process is a fresh one; `tests/reliability/test_durability_kills.py` kills by the hundred.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from domain.search import Filters
from service.indexes import IndexManager
from service.storage.database import open_database
from service.storage.documents import SqlDocumentStore
from service.storage.jobs import SqlJobQueue
from service.storage.lock import DataDirectoryLock
from service.storage.snapshots import SqlSnapshotManifest
from tests.service.storage_examples import ListLexicalIndex, ListVectorIndex, make_chunks, make_document

_WORKER = """
import sys, pathlib
sys.path.insert(0, sys.argv[2])
import numpy as np
from service.indexed_text import indexed_text
from service.indexes import IndexManager
from service.storage.database import open_database
from service.storage.documents import SqlDocumentStore
from service.storage.jobs import SqlJobQueue
from service.storage.lock import DataDirectoryLock
from service.storage.snapshots import SqlSnapshotManifest
from tests.service.storage_examples import (
    DIM, ListLexicalIndex, ListVectorIndex, enqueued, make_chunks, make_document, unit_vector
)

folder, first = pathlib.Path(sys.argv[1]), int(sys.argv[3])
lock = DataDirectoryLock(folder)
lock.acquire()
database = open_database(f"sqlite:///{folder / 'fovea.db'}")
store, queue = SqlDocumentStore(database), SqlJobQueue(database)
manager = IndexManager(store, SqlSnapshotManifest(database), folder / "indexes", ListVectorIndex, ListLexicalIndex)
store.ensure_collection("default")
store.check_encoder("default", "hash", DIM, "raw")
for number in range(first, first + 10_000):
    text = "\\n".join(f"line {number} {line}" for line in range(6))
    document = make_document(f"{number % 40}", text)  # replaces older ones all the time
    chunks = make_chunks(document)
    vectors = np.stack([unit_vector(chunk.text) for chunk in chunks])
    generation, retired = store.replace("default", document, chunks, vectors, [b"x" * 20_000] * 6)
    texts = [indexed_text(chunk, document.title) for chunk in chunks]
    manager.apply("default", generation, [chunk.key for chunk in chunks], vectors, texts, retired)
    job = enqueued(queue, "ingest", {"number": number}, b"bytes")
    print(number, job.id, flush=True)
    if number % 3 == 0:
        manager.save("default")
"""


def test_d1_nothing_acknowledged_is_lost_and_nothing_is_half_there(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    rng = random.Random(7)
    newest: dict[str, int] = {}
    job_ids: list[str] = []
    first = 0
    for _ in range(4):
        worker = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(tmp_path), str(root), str(first)], stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        acknowledged = [worker.stdout.readline()]
        time.sleep(rng.uniform(0, 0.3))
        worker.kill()
        acknowledged += worker.stdout.readlines()
        worker.wait()
        worker.stdout.close()
        for line in acknowledged:
            if line.endswith("\n"):
                number, job = line.split()
                newest[f"{int(number) % 40}"] = first = int(number)
                job_ids.append(job)
        first += 1

        with DataDirectoryLock(tmp_path, wait_seconds=0):
            _check(tmp_path, newest, job_ids)
    assert len(newest) > 4


def _check(folder: Path, newest: dict[str, int], job_ids: list[str]) -> None:
    database = open_database(f"sqlite:///{folder / 'fovea.db'}")
    store, queue = SqlDocumentStore(database), SqlJobQueue(database)
    manager = IndexManager(store, SqlSnapshotManifest(database), folder / "indexes", ListVectorIndex, ListLexicalIndex)
    keys: set[int] = set()
    for info in store.list_documents(limit=1000):
        document = store.get_document(info.id)
        number = int(document.text.split()[1])
        # The version that was acknowledged, or one that was committed just before the kill.
        assert number >= newest.get(info.source, 0)
        assert document.text == "\n".join(f"line {number} {line}" for line in range(6))
        chunks = make_chunks(make_document(info.source, document.text))
        stored = store.get_chunks("default", [chunk.key for chunk in chunks])
        assert [item.chunk for item in stored.values()] == list(chunks)
        assert {item.token_blob for item in stored.values()} == {b"x" * 20_000}
        keys |= {chunk.key for chunk in chunks}
    assert store.keys_matching(Filters()) == keys
    assert {info.source for info in store.list_documents(limit=1000)} >= set(newest)
    reader = manager.reader("default")
    assert isinstance(reader.vector, ListVectorIndex)
    assert isinstance(reader.lexical, ListLexicalIndex)
    assert set(reader.vector.rows) == set(reader.lexical.texts) == keys
    assert all(queue.get(job).kind == "ingest" for job in job_ids)
    database.close()
