"""The doubles keep the promises that the suites check of real parts."""

import threading

import numpy as np
import pytest

from domain.errors import DomainError, IndexModelMismatch, LoadError, NotFound, UsageError
from domain.jobs import ErrorInfo
from domain.search import Filters
from fovea.testing import (
    FunctionGenerator,
    GeneratorSuite,
    InMemoryStore,
    PassThroughReranker,
    RerankerSuite,
    make_chunk,
    make_context,
    make_document,
)


class TestPassThroughReranker(RerankerSuite):
    def make_reranker(self):
        return PassThroughReranker()

    def test_the_order_is_kept(self):
        candidates = self.candidates()[::-1]
        scored = self.make_reranker().rerank(self.query(), candidates)
        assert [one.chunk.id for one in scored] == [one.chunk.id for one in candidates]
        assert [one.score for one in scored] == pytest.approx([1, 1 / 2, 1 / 3])


class TestFunctionGenerator(GeneratorSuite):
    def make_generator(self):
        return FunctionGenerator(lambda context: " ".join(f"{one.text} [{one.mark}]" for one in context.evidence))

    def test_a_text_is_one_part_and_an_iterable_as_many_as_it_has(self):
        context = make_context("?")
        assert list(FunctionGenerator(lambda context: "a b").generate(context)) == ["a b"]
        assert list(FunctionGenerator(lambda context: ["a", "b"]).generate(context)) == ["a", "b"]


@pytest.fixture
def store():
    made = InMemoryStore()
    made.ensure_collection("default")
    return made


def put(store, text, source="a.txt", metadata=None, collection="default"):
    document = make_document(text, source, collection, metadata)
    chunks = [make_chunk(document, [line], number) for number, line in enumerate(text.split("\n"))]
    vectors = np.arange(len(chunks) * 2, dtype=np.float32).reshape(-1, 2)
    generation, retired = store.replace(collection, document, chunks, vectors, [b"t"] * len(chunks))
    return document, chunks, generation, retired


def test_a_replaced_document_retires_the_chunks_that_do_not_come_back(store):
    _, old, first, none = put(store, "one\ntwo")
    document, new, second, retired = put(store, "three")
    assert (first, second, none) == (1, 2, ())
    assert retired == tuple(sorted(chunk.key for chunk in old))
    assert store.retired_since("default", 1) == sorted(retired)
    assert store.retired_since("default", 2) == []
    assert store.get_document(document.id).text == "three"
    assert store.get_chunks("default", [new[0].key, old[0].key]).keys() == {new[0].key}


def test_a_version_that_comes_back_is_no_longer_retired(store):
    put(store, "one")
    put(store, "two")
    _, chunks, _, _ = put(store, "one")
    assert chunks[0].key not in store.retired_since("default", 0)


def test_deleting_names_the_keys_by_collection_and_all_or_nothing(store):
    store.ensure_collection("other")
    here, chunks, _, _ = put(store, "one")
    there, others, _, _ = put(store, "two", collection="other")
    with pytest.raises(NotFound):
        store.delete([here.id, "doc-unknown"])
    assert store.get_chunks("default", [chunks[0].key])
    retired = store.delete([here.id, there.id])
    assert retired == {"default": (chunks[0].key,), "other": (others[0].key,)}
    assert store.list_documents() == []


def test_streams_give_what_was_added_after_a_generation(store):
    put(store, "one\ntwo\nthree", "a.txt")
    _, later, _, _ = put(store, "four", "b.txt")
    batches = list(store.iter_vectors("default", batch=2))
    assert [len(keys) for keys, _ in batches] == [2, 2]
    assert all(vectors.shape == (len(keys), 2) for keys, vectors in batches)
    assert list(store.iter_texts("default", since=1)) == [([later[0].key], ["b.txt\nfour"])]
    assert list(store.iter_vectors("default", since=2)) == []


def test_filters_choose_by_document_and_by_metadata(store):
    first, chunks, _, _ = put(store, "one", "a.txt", {"year": 2020})
    _, others, _, _ = put(store, "two", "b.txt", {"year": 2021})
    assert store.keys_matching(Filters()) == {chunks[0].key, others[0].key}
    assert store.keys_matching(Filters(metadata={"year": 2021})) == {others[0].key}
    assert store.keys_matching(Filters(document_ids=frozenset([first.id]), metadata={"year": 2021})) == frozenset()


def test_a_failed_update_leaves_the_live_version_and_is_told(store):
    document, _, _, _ = put(store, "one")
    store.record_failure("default", document.id, document.source, ErrorInfo("corrupt_document", "Broken."))
    assert store.get_info(document.id).error.code == "corrupt_document"
    assert store.get_document(document.id).text == "one"
    store.record_failure("default", "doc-new", "new.txt", ErrorInfo("corrupt_document", "Broken."))
    with pytest.raises(NotFound, match="never been read"):
        store.get_document("doc-new")
    put(store, "two")
    assert store.get_info(document.id).error is None


def test_collections_are_created_listed_and_deleted(store):
    with pytest.raises(UsageError) as caught:
        store.create_collection("default")
    assert caught.value.code == "collection_exists"
    put(store, "one\ntwo")
    store.check_encoder("default", "model", 2, "codec")
    (info,) = store.list_collections()
    assert (info.documents, info.chunks, info.model_id, info.dim) == (1, 2, "model", 2)
    store.delete_collection("default")
    with pytest.raises(NotFound):
        store.delete_collection("default")
    assert store.generation("default") == 0


def test_another_encoder_is_refused(store):
    store.check_encoder("default", "model", 2, "codec")
    store.check_encoder("default", "model", 2, "codec")
    with pytest.raises(IndexModelMismatch, match="reindex"):
        store.check_encoder("default", "other", 2, "codec")


def test_incomplete_versions_are_refused_and_change_nothing(store):
    document = make_document("one")
    chunk = make_chunk(document, ["one"])
    with pytest.raises(LoadError):
        store.replace("default", document, [], np.empty((0, 2), dtype=np.float32), [])
    with pytest.raises(DomainError, match="1 chunks, 2 vectors"):
        store.replace("default", document, [chunk], np.zeros((2, 2), dtype=np.float32), [None])
    assert (store.generation("default"), store.list_documents()) == (0, [])


def test_the_state_of_a_source_is_its_hash_and_recipe(store):
    document, _, _, _ = put(store, "one")
    assert store.content_state("default", "a.txt") == (document.content_hash, document.recipe)
    assert store.content_state("default", "b.txt") is None


def test_listings_go_on_behind_an_id(store):
    for number in range(5):
        put(store, "text", f"{number}.txt")
    everything = [info.id for info in store.list_documents("default")]
    assert everything == sorted(everything)
    assert [info.id for info in store.list_documents("default", limit=2, after=everything[1])] == everything[2:4]


def test_writers_in_several_threads_take_turns(store):
    threads = [
        threading.Thread(target=lambda start=start: [put(store, "x", f"{start}-{n}") for n in range(20)])
        for start in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.generation("default") == 80
    assert len(store.list_documents()) == 80
