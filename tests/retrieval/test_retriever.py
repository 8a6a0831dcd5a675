from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import DomainError
from domain.search import Filters, Query
from fovea.testing import InMemoryStore, make_chunk, make_document
from retrieval.lexical.memory import MemoryLexicalIndex
from retrieval.retriever import HybridRetriever
from retrieval.vector.exact import ExactVectorIndex

TEXTS = {
    "danube.txt": "The Danube flows through Vienna.",
    "graz.txt": "Graz lies on the Mur.",
    "vienna.txt": "Vienna is a city.",
    "danube-zh.txt": "多瑙河流经维也纳。",
}
AXES = np.eye(4, dtype=np.float32)


@dataclass
class Reader:
    vector: ExactVectorIndex
    lexical: MemoryLexicalIndex


class World:
    """A store and the indexes of one collection; document i has the vector of axis i."""

    def __init__(self, texts=TEXTS, metadata=None, vectors=AXES):
        self.store, self.opened, self.keys = CountingStore(), [], {}
        self.store.ensure_collection("default")
        self.reader = Reader(ExactVectorIndex(vectors.shape[1]), MemoryLexicalIndex())
        for (source, text), vector in zip(texts.items(), vectors, strict=False):
            document = make_document(text, source, metadata=(metadata or {}).get(source))
            chunk = make_chunk(document, [text])
            self.keys[source] = chunk.key
            self.store.replace("default", document, [chunk], vector[np.newaxis], [b"tokens"])
            self.reader.vector.add([chunk.key], vector[np.newaxis])
            self.reader.lexical.add([chunk.key], [text])

    def open_reader(self, collection):
        self.opened.append(collection)
        return self.reader

    def retriever(self, **options):
        return HybridRetriever(self.store, self.open_reader, **options)


class CountingStore(InMemoryStore):
    def __init__(self):
        super().__init__()
        self.selects = []

    def get_chunks(self, collection, keys, with_tokens=True):
        self.selects.append(list(keys))
        return super().get_chunks(collection, keys, with_tokens)


def question(text, axis=0, vector=None, **filters):
    return Query(text, AXES[axis] if vector is None else vector, filters=Filters(**filters))


def sources(candidates):
    return [candidate.document.source for candidate in candidates]


def test_what_both_indexes_propose_comes_first():
    found = World().retriever().search(question("Vienna city", axis=2), 4)
    assert sources(found)[:2] == ["vienna.txt", "danube.txt"]
    assert set(sources(found)) == set(TEXTS)


def test_fused_scores_by_hand():
    # Dense: vienna alone, at its depth of one; lexical: vienna, then the longer danube.
    found = World().retriever(dense_k=1).search(question("Vienna", axis=2), 1)
    assert found[0].scores["fused"] == pytest.approx(2 / 61)
    found = World().retriever(dense_k=0).search(question("Vienna", axis=2), 2)
    assert [one.scores["fused"] for one in found] == pytest.approx([1 / 61, 1 / 62])


def test_candidates_come_best_first_and_at_most_k():
    retriever = World().retriever()
    for k in (0, 1, 3, 9):
        found = retriever.search(question("Danube Vienna"), k)
        assert len(found) == min(k, 4)
        assert [one.scores["fused"] for one in found] == sorted((one.scores["fused"] for one in found), reverse=True)


def test_every_candidate_has_its_cosine_and_those_with_a_word_of_the_question_their_bm25():
    world = World()
    lexical = {hit.key: hit.score for hit in world.reader.lexical.search("Graz Vienna", 4)}
    for one in world.retriever(dense_k=1, lexical_k=1).search(question("Graz Vienna", axis=0), 2):
        assert one.scores["dense"] == float(one.document.source == "danube.txt")
        assert one.scores.get("lexical") == lexical.get(one.chunk.key)
    for one in world.retriever().search(question("nowhere"), 4):
        assert one.scores.keys() == {"dense", "fused"}


def test_texts_and_token_vectors_come_in_one_select():
    world = World()
    found = world.retriever().search(question("Danube"), 3)
    assert len(world.store.selects) == 1
    assert [one.stored.token_blob for one in found] == [b"tokens"] * 3
    assert world.retriever(with_tokens=False).search(question("Danube"), 1)[0].stored.token_blob is None


def test_a_chunk_that_the_store_no_longer_has_gives_way_to_the_next():
    world = World()
    first = world.retriever().search(question("Danube Vienna"), 1)[0]
    world.store.delete([first.document.id])
    world.store.selects.clear()
    found = world.retriever().search(question("Danube Vienna"), 3)
    assert len(found) == 3
    assert first.document.source not in sources(found)
    assert len(world.store.selects) == 2


def test_indexes_full_of_removed_chunks_are_searched_deeper_once():
    texts = {f"{number}.txt": f"common text {number}" for number in range(12)}
    world = World(texts, vectors=np.tile(AXES[0], (12, 1)))
    ranked = sources(world.retriever(dense_k=12, lexical_k=12).search(question("common"), 12))
    by_source = {info.source: info.id for info in world.store.list_documents()}
    world.store.delete([by_source[source] for source in ranked[:4]])
    found = world.retriever(dense_k=2, lexical_k=2).search(question("common"), 2)
    assert sources(found) == ranked[4:6]


def test_an_empty_collection_gives_nothing():
    assert World({}).retriever().search(question("Danube"), 5) == []


def test_filters_restrict_both_indexes():
    world = World(metadata={"graz.txt": {"year": 2020}, "vienna.txt": {"year": 2021}})
    retriever = world.retriever()
    assert sources(retriever.search(question("Danube Vienna", metadata={"year": 2020}), 4)) == ["graz.txt"]
    wanted = frozenset(info.id for info in world.store.list_documents() if "danube" in info.source)
    found = retriever.search(question("Vienna", document_ids=wanted), 4)
    assert set(sources(found)) == {"danube.txt", "danube-zh.txt"}


def test_filters_that_nothing_passes_give_nothing_without_a_search():
    world = World()
    assert world.retriever().search(question("Vienna", metadata={"year": 1900}), 4) == []
    assert world.opened == []


def test_the_collection_of_the_filters_is_the_one_that_is_read():
    world = World()
    assert world.retriever().search(question("Vienna", collection="other"), 4) == []
    assert set(world.opened) == {"other"}


def test_one_index_can_be_switched_off():
    world = World()
    words = world.retriever(dense_k=0).search(question("Vienna", axis=1), 4)
    assert set(sources(words)) == {"danube.txt", "vienna.txt"}
    assert all(one.scores.keys() == {"lexical", "fused"} for one in words)
    meaning = world.retriever(lexical_k=0).search(question("Vienna", axis=1), 1)
    assert sources(meaning) == ["graz.txt"]
    assert meaning[0].scores.keys() == {"dense", "fused"}


def test_weights_decide_between_the_indexes():
    world, depths = World(), {"dense_k": 1, "lexical_k": 1}
    query = question("Vienna", axis=1)
    assert sources(world.retriever(**depths, weights=(5.0, 1.0)).search(query, 1)) == ["graz.txt"]
    assert sources(world.retriever(**depths, weights=(1.0, 5.0)).search(query, 1)) == ["vienna.txt"]


@pytest.mark.parametrize("depths", [(0, 0), (-1, 5), (5, -1)])
def test_impossible_depths_are_refused(depths):
    with pytest.raises(DomainError, match="dense_k"):
        World().retriever(dense_k=depths[0], lexical_k=depths[1])


def test_more_candidates_than_the_usual_depth_can_be_asked_for():
    assert len(World().retriever(dense_k=1, lexical_k=1).search(question("Danube"), 4)) == 4


def test_the_terms_of_a_question_come_from_the_collections_lexical_index():
    world = World()
    terms = world.retriever().question_terms("default", "Vienna, 多瑙河?")
    assert [term.span.of("Vienna, 多瑙河?") for term in terms] == ["Vienna", "多瑙", "瑙河"]
    assert terms == world.reader.lexical.terms("Vienna, 多瑙河?")


@settings(deadline=None)
@given(st.sets(st.integers(0, 9)), st.integers(0, 12), st.integers(0, 4), st.integers(1, 4))
def test_only_live_chunks_are_found_and_as_many_as_there_are(gone, k, dense_k, lexical_k):
    texts = {f"{number}.txt": f"common text {number}" for number in range(10)}
    world = World(texts, vectors=np.tile(AXES[0], (10, 1)))
    ids = {info.source: info.id for info in world.store.list_documents()}
    world.store.delete([ids[f"{number}.txt"] for number in gone])
    found = sources(world.retriever(dense_k=dense_k, lexical_k=lexical_k).search(question("common"), k))
    assert len(set(found)) == len(found)
    assert not {f"{number}.txt" for number in gone} & set(found)
    if 4 * max(k, 1) >= 10 or not gone:  # deep enough to see past the removed ones
        assert len(found) == min(k, 10 - len(gone))


def test_l9_copies_are_passed_over_until_there_is_something_else_however_deep_it_lies():
    """Ten documents with one text fill both indexes' first hits; the eleventh is what the question is about."""
    texts = {f"copy{n}.txt": f"The hotline of Northwind is 0900 666 {n} on weekdays only." for n in range(10)}
    texts["honest.txt"] = "Since May customers of Northwind ring another number for help."
    towards = np.array([[1, 0, 0, 0]] * 10 + [[0.8, 0.6, 0, 0]], dtype=np.float32)
    world = World(texts, vectors=towards)
    found = world.retriever(dense_k=4, lexical_k=4).search(question("hotline of Northwind"), 4)
    assert "honest.txt" in sources(found)
    assert len(found) == 8, "three places and four copies on top, then the honest one"
    assert [one.scores["fused"] for one in found] == sorted((one.scores["fused"] for one in found), reverse=True)
    assert all(one.stored.token_blob == b"tokens" and one.scores.keys() >= {"dense", "fused"} for one in found)
