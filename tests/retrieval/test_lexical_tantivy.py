import random
import shutil
import zipfile

import pytest

from retrieval.lexical.analyzer import Analyzer
from retrieval.lexical.archive import pack, unpack
from retrieval.lexical.bm25 import inverse_document_frequency, term_weight
from retrieval.lexical.memory import MemoryLexicalIndex
from retrieval.lexical.tantivy_index import TantivyLexicalIndex

WORDS = [f"word{number}x" for number in range(40)] + ["中国", "长江", "1,577", "state-of-the-art"]


@pytest.fixture
def index(tmp_path):
    made = TantivyLexicalIndex(tmp_path / "work")
    yield made
    made.close()


def random_texts(count, longest, seed):
    """Texts whose words fall off as in real ones, so that frequent and rare terms both occur."""
    choice = random.Random(seed)
    weights = [1 / rank for rank in range(1, len(WORDS) + 1)]
    return [" ".join(choice.choices(WORDS, weights, k=choice.randint(1, longest))) for _ in range(count)]


def rounded(hits):
    return [(hit.key, pytest.approx(hit.score, rel=1e-4)) for hit in hits]


def by_score(hits):
    """Keys in groups of equal scores, for comparing rankings whose scores differ in the last digits."""
    return sorted((round(hit.score, 3), hit.key) for hit in hits)


def test_scores_equal_the_oracles_where_lengths_are_exact(index):
    """tantivy keeps lengths up to 40 terms exactly and rounds longer ones, so these texts stay below."""
    texts = [text for text in random_texts(400, 10, seed=1) if len(Analyzer().index_terms(text)) <= 40]
    oracle = MemoryLexicalIndex()
    for one in (index, oracle):
        one.add(range(len(texts)), texts)
    for question in [*random_texts(30, 5, seed=2), "word1x word1x word3x", "国"]:
        found, expected = index.search(question, len(texts)), oracle.search(question, len(texts))
        assert {hit.key: hit.score for hit in found} == pytest.approx(
            {hit.key: hit.score for hit in expected}, rel=1e-4
        )
        assert index.terms(question) == oracle.terms(question)


def test_the_order_is_by_score_and_then_by_key(index):
    texts = random_texts(500, 4, seed=3)
    keys = random.Random(4).sample(range(10_000), len(texts))
    index.add(keys, texts)
    for k in (1, 5, 40, 500):
        hits = index.search("word0x word1x", k)
        everything = index.search("word0x word1x", 500)
        assert hits == everything[:k]
        assert everything == sorted(everything, key=lambda hit: (-hit.score, hit.key))


def test_long_texts_rank_nearly_as_the_oracle_ranks_them(index):
    texts = random_texts(300, 120, seed=5)
    oracle = MemoryLexicalIndex()
    for one in (index, oracle):
        one.add(range(300), texts)
    for question in random_texts(10, 4, seed=6):
        found, expected = ({hit.key for hit in one.search(question, 50)} for one in (index, oracle))
        assert len(found & expected) >= 45


def test_allowed_gives_the_same_whether_keys_are_intersected_or_hits_sifted(index, monkeypatch):
    index.add(range(800), random_texts(800, 6, seed=7))
    allowed = frozenset(range(0, 800, 3))
    results = []
    for threshold in (0, 10**9):
        monkeypatch.setattr("retrieval.lexical.tantivy_index._SIFTED_HITS", threshold)
        results.append(rounded(index.search("word0x word5x 中国", 20, allowed)))
    assert results[0] == results[1]
    assert len(results[0]) == 20


def test_many_small_writes_give_what_one_large_write_gives(tmp_path):
    texts = random_texts(120, 6, seed=8)
    one, many = (TantivyLexicalIndex(tmp_path / name) for name in ("one", "many"))
    one.add(range(120), texts)
    for start in range(0, 120, 5):
        many.add(range(start, start + 5), texts[start : start + 5])
    for question in random_texts(10, 3, seed=9):
        assert rounded(many.search(question, 15)) == rounded(one.search(question, 15))
    one.close()
    many.close()


def test_the_same_index_saved_twice_gives_the_same_bytes(index, tmp_path):
    index.add([1, 2], ["one text", "another text"])
    index.save(tmp_path / "a")
    index.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_flipped_bit_in_any_member_is_noticed(index, tmp_path):
    index.add(range(50), random_texts(50, 5, seed=10))
    index.save(tmp_path / "saved")
    whole = (tmp_path / "saved").read_bytes()
    with zipfile.ZipFile(tmp_path / "saved") as archive:
        places = [info.header_offset + 30 + len(info.filename) for info in archive.infolist() if info.file_size]
    assert len(places) >= 5
    for at in places:
        (tmp_path / "saved").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="Rebuild the index"):
            index.load(tmp_path / "saved")


def test_an_archive_of_another_analyzer_is_refused(index, tmp_path):
    class Other(Analyzer):
        name = "other-1"

    index.add([1], ["text"])
    index.save(tmp_path / "saved")
    other = TantivyLexicalIndex(tmp_path / "work", Other())
    with pytest.raises(ValueError, match="other-1"):
        other.load(tmp_path / "saved")
    other.close()


@pytest.mark.parametrize("name", ["../escape", "/tmp/escape", "folder/meta.json"])
def test_a_member_that_reaches_elsewhere_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.comment = b"fovea-lexical-1 label"
        archive.writestr(name, b"x")
    with pytest.raises(ValueError, match="does not belong"):
        unpack(tmp_path / "archive", tmp_path / "empty", "label")
    assert not (tmp_path / "escape").exists()


def test_an_archive_without_an_index_is_refused(index, tmp_path):
    (tmp_path / "empty").mkdir()
    pack(tmp_path / "empty", tmp_path / "archive", Analyzer.name)
    with pytest.raises(ValueError, match="holds no index"):
        index.load(tmp_path / "archive")


def test_an_archive_with_damaged_contents_is_refused(index, tmp_path):
    index.add([1], ["text"])
    index.save(tmp_path / "saved")
    with zipfile.ZipFile(tmp_path / "saved") as archive:
        archive.extractall(tmp_path / "files")
    (tmp_path / "files" / "meta.json").write_text("{}")
    pack(tmp_path / "files", tmp_path / "archive", Analyzer.name)
    with pytest.raises(ValueError, match="Rebuild the index"):
        index.load(tmp_path / "archive")
    assert index.search("text", 1)[0].key == 1


def test_closing_and_loading_leave_no_files_behind(tmp_path):
    work = tmp_path / "work"
    index = TantivyLexicalIndex(work)
    index.add([1], ["text"])
    index.save(tmp_path / "saved")
    index.load(tmp_path / "saved")
    with pytest.raises(ValueError, match="cannot be read"):
        index.load(tmp_path / "missing")
    assert len(list(work.iterdir())) == 1
    index.close()
    index.close()
    assert list(work.iterdir()) == []


def test_an_index_that_is_let_go_removes_its_files(tmp_path):
    index = TantivyLexicalIndex(tmp_path / "work")
    index.add([1], ["text"])
    del index
    assert list((tmp_path / "work").iterdir()) == []


def test_a_search_survives_a_load_that_removes_the_files_under_it(index, tmp_path):
    index.add(range(100), random_texts(100, 5, seed=11))
    index.save(tmp_path / "saved")
    before = index._current
    index.load(tmp_path / "saved")
    assert not before.directory.exists()
    assert before.searcher.search(before.any_of({"word0x": 1}), 100).hits


def test_a_failed_write_changes_nothing_and_the_next_one_works(index, monkeypatch):
    index.add([1], ["alpha"])
    with pytest.raises(Exception, match="64 bits"):
        index.add([2, 2**63], ["beta", "gamma"])
    with pytest.raises(Exception, match="64 bits"):
        index.remove([1, 2**64])
    assert len(index) == 1
    index.add([2], ["beta"])
    assert [hit.key for hit in index.search("beta alpha", 5)] == [1, 2]


def test_idf_and_weight_by_hand():
    assert inverse_document_frequency(3, 3) == pytest.approx(0.133531, abs=1e-6)  # log(1 + .5 / 3.5)
    assert inverse_document_frequency(3, 9) == pytest.approx(0.051293, abs=1e-6)  # never below 0: log(1 + .5 / 9.5)
    assert term_weight(2, length=3, average_length=2.0) == pytest.approx(2 * 2.2 / (2 + 1.2 * 1.375))


def test_work_dir_is_made_when_it_is_missing(tmp_path):
    index = TantivyLexicalIndex(tmp_path / "a" / "b")
    index.close()
    shutil.rmtree(tmp_path / "a")
