"""The store and the indexes against a dict: whatever is written, deleted and restarted, all three agree (D10)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from domain.documents import Document
from domain.errors import NotFound
from domain.jobs import ErrorInfo
from domain.search import Filters
from service.indexed_text import indexed_text
from service.indexes import IndexManager
from service.storage.database import open_database
from service.storage.documents import SqlDocumentStore
from service.storage.snapshots import SqlSnapshotManifest
from tests.service.postgres_server import PostgresServer
from tests.service.storage_examples import (
    DIM,
    ListLexicalIndex,
    ListVectorIndex,
    make_chunks,
    make_document,
    put,
    unit_vector,
)

_SOURCES = st.sampled_from(["a", "b", "c", "文件"])
_TEXTS = st.lists(st.sampled_from(["one", "two", "三", "four four", "é\x00"]), min_size=1, max_size=4).map("\n".join)
_TEAMS = st.sampled_from(["x", "y"])


class StoreMachine(RuleBasedStateMachine):
    """Rules are what users do; the invariant is what they may rely on."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.model: dict[str, Document] = {}
        self.generation = 0
        self.open()
        self.store.ensure_collection("default")
        self.store.check_encoder("default", "e5", DIM, "int8")

    def open(self) -> None:
        self.database = open_database(self.url or f"sqlite:///{self.folder / 'fovea.db'}")
        # On a shared server every run is a tenant of its own.
        tenant = self.folder.name
        self.store = SqlDocumentStore(self.database, tenant)
        manifest = SqlSnapshotManifest(self.database, tenant)
        self.manager = IndexManager(self.store, manifest, self.folder / "indexes", ListVectorIndex, ListLexicalIndex)

    @rule(source=_SOURCES, text=_TEXTS, team=_TEAMS)
    def put(self, source: str, text: str, team: str) -> None:
        document = make_document(source, text, metadata={"team": team})
        generation, retired = put(self.store, document)
        chunks = make_chunks(document)
        vectors = np.stack([unit_vector(chunk.text) for chunk in chunks])
        texts = [indexed_text(chunk, document.title) for chunk in chunks]
        self.manager.apply("default", generation, [chunk.key for chunk in chunks], vectors, texts, retired)
        self.model[source] = document
        self.generation += 1

    @rule(source=_SOURCES, text=_TEXTS)
    def put_and_lose_the_index_update(self, source: str, text: str) -> None:
        """A commit by another process, or a kill right behind it."""
        document = make_document(source, text)
        put(self.store, document)
        self.manager.refresh("default")
        self.model[source] = document
        self.generation += 1

    @rule(source=_SOURCES)
    def fail(self, source: str) -> None:
        self.store.record_failure("default", make_document(source, "").id, source, ErrorInfo("no_text", "Empty."))

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        sources = data.draw(st.sets(st.sampled_from(sorted(self.model)), min_size=1))
        for collection, keys in self.store.delete([self.model.pop(source).id for source in sources]).items():
            self.manager.retire(collection, self.store.generation(collection), keys)
        self.generation += 1

    @rule()
    def delete_something_unknown(self) -> None:
        ids = [document.id for document in self.model.values()]
        with pytest.raises(NotFound):
            self.store.delete([*ids, "doc-unknown"])

    @rule()
    def save(self) -> None:
        self.manager.save("default")

    @rule()
    def rebuild(self) -> None:
        self.manager.rebuild("default")

    @rule(orderly=st.booleans())
    def restart(self, orderly: bool) -> None:
        if orderly:
            self.manager.close()
        self.database.close()
        self.open()

    @rule()
    def lose_the_snapshots(self) -> None:
        shutil.rmtree(self.folder / "indexes", ignore_errors=True)

    @invariant()
    def store_and_indexes_equal_the_model(self) -> None:
        chunks = {chunk.key: (chunk, document) for document in self.model.values() for chunk in make_chunks(document)}
        assert self.store.generation("default") == self.generation
        assert self.store.keys_matching(Filters()) == set(chunks)
        for team in ("x", "y"):
            wanted = {key for key, (_, document) in chunks.items() if document.metadata.get("team") == team}
            assert self.store.keys_matching(Filters(metadata={"team": team})) == wanted
        found = self.store.get_chunks("default", list(chunks))
        assert {key: item.document.id for key, item in found.items()} == {k: d.id for k, (_, d) in chunks.items()}
        live = {info.id: info.chunks for info in self.store.list_documents() if info.chunks}
        assert live == {document.id: len(make_chunks(document)) for document in self.model.values()}
        assert not set(self.store.retired_since("default", 0)) & set(chunks)
        reader = self.manager.reader("default")
        assert isinstance(reader.vector, ListVectorIndex)
        assert isinstance(reader.lexical, ListLexicalIndex)
        assert set(reader.vector.rows) == set(reader.lexical.texts) == set(chunks)
        for key, (chunk, _) in chunks.items():
            assert reader.vector.rows[key] == unit_vector(chunk.text).tolist()

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder, ignore_errors=True)


_SMALL = settings(
    max_examples=15, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


def test_d10_the_store_equals_a_dict_on_sqlite() -> None:
    run_state_machine_as_test(StoreMachine, settings=_SMALL)


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
def test_d10_five_hundred_runs_of_fifty_steps() -> None:
    run_state_machine_as_test(StoreMachine, settings=settings(_SMALL, max_examples=500, stateful_step_count=50))


def test_d10_the_store_equals_a_dict_on_postgresql(postgres_server: PostgresServer) -> None:
    machine = type("PostgresMachine", (StoreMachine,), {"url": postgres_server.new_database()})
    run_state_machine_as_test(machine, settings=settings(_SMALL, max_examples=6))
