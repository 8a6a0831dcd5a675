"""D8, D9: indexes made anew from the database alone, and answers that stay the same through it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert

from domain.documents import chunk_key
from domain.search import Hit
from retrieval.lexical.tantivy_index import TantivyLexicalIndex
from retrieval.vector.exact import ExactVectorIndex
from retrieval.vector.faiss_index import FaissVectorIndex
from service.indexes import IndexManager
from service.storage.database import Database, open_database
from service.storage.documents import SqlDocumentStore
from service.storage.rows import document_row, now, pack_sentences
from service.storage.snapshots import SqlSnapshotManifest
from service.storage.tables import chunks, collections, documents
from tests.service.storage_examples import make_document

WORDS = "lease rent tenant harbour permit revenue segment 租金 合同 季度 报告 码头".split()
MakeManager = Callable[[], IndexManager]


def fill(database: Database, count: int, dim: int, per_document: int = 200) -> None:
    """Write chunks as `replace` does, many documents a transaction: what is measured is reading them back."""
    rng = np.random.default_rng(5)
    store = SqlDocumentStore(database)
    store.ensure_collection("default")
    store.check_encoder("default", "e5", dim, "none")
    with database.write() as connection:
        for number in range(count // per_document):
            texts = [" ".join(rng.choice(WORDS, 12)) + f" n{number}x{n}" for n in range(per_document)]
            body = "\n".join(texts)
            document = make_document(f"{number}", body)
            place = {"tenant_id": "local", "id": document.id, "collection_id": 1, "created_at": now()}
            row = document_row(document, per_document) | place
            key = connection.execute(insert(documents).values(row).returning(documents.c.number)).scalar_one()
            vectors = rng.standard_normal((per_document, dim)).astype("<f4")
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            connection.execute(insert(chunks), list(_rows(document.id, key, number + 1, texts, vectors)))
        connection.execute(collections.update().values(generation=count // per_document))


def _rows(
    document_id: str, number: int, generation: int, texts: list[str], vectors: np.ndarray
) -> list[dict[str, object]]:
    rows, start = [], 0
    for ordinal, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
        name = f"{document_id}-{ordinal}"
        rows.append(
            {
                "collection_id": 1,
                "key": chunk_key(name),
                "id": name,
                "document_number": number,
                "generation": generation,
                "ordinal": ordinal,
                "start": start,
                "end": start + len(text),
                "token_count": 13,
                "sentences": pack_sentences(()),
                "heading_path": "[]",
                "header_text": "",
                "pages": "[]",
                "vector": vector.tobytes(),
                "text": text,
            }
        )
        start += len(text) + 1
    return rows


def managers(database: Database, folder: Path) -> MakeManager:
    store, manifest = SqlDocumentStore(database), SqlSnapshotManifest(database)
    work = folder / "work"
    return lambda: IndexManager(
        store, manifest, folder / "indexes", FaissVectorIndex, lambda: TantivyLexicalIndex(work_dir=work)
    )


def answers(manager: IndexManager, dim: int, questions: int) -> list[list[Hit]]:
    """Top 10 of both indexes for as many questions each."""
    rng, reader = np.random.default_rng(6), manager.reader("default")
    dense = [reader.vector.search(_unit(rng.standard_normal(dim)), 10) for _ in range(questions)]
    return dense + [
        reader.lexical.search(f"{rng.choice(WORDS)} {rng.choice(WORDS)} n{n}x{n}", 10) for n in range(questions)
    ]


def _unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def rebuilt(folder: Path, count: int, dim: int, questions: int) -> float:
    """Compare answers before and after the index directory is lost; seconds that the rebuild took.

    No encoder exists here: what is built comes from the database or not at all.
    """
    database = open_database(f"sqlite:///{folder / 'fovea.db'}")
    fill(database, count, dim)
    make = managers(database, folder)
    first = make()
    before = answers(first, dim, questions)
    first.close()
    second = make()
    assert answers(second, dim, questions) == before, "after a restart"
    second.close()
    shutil.rmtree(folder / "indexes")
    started = time.perf_counter()
    third = make()
    third.reader("default")
    seconds = time.perf_counter() - started
    assert answers(third, dim, questions) == before, "after a rebuild"
    assert len(third.reader("default").vector) == len(third.reader("default").lexical) == count
    third.close()
    database.close()
    return seconds


def test_d8_lost_indexes_are_rebuilt_from_the_database_and_answer_as_before(tmp_path: Path) -> None:
    rebuilt(tmp_path, 2_000, 32, 30)


@pytest.mark.nightly
@pytest.mark.timeout(1_800)
def test_d8_a_hundred_thousand_chunks_are_rebuilt(tmp_path: Path) -> None:
    print(f"100,000 chunks of 384 dimensions rebuilt in {rebuilt(tmp_path, 100_000, 384, 200):.1f} s")


def test_d9_answers_after_deletions_and_compaction_are_those_of_brute_force(tmp_path: Path) -> None:
    """A thousand of two thousand chunks deleted: the segments are dissolved and made anew."""
    database = open_database(f"sqlite:///{tmp_path / 'fovea.db'}")
    fill(database, 2_000, 32, per_document=50)
    store = SqlDocumentStore(database)
    make = managers(database, tmp_path)
    manager = make()
    manager.reader("default")
    for info in store.list_documents(limit=40)[::2]:
        for name, keys in store.delete([info.id]).items():
            manager.retire(name, store.generation(name), keys)
    oracle = ExactVectorIndex(32)
    for keys, vectors in store.iter_vectors("default"):
        oracle.add(keys, vectors)
    assert len(oracle) == 1_000
    rng = np.random.default_rng(8)
    queries = [_unit(rng.standard_normal(32)) for _ in range(50)]
    for current in (manager, _saved_and_restarted(manager, make)):
        for query in queries:
            found, expected = current.reader("default").vector.search(query, 10), oracle.search(query, 10)
            assert [hit.key for hit in found] == [hit.key for hit in expected]
    database.close()


def _saved_and_restarted(manager: IndexManager, make: MakeManager) -> IndexManager:
    manager.save("default")
    return make()
