from __future__ import annotations

from dataclasses import replace
from threading import Barrier, Thread

import numpy as np
import pytest

from domain.document_store import DocumentStore
from domain.documents import Page, Span
from domain.errors import DomainError, IndexModelMismatch, LoadError, NotFound, UsageError
from domain.jobs import DocumentStatus, ErrorInfo
from domain.search import Filters
from service.indexed_text import indexed_text
from service.storage.database import Database
from service.storage.documents import SqlDocumentStore
from tests.service.storage_examples import DIM, make_chunks, make_document, put, unit_vector

FAILURE = ErrorInfo("corrupt_document", "The file ends in the middle.")


def test_the_store_is_a_document_store(store: SqlDocumentStore) -> None:
    as_protocol: DocumentStore = store
    assert as_protocol.generation("default") == 0


def test_a_document_comes_back_as_it_was_stored(store: SqlDocumentStore) -> None:
    pages = (Page(1, Span(0, 5)), Page(2, Span(6, 12)))
    metadata = {"year": 2018, "标签": ["a", "乙"], "nested": {"x": None}}
    document = make_document("a.pdf", "Alpha\n第二行。。。", pages=pages, metadata=metadata)
    assert put(store, document) == (1, ())
    assert store.get_document(document.id) == document


def test_a_chunk_comes_back_as_it_was_stored(store: SqlDocumentStore) -> None:
    document = make_document("a.csv", "name,age\nAda,36", pages=(Page(3, Span(0, 15)),), metadata={"k": "v"})
    first, second = make_chunks(document)
    second = replace(second, header=Span(0, 8), header_text="name,age")
    store.replace("default", document, (first, second), np.stack([unit_vector(1), unit_vector(2)]), [b"\x00\xff", None])

    found = store.get_chunks("default", [second.key, first.key])

    assert list(found) == [second.key, first.key]
    assert found[first.key].chunk == first
    assert found[second.key].chunk == second
    assert found[first.key].token_blob == b"\x00\xff"
    assert found[second.key].token_blob is None
    assert (found[first.key].document.id, found[first.key].document.metadata) == (document.id, {"k": "v"})
    assert store.get_chunks("default", [first.key], with_tokens=False)[first.key].token_blob is None


def test_unknown_keys_are_left_out(store: SqlDocumentStore) -> None:
    document = make_document("a", "one")
    put(store, document)
    key = make_chunks(document)[0].key
    assert set(store.get_chunks("default", [key, 12345, -1])) == {key}
    assert store.get_chunks("elsewhere", [key]) == {}
    assert store.get_chunks("default", []) == {}


def test_more_keys_than_a_statement_takes_are_found(store: SqlDocumentStore) -> None:
    document = make_document("a", "one\ntwo")
    put(store, document)
    keys = [chunk.key for chunk in make_chunks(document)]
    assert set(store.get_chunks("default", [keys[0], *range(70_000), keys[1]])) == set(keys)


def test_a_new_version_retires_the_chunks_of_the_old_one(store: SqlDocumentStore) -> None:
    old, new = make_document("a", "one\ntwo"), make_document("a", "uno\ndos\ntres")
    put(store, old)
    generation, retired = put(store, new)

    assert generation == 2
    assert set(retired) == {chunk.key for chunk in make_chunks(old)}
    assert store.get_chunks("default", retired) == {}
    assert set(store.retired_since("default", 1)) == set(retired)
    assert store.retired_since("default", 2) == []
    assert store.get_document(old.id).text == new.text
    assert store.get_info(old.id).chunks == 3


def test_a_key_that_both_versions_share_is_not_retired(store: SqlDocumentStore) -> None:
    document = make_document("a", "one\ntwo")
    put(store, document)
    assert put(store, document) == (2, ())
    assert store.retired_since("default", 0) == []
    assert [key for keys, _ in store.iter_vectors("default", since=1) for key in keys] == [
        chunk.key for chunk in make_chunks(document)
    ]


def test_a_key_that_returns_is_live_and_no_longer_retired(store: SqlDocumentStore) -> None:
    document = make_document("a", "one")
    put(store, document)
    put(store, make_document("a", "other"))
    put(store, document)
    key = make_chunks(document)[0].key
    assert key not in store.retired_since("default", 0)
    assert key in store.get_chunks("default", [key])


def test_an_unfit_version_leaves_the_old_one_untouched(store: SqlDocumentStore) -> None:
    old, new = make_document("a", "one\ntwo"), make_document("a", "three")
    put(store, old)
    chunk = make_chunks(new)
    not_a_number = np.full((1, DIM), np.nan, np.float32)
    for vectors in (not_a_number, np.zeros((1, DIM), np.float32), unit_vector(1, DIM + 1)[None], unit_vector(1)):
        with pytest.raises(DomainError, match="encoder gave"):
            store.replace("default", new, chunk, vectors, [None])
    with pytest.raises(DomainError, match="0 token blobs"):
        store.replace("default", new, chunk, unit_vector(1)[None], [])
    with pytest.raises(DomainError, match="plain JSON"):
        store.replace("default", replace(new, metadata={"x": float("inf")}), chunk, unit_vector(1)[None], [None])
    assert store.get_document(old.id) == old
    assert store.generation("default") == 1
    assert len(store.get_chunks("default", [chunk.key for chunk in make_chunks(old)])) == 2


def test_a_document_without_chunks_is_refused(store: SqlDocumentStore) -> None:
    with pytest.raises(LoadError) as caught:
        store.replace("default", make_document("a", "x"), (), np.empty((0, DIM), np.float32), ())
    assert caught.value.code == "no_text"
    assert store.list_documents() == []


def test_nothing_is_stored_in_a_collection_that_was_deleted(store: SqlDocumentStore) -> None:
    put(store, make_document("a", "one"))
    store.delete_collection("default")
    with pytest.raises(NotFound):
        put(store, make_document("a", "one"))
    with pytest.raises(NotFound):
        store.record_failure("default", "doc-1", "b", FAILURE)
    assert store.list_collections() == []
    assert store.list_documents() == []


def test_content_state_names_the_live_version(store: SqlDocumentStore) -> None:
    assert store.content_state("default", "a") is None
    document = make_document("a", "one")
    put(store, document)
    store.record_failure("default", document.id, "a", FAILURE)
    store.record_failure("default", "doc-2", "b", FAILURE)
    assert store.content_state("default", "a") == (document.content_hash, document.recipe)
    assert store.content_state("default", "b") is None
    assert store.content_state("elsewhere", "a") is None


def test_a_failed_update_leaves_the_live_version_and_says_why(store: SqlDocumentStore) -> None:
    document = make_document("a", "one")
    put(store, document)
    store.record_failure("default", document.id, "a", FAILURE)
    info = store.get_info(document.id)
    assert (info.status, info.chunks, info.error) == (DocumentStatus.INDEXED, 1, FAILURE)
    assert store.generation("default") == 1

    put(store, make_document("a", "two"))
    assert store.get_info(document.id).error is None


def test_a_source_that_never_worked_is_listed_but_has_no_text(store: SqlDocumentStore) -> None:
    store.record_failure("default", "doc-1", "bad.pdf", FAILURE)
    info = store.get_info("doc-1")
    assert (info.source, info.status, info.chunks, info.error) == ("bad.pdf", DocumentStatus.FAILED, 0, FAILURE)
    assert store.list_collections()[0].documents == 0
    with pytest.raises(NotFound, match="ends in the middle"):
        store.get_document("doc-1")


def test_deleting_retires_every_chunk_and_names_its_collection(store: SqlDocumentStore) -> None:
    store.create_collection("other")
    first, second = make_document("a", "one\ntwo"), make_document("b", "three", collection="other")
    put(store, first)
    put(store, second, "other")

    retired = store.delete([first.id, second.id, first.id])

    assert {name: set(keys) for name, keys in retired.items()} == {
        "default": {chunk.key for chunk in make_chunks(first)},
        "other": {chunk.key for chunk in make_chunks(second)},
    }
    assert (store.generation("default"), store.generation("other")) == (2, 2)
    assert set(store.retired_since("default", 1)) == set(retired["default"])
    assert store.list_documents() == []
    with pytest.raises(NotFound):
        store.get_document(first.id)


def test_deleting_something_unknown_deletes_nothing(store: SqlDocumentStore) -> None:
    document = make_document("a", "one")
    put(store, document)
    with pytest.raises(NotFound, match="doc-nowhere"):
        store.delete([document.id, "doc-nowhere"])
    assert store.get_document(document.id) == document
    assert store.generation("default") == 1


def test_listing_goes_through_all_documents_page_by_page(store: SqlDocumentStore) -> None:
    store.create_collection("other")
    for number in range(7):
        put(store, make_document(f"{number}", "text"))
    put(store, make_document("x", "text", collection="other"), "other")

    seen: list[str] = []
    while page := store.list_documents("default", limit=3, after=seen[-1] if seen else None):
        assert len(page) <= 3
        seen += [info.id for info in page]

    assert seen == sorted(make_document(f"{number}", "").id for number in range(7))
    assert len(store.list_documents()) == 8
    assert store.list_documents("nowhere") == []


def test_ids_are_listed_by_code_point_on_every_database(store: SqlDocumentStore) -> None:
    for name in ("a", "B", "_", "é", "Z", "文"):
        store.record_failure("default", name, name, FAILURE)
    assert [info.id for info in store.list_documents()] == ["B", "Z", "_", "a", "é", "文"]


def test_a_listing_line_tells_what_a_document_is(store: SqlDocumentStore) -> None:
    put(store, make_document("a", "one\ntwo", metadata={"team": "x"}))
    (info,) = store.list_documents()
    assert (info.source, info.title, info.collection, info.chunks, info.characters) == (
        "a",
        "Title of a",
        "default",
        2,
        7,
    )
    assert info.metadata == {"team": "x"}
    assert info.updated_at.endswith("+00:00")


def test_collections_count_what_can_be_found(store: SqlDocumentStore) -> None:
    store.create_collection("empty")
    store.check_encoder("default", "e5", DIM, "int8")
    put(store, make_document("a", "one\ntwo"))
    put(store, make_document("b", "three"))
    default, empty = store.list_collections()
    assert (default.name, default.documents, default.chunks, default.model_id, default.dim) == (
        "default",
        2,
        3,
        "e5",
        DIM,
    )
    assert (empty.name, empty.documents, empty.chunks, empty.model_id, empty.dim) == ("empty", 0, 0, None, None)


def test_a_collection_is_created_once(store: SqlDocumentStore) -> None:
    store.ensure_collection("default")
    with pytest.raises(UsageError) as caught:
        store.create_collection("default")
    assert caught.value.code == "collection_exists"
    with pytest.raises(NotFound):
        store.delete_collection("nowhere")


@pytest.mark.parametrize("name", ["a", "合同 2026", "हिन्दी", "Ärzte_v1.2-b", "สัญญา", "x" * 64, "٣"])
def test_a_collection_may_be_named_in_any_script(store: SqlDocumentStore, name: str) -> None:
    assert store.create_collection(name).name == name
    store.ensure_collection(name)
    assert name in [item.name for item in store.list_collections()]


_MISLEADING = "/\\\n\t\0\x1b\x7f\u202e\u2066\u200b\u200d\u2028\u00a0\u3164\ufe0f\ud800<':😀"


@pytest.mark.parametrize("name", ["", "x" * 65, " ", " a", "a ", *(f"a{character}b" for character in _MISLEADING)])
def test_a_name_that_could_mislead_is_refused_wherever_a_collection_is_made(store: SqlDocumentStore, name: str) -> None:
    for verb in (store.create_collection, store.ensure_collection):
        with pytest.raises(UsageError, match="letters and digits of any script") as caught:
            verb(name)
        assert caught.value.code == "invalid_collection_name"
        assert str(caught.value).isprintable()
    assert [item.name for item in store.list_collections()] == ["default"]


def test_d13_another_encoder_is_refused_and_both_are_named(store: SqlDocumentStore) -> None:
    store.check_encoder("default", "e5-small", DIM, "int8")
    put(store, make_document("a", "one"))
    store.check_encoder("default", "e5-small", DIM, "int8")
    with pytest.raises(IndexModelMismatch, match=r"'minilm' \(384 .*'e5-small' \(8 .*restore the previous encoder"):
        store.check_encoder("default", "minilm", 384, "int8")
    with pytest.raises(IndexModelMismatch, match=r"'int4'.*'int8'"):
        store.check_encoder("default", "e5-small", DIM, "int4")


def test_an_empty_collection_takes_any_encoder(store: SqlDocumentStore) -> None:
    store.check_encoder("default", "e5-small", DIM, "int8")
    document = make_document("a", "one")
    put(store, document)
    store.delete([document.id])
    store.check_encoder("default", "minilm", 384, "int8")
    assert store.list_collections()[0].model_id == "minilm"


def test_vectors_of_another_width_are_refused_even_when_nobody_named_an_encoder(store: SqlDocumentStore) -> None:
    put(store, make_document("a", "one"))
    document = make_document("b", "two")
    with pytest.raises(DomainError, match="width 8"):
        store.replace("default", document, make_chunks(document), unit_vector(1, 16)[None], [None])


def test_vectors_and_texts_stream_in_batches(store: SqlDocumentStore) -> None:
    first, second = make_document("a", "one\ntwo\nthree"), make_document("b", "four\nfive")
    put(store, first)
    put(store, second)
    chunks = {chunk.key: (chunk, document) for document in (first, second) for chunk in make_chunks(document)}

    batches = list(store.iter_vectors("default", batch=2))
    assert [len(keys) for keys, _ in batches] == [2, 2, 1]
    for keys, vectors in batches:
        assert vectors.dtype == np.float32
        for key, vector in zip(keys, vectors, strict=True):
            np.testing.assert_array_equal(vector, unit_vector(chunks[key][0].text))

    texts = {
        key: text for keys, part in store.iter_texts("default", batch=2) for key, text in zip(keys, part, strict=True)
    }
    assert texts == {key: indexed_text(chunk, document.title) for key, (chunk, document) in chunks.items()}
    assert next(iter(texts.values())).startswith("Title of a / Part / 第一节\n")
    assert [keys for keys, _ in store.iter_vectors("default", since=1)] == [[c.key for c in make_chunks(second)]]
    assert list(store.iter_vectors("default", since=2)) == []
    assert list(store.iter_vectors("nowhere")) == []


def test_filters_by_document_and_metadata(store: SqlDocumentStore) -> None:
    ada = make_document("a", "one\ntwo", metadata={"year": 2018, "team": "x", "tags": ["p", "q"], "final": True})
    bob = make_document("b", "three", metadata={"year": 2019, "team": "x", "tags": ["q", "p"], "final": 1})
    put(store, ada)
    put(store, bob)
    keys = {doc.id: frozenset(chunk.key for chunk in make_chunks(doc)) for doc in (ada, bob)}

    def matching(**parts: object) -> frozenset[int]:
        return store.keys_matching(Filters(**parts))  # type: ignore[arg-type]

    assert matching() == keys[ada.id] | keys[bob.id]
    assert matching(document_ids=frozenset({ada.id, "doc-nowhere"})) == keys[ada.id]
    assert matching(metadata={"team": "x"}) == keys[ada.id] | keys[bob.id]
    assert matching(metadata={"team": "x", "year": 2018}) == keys[ada.id]
    assert matching(metadata={"year": 2018.0}) == keys[ada.id]
    assert matching(metadata={"year": "2018"}) == frozenset()
    assert matching(metadata={"tags": ["p", "q"]}) == keys[ada.id]
    assert matching(metadata={"final": True}) == keys[ada.id]
    assert matching(metadata={"final": 1}) == keys[bob.id]
    assert matching(document_ids=frozenset({bob.id}), metadata={"year": 2018}) == frozenset()
    assert matching(collection="nowhere") == frozenset()


def test_a_replaced_document_is_found_by_its_new_metadata_only(store: SqlDocumentStore) -> None:
    put(store, make_document("a", "one", metadata={"year": 2018}))
    put(store, make_document("a", "one", metadata={"year": 2019}))
    assert store.keys_matching(Filters(metadata={"year": 2018})) == frozenset()
    assert len(store.keys_matching(Filters(metadata={"year": 2019}))) == 1


@pytest.mark.parametrize(
    "payload",
    [
        "' OR '1'='1",
        "x'; DROP TABLE chunks; --",
        "$.a",
        '"]',
        "a.b[0]",
        "%",
        "_",
        "\\",
        "\x00",
        "\ud800",
        "${7*7}",
        ":p",
    ],
)
def test_a10_names_and_values_of_filters_are_data(store: SqlDocumentStore, payload: str) -> None:
    put(store, make_document("plain", "one", metadata={"team": "x"}))
    odd = make_document("odd", "two", metadata={payload: payload})
    put(store, odd)
    only_odd = frozenset(chunk.key for chunk in make_chunks(odd))
    assert store.keys_matching(Filters(metadata={payload: payload})) == only_odd
    assert store.keys_matching(Filters(metadata={payload: "x"})) == frozenset()
    assert store.keys_matching(Filters(metadata={"team": payload})) == frozenset()
    assert store.keys_matching(Filters(document_ids=frozenset({payload}))) == frozenset()
    assert store.keys_matching(Filters(collection=payload)) == frozenset()
    with pytest.raises(NotFound):
        store.get_document(payload)
    assert store.content_state("default", payload) is None
    assert store.list_documents(after=payload) is not None
    assert len(store.list_documents()) == 2


@pytest.mark.parametrize("odd", ["\x00", "\ud800", "\udfff", "\U000e0041", "é", "𝔘🙂", "\ufffe", "\u202e"])
def test_i7_any_character_is_stored_and_offsets_stay_true(store: SqlDocumentStore, odd: str) -> None:
    text = f"be{odd}fore\nafter {odd} end"
    metadata = {f"k{odd}": f"v{odd}"}
    document = replace(make_document("a", "x"), source=f"name{odd}", text=text, title=f"T{odd}", metadata=metadata)
    chunks = make_chunks(document)
    vectors = np.stack([unit_vector(0), unit_vector(1)])
    store.replace("default", document, chunks, vectors, [None, None])

    stored = store.get_document(document.id)
    assert len(stored.text) == len(text)
    for item in store.get_chunks("default", [chunk.key for chunk in chunks]).values():
        assert item.chunk.span.of(stored.text) == item.chunk.text
    assert store.content_state("default", f"name{odd}") is not None
    assert len(store.keys_matching(Filters(metadata={f"k{odd}": f"v{odd}"}))) == 2
    stored.text.encode()


def test_metadata_that_is_no_json_is_refused_in_documents_and_filters(store: SqlDocumentStore) -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, float("nan"), {1, 2}, b"bytes", 10**5000):
        with pytest.raises(DomainError, match="Metadata"):
            store.keys_matching(Filters(metadata={"k": value}))
        with pytest.raises(DomainError, match="Metadata"):
            put(store, make_document("a", "one", metadata={"k": value}))
    assert store.list_documents() == []


def test_an_id_belongs_to_one_collection_and_a_source_has_one_id(store: SqlDocumentStore) -> None:
    store.create_collection("other")
    document = make_document("a", "one")
    put(store, document)
    with pytest.raises(DomainError, match="clashes"):
        put(store, document, "other")
    with pytest.raises(DomainError, match="clashes"):
        put(store, replace(document, id="doc-else"))


def test_a_source_may_be_longer_than_an_index_entry(store: SqlDocumentStore) -> None:
    source = "https://example.org/?" + "".join(str(number) for number in range(2000))
    put(store, make_document(source, "one"))
    assert store.content_state("default", source) is not None


def test_a2_a_foreign_tenant_sees_nothing(database: Database, store: SqlDocumentStore) -> None:
    document = make_document("a", "one\ntwo", metadata={"team": "x"})
    store.check_encoder("default", "e5", DIM, "int8")
    put(store, document)
    keys = [chunk.key for chunk in make_chunks(document)]

    foreign = SqlDocumentStore(database, "foreign")
    assert foreign.list_collections() == []
    assert foreign.list_documents() == []
    assert foreign.generation("default") == 0
    assert foreign.content_state("default", "a") is None
    assert foreign.get_chunks("default", keys) == {}
    assert foreign.keys_matching(Filters(document_ids=frozenset({document.id}))) == frozenset()
    assert foreign.keys_matching(Filters(metadata={"team": "x"})) == frozenset()
    assert list(foreign.iter_vectors("default")) == []
    assert list(foreign.iter_texts("default")) == []
    assert foreign.retired_since("default", 0) == []
    for call in (foreign.get_document, foreign.get_info, foreign.delete_collection):
        with pytest.raises(NotFound) as of_foreign:
            call(document.id)
        with pytest.raises(NotFound) as of_nobody:
            call("doc-nobody")
        assert str(of_foreign.value) == str(of_nobody.value).replace("doc-nobody", document.id)
    with pytest.raises(NotFound):
        foreign.delete([document.id])
    assert store.get_document(document.id) == document


def test_two_tenants_may_hold_the_same_ids(database: Database, store: SqlDocumentStore) -> None:
    foreign = SqlDocumentStore(database, "foreign")
    foreign.ensure_collection("default")
    mine, theirs = make_document("a", "one"), make_document("a", "one", metadata={"whose": "theirs"})
    put(store, mine)
    put(foreign, theirs)
    key = make_chunks(mine)[0].key
    assert store.get_chunks("default", [key])[key].document.metadata == {}
    assert foreign.get_chunks("default", [key])[key].document.metadata == {"whose": "theirs"}
    foreign.delete([theirs.id])
    assert key in store.get_chunks("default", [key])


def test_c4_the_same_document_from_many_threads_is_one_document(store: SqlDocumentStore) -> None:
    document = make_document("a", "one\ntwo")
    barrier, generations = Barrier(8), []

    def upload() -> None:
        barrier.wait()
        generations.append(put(store, document)[0])

    threads = [Thread(target=upload) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(generations) == list(range(1, 9))
    assert [info.chunks for info in store.list_documents()] == [2]
    assert sum(len(keys) for keys, _ in store.iter_vectors("default")) == 2
