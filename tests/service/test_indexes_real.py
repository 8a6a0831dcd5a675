"""The index manager over the indexes that ship: FAISS and tantivy on snapshots, damage, restarts and rebuilds."""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from domain.protocols import IndexReader
from domain.search import Hit
from retrieval.lexical.tantivy_index import TantivyLexicalIndex
from retrieval.vector.exact import ExactVectorIndex
from retrieval.vector.faiss_index import FaissVectorIndex
from service.indexed_text import indexed_text
from service.indexes import IndexManager
from service.storage.database import Database
from service.storage.documents import SqlDocumentStore
from service.storage.snapshots import SqlSnapshotManifest
from tests.service.storage_examples import DIM, make_chunks, make_document, put, unit_vector

_WORDS = "lease rent tenant 租金 合同 capital expenditure revenue segment 季度 报告".split()


@pytest.fixture
def store(sqlite_store: SqlDocumentStore) -> SqlDocumentStore:
    """Thirty documents of four chunks in both languages."""
    sqlite_store.check_encoder("default", "e5", DIM, "int8")
    rng = random.Random(0)
    for number in range(30):
        lines = [" ".join(rng.choices(_WORDS, k=8)) + f" {number} {line}" for line in range(4)]
        put(sqlite_store, make_document(f"{number}", "\n".join(lines)))
    return sqlite_store


@pytest.fixture
def make_manager(store: SqlDocumentStore, sqlite_database: Database, tmp_path: Path) -> Callable[[], IndexManager]:
    work = tmp_path / "work"
    return lambda: IndexManager(
        store,
        SqlSnapshotManifest(sqlite_database),
        tmp_path / "indexes",
        FaissVectorIndex,
        lambda: TantivyLexicalIndex(work_dir=work),
    )


def answers(reader: IndexReader) -> list[list[Hit]]:
    """Top-10 lists of both indexes for twenty questions."""
    dense = [reader.vector.search(unit_vector(f"question {n}"), 10) for n in range(10)]
    return dense + [reader.lexical.search(f"{first} {second}", 10) for first, second in pairwise(_WORDS)]


def keys_of(lists: list[list[Hit]]) -> set[int]:
    return {hit.key for hits in lists for hit in hits}


def test_dense_answers_are_those_of_brute_force_over_sql(
    store: SqlDocumentStore, make_manager: Callable[[], IndexManager]
) -> None:
    oracle = ExactVectorIndex(DIM)
    for keys, vectors in store.iter_vectors("default"):
        oracle.add(keys, vectors)
    reader = make_manager().reader("default")
    for number in range(20):
        query = unit_vector(f"question {number}")
        found, expected = reader.vector.search(query, 10), oracle.search(query, 10)
        assert [hit.key for hit in found] == [hit.key for hit in expected]
        np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in expected], atol=1e-6)


def test_d8_d9_a_restart_and_a_rebuild_answer_as_before(
    make_manager: Callable[[], IndexManager], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = make_manager()
    before = answers(first.reader("default"))
    assert len(keys_of(before)) > 50
    first.close()
    with caplog.at_level(logging.WARNING):
        assert answers(make_manager().reader("default")) == before
    assert caplog.records == []
    shutil.rmtree(tmp_path / "indexes")
    assert answers(make_manager().reader("default")) == before


@pytest.mark.parametrize("seed", range(12))
def test_d7_damage_of_any_kind_is_detected(
    make_manager: Callable[[], IndexManager], tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    first = make_manager()
    before = answers(first.reader("default"))
    first.close()
    rng = random.Random(seed)
    victim = rng.choice(sorted((tmp_path / "indexes").iterdir()))
    data = bytearray(victim.read_bytes())
    match seed % 3:
        case 0:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 1:
            del data[rng.randrange(len(data)) :]
        case _:
            data += rng.randbytes(16)
    victim.write_bytes(data)

    assert answers(make_manager().reader("default")) == before

    assert [victim.name in record.getMessage() for record in caplog.records] == [True]
    aside = victim.with_name(f"{victim.name}.corrupt-1")
    assert aside.read_bytes() == bytes(data)
    assert not victim.exists()


def test_d12_deleted_chunks_never_come_back(store: SqlDocumentStore, make_manager: Callable[[], IndexManager]) -> None:
    manager = make_manager()
    manager.rebuild("default")
    victims = [info.id for info in store.list_documents(limit=20)]
    gone: set[int] = set()
    for collection, keys in store.delete(victims).items():
        manager.retire(collection, store.generation(collection), keys)
        gone.update(keys)
    assert len(gone) == 80
    for current in (manager, make_manager()):
        assert not keys_of(answers(current.reader("default"))) & gone
        assert len(current.reader("default").vector) == len(current.reader("default").lexical) == 40
    manager.close()
    after_save = make_manager().reader("default")
    assert len(after_save.vector) == len(after_save.lexical) == 40


def test_c3_a_committed_document_is_found_in_both_languages(
    store: SqlDocumentStore, make_manager: Callable[[], IndexManager]
) -> None:
    manager = make_manager()
    manager.reader("default")
    document = make_document("new", "zebra crossings\n斑马线规定")
    generation, retired = put(store, document)
    chunks = make_chunks(document)
    manager.apply(
        "default",
        generation,
        [chunk.key for chunk in chunks],
        np.stack([unit_vector(chunk.text) for chunk in chunks]),
        [indexed_text(chunk, document.title) for chunk in chunks],
        retired,
    )
    reader = manager.reader("default")
    assert reader.lexical.search("zebra", 3)[0].key == chunks[0].key
    assert reader.lexical.search("斑马线", 3)[0].key == chunks[1].key
    assert reader.vector.search(unit_vector("斑马线规定"), 1)[0].key == chunks[1].key


def test_closing_removes_the_working_files(make_manager: Callable[[], IndexManager], tmp_path: Path) -> None:
    manager = make_manager()
    manager.reader("default")
    assert list((tmp_path / "work").iterdir())
    manager.close()
    assert list((tmp_path / "work").iterdir()) == []
