"""D19: what `fovea verify` finds, that it finds nothing else, that it changes nothing, and what a repair leaves."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from domain.maintenance import VerifyReport
from domain.search import DEFAULT_TENANT
from retrieval.vector.exact import ExactVectorIndex
from service.maintenance.verify import Verifier
from service.snapshots import SnapshotKeeper
from service.storage.repairs import LOST
from service.storage.snapshots import SqlSnapshotManifest
from tests.reliability.stored_corpus import LINES, Corpus, NamedTokens, indexes_equal_sql, make_corpus
from tests.service.storage_examples import DIM, unit_vector

Damage = Callable[[Corpus, random.Random], Counter[str]]


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("intact") / "data")


def verify(corpus: Corpus, repair: bool = False) -> VerifyReport:
    with corpus.opened() as database:
        folder = corpus.folder / "indexes"
        verifier = Verifier(database, lambda tenant: folder, {NamedTokens.codec_id: NamedTokens()})
        return verifier.repair() if repair else verifier.look()


def one_chunk(corpus: Corpus, rng: random.Random) -> tuple[int, int]:
    """(key, number of its document)"""
    return rng.choice(corpus.rows("SELECT key, document_number FROM chunks ORDER BY key"))


def one_document(corpus: Corpus, rng: random.Random) -> int:
    return rng.choice(corpus.rows("SELECT number FROM documents ORDER BY number"))[0]


def one_file(corpus: Corpus, rng: random.Random, kind: str = "*") -> Path:
    return rng.choice(sorted((corpus.folder / "indexes").glob(f"*-{kind}-*")))


def holding(corpus: Corpus, generation: int) -> int:
    """How many vector snapshots hold what was written by `generation`."""
    return len(corpus.rows("SELECT 1 FROM index_snapshots WHERE kind = 'vector' AND generation >= ?", generation))


def generation_of(corpus: Corpus, key: int) -> int:
    return corpus.rows("SELECT generation FROM chunks WHERE key = ?", key)[0][0]


# -- the kinds, each as a fault would leave it; what must be found for it ---------------------------------------------


def orphan_chunks(corpus: Corpus, rng: random.Random) -> Counter[str]:
    number = one_document(corpus, rng)
    with corpus.raw() as connection:
        connection.execute("DELETE FROM documents WHERE number = ?", (number,))
    return Counter(orphan_chunk=LINES, orphan_row=1)  # the row is the document's entry for filters


def missing_chunks(corpus: Corpus, rng: random.Random) -> Counter[str]:
    key, _ = one_chunk(corpus, rng)
    snapshots = holding(corpus, generation_of(corpus, key))
    with corpus.raw() as connection:
        connection.execute("DELETE FROM chunks WHERE key = ?", (key,))
    return Counter(missing_chunks=1, wrong_vectors=snapshots)


def wrong_count(corpus: Corpus, rng: random.Random) -> Counter[str]:
    column, change = rng.choice([("chunk_count", -rng.randint(1, LINES)), ("characters", rng.randint(1, 9))])
    with corpus.raw() as connection:
        statement = f"UPDATE documents SET {column} = {column} + ? WHERE number = ?"
        connection.execute(statement, (change, one_document(corpus, rng)))
    return Counter(wrong_count=1)


def dangling_blob(corpus: Corpus, rng: random.Random) -> Counter[str]:
    with corpus.raw() as connection:
        connection.execute("INSERT INTO job_blobs VALUES (?, ?)", (rng.randint(100, 10**6), rng.randbytes(20)))
    return Counter(dangling_blob=1)


def dead_and_alive(corpus: Corpus, rng: random.Random) -> Counter[str]:
    key, _ = one_chunk(corpus, rng)
    with corpus.raw() as connection:
        connection.execute(
            "INSERT INTO tombstones SELECT collection_id, key, generation FROM chunks WHERE key=?", (key,)
        )
    return Counter(dead_and_alive=1)


def bad_vector(corpus: Corpus, rng: random.Random) -> Counter[str]:
    key, _ = one_chunk(corpus, rng)
    vector = unit_vector("another").copy()
    vector[rng.randrange(DIM)] = rng.choice([np.nan, np.inf, 3.0])
    blob = rng.choice([vector.astype("<f4").tobytes(), bytes(4 * DIM), b"", bytes(4 * DIM - 1)])
    snapshots = holding(corpus, generation_of(corpus, key))
    with corpus.raw() as connection:
        connection.execute("UPDATE chunks SET vector = ? WHERE key = ?", (blob, key))
    return Counter(bad_vector=1, wrong_vectors=snapshots)


def bad_tokens(corpus: Corpus, rng: random.Random) -> Counter[str]:
    with corpus.raw() as connection:
        connection.execute("UPDATE chunks SET tokens = ? WHERE key = ?", (rng.randbytes(9), one_chunk(corpus, rng)[0]))
    return Counter(bad_tokens=1)


def wrong_text(corpus: Corpus, rng: random.Random) -> Counter[str]:
    with corpus.raw() as connection:
        place = f"{rng.randint(1, 9)}"
        statement = (
            f"UPDATE chunks SET text = substr(text, 1, {place}) || '#' || substr(text, {place} + 2) WHERE key = ?"
        )
        connection.execute(statement, (one_chunk(corpus, rng)[0],))
    return Counter(wrong_text=1)


def wrong_digest(corpus: Corpus, rng: random.Random) -> Counter[str]:
    with corpus.raw() as connection:
        connection.execute(
            "UPDATE documents SET source_hash = ? WHERE number = ?",
            (rng.randbytes(32).hex(), one_document(corpus, rng)),
        )
    return Counter(wrong_hash=1)


def wrong_key(corpus: Corpus, rng: random.Random) -> Counter[str]:
    key, _ = one_chunk(corpus, rng)
    snapshots = holding(corpus, generation_of(corpus, key))
    with corpus.raw() as connection:
        connection.execute("UPDATE chunks SET key = ? WHERE key = ?", (rng.randrange(2**62), key))
    return Counter(wrong_hash=1, wrong_vectors=snapshots)


def wrong_metadata(corpus: Corpus, rng: random.Random) -> Counter[str]:
    with corpus.raw() as connection:
        connection.execute("DELETE FROM document_metadata WHERE document_number = ?", (one_document(corpus, rng),))
    return Counter(wrong_metadata=1)


def unreadable_row(corpus: Corpus, rng: random.Random) -> Counter[str]:
    table, column, key = rng.choice(
        [("documents", "pages", "number"), ("documents", "metadata", "number"), ("chunks", "heading_path", "key")]
    )
    victim = one_document(corpus, rng) if table == "documents" else one_chunk(corpus, rng)[0]
    with corpus.raw() as connection:
        connection.execute(f"UPDATE {table} SET {column} = '[1' WHERE {key} = ?", (victim,))
    return Counter(unreadable_row=1)


def wrong_generation(corpus: Corpus, rng: random.Random) -> Counter[str]:
    with corpus.raw() as connection:
        connection.execute("DELETE FROM index_snapshots")  # a restored copy has none of a later time either
        connection.execute("UPDATE collections SET generation = ?", (rng.randint(0, 3),))
    names = [path.name for path in (corpus.folder / "indexes").iterdir()]
    return Counter(wrong_generation=1, file_without_row=len(names))


def orphan_row(corpus: Corpus, rng: random.Random) -> Counter[str]:
    with corpus.raw() as connection:
        connection.execute("INSERT INTO tombstones VALUES (?, ?, 1)", (rng.randint(50, 99), rng.randrange(2**62)))
    return Counter(orphan_row=1)


def row_without_file(corpus: Corpus, rng: random.Random) -> Counter[str]:
    one_file(corpus, rng).unlink()
    return Counter(row_without_file=1)


def file_without_row(corpus: Corpus, rng: random.Random) -> Counter[str]:
    with corpus.raw() as connection:
        (number,) = rng.choice(connection.execute("SELECT id FROM index_snapshots").fetchall())
        connection.execute("DELETE FROM index_snapshots WHERE id = ?", (number,))
    return Counter(file_without_row=1)


def wrong_file(corpus: Corpus, rng: random.Random) -> Counter[str]:
    path = one_file(corpus, rng)
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data + rng.choice([b"", b"more"]))
    return Counter(wrong_hash=1)


def leftover_file(corpus: Corpus, rng: random.Random) -> Counter[str]:
    (corpus.folder / "indexes" / f"1-vector-{rng.randint(1, 9)}-{rng.randbytes(4).hex()}.tmp").write_bytes(b"half")
    return Counter(leftover_file=1)


def orphan_vector(corpus: Corpus, rng: random.Random) -> Counter[str]:
    """A snapshot with a sound checksum that holds a vector too many or one too few: what a bug would leave."""
    with corpus.manager() as (store, _), corpus.opened() as database:
        index = ExactVectorIndex(DIM)
        for keys, vectors in store.iter_vectors("default"):
            index.add(keys, vectors)
        if rng.random() < 0.5:
            index.add([rng.randrange(2**62)], unit_vector("nobody's")[None])
        else:
            index.remove([one_chunk(corpus, rng)[0]])
        keeper = SnapshotKeeper(corpus.folder / "indexes", SqlSnapshotManifest(database))
        keeper.save(1, "vector", store.generation("default"), index)
    return Counter(wrong_vectors=1)


# The eight kinds that any store must know; the rest are of ours.
NAMED = (
    orphan_chunks,
    missing_chunks,
    wrong_count,
    dangling_blob,
    dead_and_alive,
    bad_vector,
    row_without_file,
    file_without_row,
)
DAMAGES: tuple[Damage, ...] = (
    orphan_chunks,
    missing_chunks,
    wrong_count,
    dangling_blob,
    dead_and_alive,
    bad_vector,
    bad_tokens,
    wrong_text,
    wrong_digest,
    wrong_key,
    wrong_metadata,
    unreadable_row,
    wrong_generation,
    orphan_row,
    row_without_file,
    file_without_row,
    wrong_file,
    leftover_file,
    orphan_vector,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_d19_each_kind_of_damage_is_found_alone_and_repaired(damage: Damage, intact: Corpus, tmp_path: Path) -> None:
    found_alone_and_repaired(damage, intact, tmp_path, 10 if damage in NAMED else 3)


@pytest.mark.nightly
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_d19_each_kind_of_damage_a_hundred_times(damage: Damage, intact: Corpus, tmp_path: Path) -> None:
    found_alone_and_repaired(damage, intact, tmp_path, 100)


def found_alone_and_repaired(damage: Damage, intact: Corpus, tmp_path: Path, seeds: int) -> None:
    for seed in range(seeds):
        corpus = intact.copied(tmp_path / f"{seed}")
        expected = +damage(corpus, random.Random(seed))
        before = corpus.dump()

        report = verify(corpus)
        assert Counter(item.kind for item in report.findings) == expected, f"seed {seed}: {report.findings}"
        assert corpus.dump() == before, "looking changes nothing"

        repaired = verify(corpus, repair=True)
        assert repaired.left == (), f"seed {seed}"
        # What a repair of rows settles on its way is not found among the files any more.
        found = Counter(item.kind for item in repaired.findings)
        assert all(found[kind] >= count for kind, count in expected.items() if kind != "wrong_vectors"), f"seed {seed}"
        assert verify(corpus).findings == (), f"seed {seed}"
        assert indexes_equal_sql(corpus), f"seed {seed}"


def test_d19_nothing_is_found_where_nothing_is_wrong(intact: Corpus) -> None:
    report = verify(intact)
    assert report.findings == ()
    assert report.unchecked == ()
    assert report.checked == {"collections": 1, "documents": 6, "chunks": 24, "snapshots": 4}


def test_d19_what_a_repair_takes_out_is_read_again_and_the_rest_stays(intact: Corpus, tmp_path: Path) -> None:
    corpus = intact.copied(tmp_path / "data")
    rows = corpus.rows("SELECT key, document_number FROM chunks ORDER BY document_number, ordinal")
    (lost, number), kept = rows[0], rows[1:]
    with corpus.raw() as connection:
        connection.execute("UPDATE chunks SET vector = ? WHERE key = ?", (bytes(4 * DIM), lost))

    verify(corpus, repair=True)

    assert corpus.rows("SELECT key, document_number FROM chunks ORDER BY document_number, ordinal") == kept
    state = corpus.rows("SELECT content_hash, chunk_count, error_code, status FROM documents WHERE number = ?", number)
    assert state == [("", LINES - 1, LOST, "indexed")]
    assert corpus.rows("SELECT key FROM tombstones") == [(lost,)]
    others = corpus.rows("SELECT count(*) FROM documents WHERE error_code IS NULL AND content_hash <> ''")
    assert others == [(5,)]


def test_d19_a_repaired_text_is_the_documents_own(intact: Corpus, tmp_path: Path) -> None:
    corpus = intact.copied(tmp_path / "data")
    with corpus.raw() as connection:
        connection.execute("UPDATE chunks SET text = 'forged'")
    assert Counter(item.kind for item in verify(corpus, repair=True).findings) == Counter(wrong_text=24)
    assert corpus.rows("SELECT text FROM chunks ORDER BY key") == intact.rows("SELECT text FROM chunks ORDER BY key")


def test_d19_a_damaged_page_is_reported_and_never_called_repaired(intact: Corpus, tmp_path: Path) -> None:
    corpus = intact.copied(tmp_path / "data")
    data = bytearray(corpus.file.read_bytes())
    first_id = f"{DEFAULT_TENANT}doc-".encode()
    data[data.index(first_id) + len(first_id)] ^= 1  # an id in a table or in its index: they differ now
    corpus.file.write_bytes(data)
    report = verify(corpus, repair=True)
    assert {item.kind for item in report.left} == {"damaged_database"}
    assert all(item.repair is None for item in report.left)


def test_token_vectors_of_an_unknown_codec_are_said_to_be_unchecked(intact: Corpus) -> None:
    with intact.opened() as database:
        report = Verifier(database, lambda tenant: intact.folder / "indexes", {}).look()
    assert report.findings == ()
    assert len(report.unchecked) == 1
    assert "'named'" in report.unchecked[0]
