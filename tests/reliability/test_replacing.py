"""D11, D12, D13: a version that fails, a deletion that stays, an encoder that was changed; through the engine."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from domain.documents import Passage
from domain.errors import FoveaError, IndexModelMismatch
from domain.jobs import DocumentStatus
from domain.search import Encoding
from fovea import Engine, open_engine
from retrieval.embedders.hashing import HashingEncoder
from service import failpoints
from service.settings import EncoderSettings, RetrievalSettings, Settings


class Encoder(HashingEncoder):
    """A hashing encoder that counts what it encodes, and fails on a text that holds its poison."""

    def __init__(self, dim: int = 64, poison: str = "", vector: float | None = None) -> None:
        super().__init__(dim)
        self.encoded = 0
        self._poison, self._vector = poison, vector

    def encode_documents(self, passages: Sequence[Passage]) -> list[Encoding]:
        self.encoded += len(passages)
        found = super().encode_documents(passages)
        if not self._poison or not any(self._poison in passage.text for passage in passages):
            return found
        if self._vector is None:
            raise FoveaError("The model was poisoned.", code="poisoned")
        return [Encoding(np.full(self.dim, self._vector, np.float32), item.tokens) for item in found]


@contextmanager
def opened(data_dir: Path, encoder: HashingEncoder) -> Iterator[Engine]:
    settings = Settings(
        data_dir=data_dir, encoder=EncoderSettings(model="hashing"), retrieval=RetrievalSettings(reranker="none")
    )
    with open_engine(settings=settings, encoder=encoder) as engine:
        yield engine


def sources(engine: Engine, question: str) -> set[str]:
    return {item.source for item in engine.search(question, max_tokens=200).evidence}


# -- D11 ---------------------------------------------------------------------------------------------------------------


def failing_versions(folder: Path, rounds: int) -> int:
    """Replace a document by versions that cannot be stored while another thread asks for it; how often it asked."""
    asked, missed, stop = 0, 0, threading.Event()
    with opened(folder, Encoder(poison="poison", vector=np.nan)) as engine:
        engine.ingest_text("The harbour master signs the permit.", source="permit")

        def ask() -> None:
            nonlocal asked, missed
            while not stop.is_set():
                missed += sources(engine, "Who signs the permit?") != {"permit"}
                asked += 1

        reader = threading.Thread(target=ask)
        reader.start()
        try:
            for number in range(rounds):
                if number % 2:  # cannot be embedded
                    outcome = engine.ingest_text(f"poison {number} instead of the permit", source="permit")
                    assert outcome.error is not None and outcome.error.code == "bad_vectors"
                else:  # cannot be parsed
                    outcome = engine.ingest_bytes(b"\x00", "permit", media_type="text/plain")
                assert outcome.status is DocumentStatus.FAILED
                (info,) = engine.list_documents()
                assert info.chunks == 1 and info.error is not None
        finally:
            stop.set()
            reader.join()
        assert engine.ingest_text("The mayor signs the permit now.", source="permit").status is DocumentStatus.INDEXED
        assert "mayor" in engine.search("Who signs the permit?", max_tokens=100).evidence[0].text
        assert engine.list_documents()[0].error is None
    assert missed == 0
    return asked


def test_d11_a_version_that_fails_leaves_no_gap(tmp_path: Path) -> None:
    assert failing_versions(tmp_path, 10) > 0


@pytest.mark.nightly
def test_d11_a_hundred_versions_that_fail_leave_no_gap(tmp_path: Path) -> None:
    print(f"asked {failing_versions(tmp_path, 100)} times meanwhile")


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 2.0])
def test_d14_a_vector_that_is_none_is_never_stored(value: float, tmp_path: Path) -> None:
    with opened(tmp_path, Encoder(poison="poison", vector=value)) as engine:
        outcome = engine.ingest_text("a poison text", source="poisoned")
        assert outcome.status is DocumentStatus.FAILED
        assert outcome.error is not None and outcome.error.code == "bad_vectors"
        assert engine.list_collections()[0].chunks == 0


# -- D12 ---------------------------------------------------------------------------------------------------------------


def deletions(folder: Path, documents: int, restarts: int) -> int:
    """Delete documents while snapshots are saved and the process starts anew; how often something came back."""
    encoder, resurfaced = Encoder(), 0
    alive = {f"text {number}": f"Marker{number} stands in the file of box {number}." for number in range(documents)}
    with opened(folder, encoder) as engine:
        for source, text in alive.items():
            engine.ingest_text(text, source=source)
    for restart in range(restarts):
        with opened(folder, encoder) as engine:
            ids = {item.source: item.id for item in engine.list_documents(limit=10_000)}
            assert ids.keys() == alive.keys()
            victims = sorted(alive)[:: restarts - restart]
            saver = threading.Thread(target=_save_for_ever, args=(engine, stop := threading.Event()))
            saver.start()
            try:
                for source in victims:
                    text = alive.pop(source)
                    engine.delete(ids[source])
                    resurfaced += source in sources(engine, text)
            finally:
                stop.set()
                saver.join()
    with opened(folder, encoder) as engine:
        assert engine.list_documents() == []
        assert sources(engine, "Marker1 stands in the file of box 1.") == set()
    return resurfaced


def _save_for_ever(engine: Engine, stop: threading.Event) -> None:
    while not stop.is_set():
        engine._parts.indexes.save("default")
        stop.wait(0.005)


def test_d12_what_was_deleted_never_comes_back(tmp_path: Path) -> None:
    assert deletions(tmp_path, 40, 3) == 0


@pytest.mark.nightly
@pytest.mark.timeout(1_800)
def test_d12_a_thousand_deletions_never_come_back(tmp_path: Path) -> None:
    assert deletions(tmp_path, 1000, 10) == 0


# -- D13 ---------------------------------------------------------------------------------------------------------------

TEXTS = {f"box {number}": f"The code of box number{number} is X{number}Y." for number in range(70)}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("indexed")
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"id": key, "title": "", "text": text}) + "\n" for key, text in TEXTS.items()))
    with opened(folder / "data", Encoder(64)) as engine:
        assert len(engine.ingest([corpus]).documents) == len(TEXTS)
    return folder / "data"


@pytest.fixture
def filled(indexed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(indexed, tmp_path / "data"))


def test_d13_another_encoder_is_refused_until_the_collection_has_its_vectors(filled: Path) -> None:
    with opened(filled, Encoder(32)) as engine:
        for attempt in (lambda: engine.search("number7"), lambda: engine.ingest_text("new", source="new")):
            with pytest.raises(IndexModelMismatch, match="reindex --embed"):
                attempt()
        seen: list[tuple[str, int, int]] = []
        report = engine.reindex(embed=True, progress=lambda *state: seen.append(state))
        assert (report.chunks, report.encoded, report.model_id) == (70, 70, "hashing/32")
        assert seen[-1] == ("texts indexed", 70, 70)
        assert ("chunks encoded", 70, 70) in seen
        for number in (3, 33, 66):
            assert sources(engine, f"The code of box number{number}") >= {f"box {number}"}
        assert engine.ingest_text("new", source="new").status is DocumentStatus.INDEXED
        (collection,) = engine.list_collections()
        assert (collection.model_id, collection.dim, collection.chunks) == ("hashing/32", 32, 71)
    with opened(filled, Encoder(64)) as engine, pytest.raises(IndexModelMismatch):
        engine.search("number7")


def test_d13_the_old_vectors_serve_until_all_new_ones_are_there_and_nothing_is_encoded_twice(filled: Path) -> None:
    new = Encoder(32)
    with opened(filled, new) as engine:
        failpoints.arm("embed.batch:2:raise")
        try:
            with pytest.raises(failpoints.FailpointReached):
                engine.reindex(embed=True)
        finally:
            failpoints.disarm()
    assert new.encoded == 64  # two batches
    with opened(filled, Encoder(64)) as engine:
        assert sources(engine, "The code of box number7") >= {"box 7"}
        engine.delete(next(item.id for item in engine.list_documents() if item.source == "box 7"))
    with opened(filled, new) as engine:
        engine.reindex(embed=True)
        assert 69 <= new.encoded <= 70, "two batches were kept; box 7 was in one of them or is gone"
        assert sources(engine, "The code of box number8") >= {"box 8"}
        assert "box 7" not in sources(engine, "The code of box number7")


def test_d13_an_encoder_that_gives_no_numbers_changes_nothing(filled: Path) -> None:
    with opened(filled, Encoder(32, poison="number69", vector=np.nan)) as engine, pytest.raises(FoveaError) as caught:
        engine.reindex(embed=True)
    assert caught.value.code == "bad_vectors"
    with opened(filled, Encoder(64)) as engine:
        assert sources(engine, "The code of box number69") >= {"box 69"}


def test_an_index_made_anew_asks_the_encoder_for_nothing(filled: Path) -> None:
    encoder = Encoder(64)
    with opened(filled, encoder) as engine:
        report = engine.reindex()
    assert (report.chunks, report.encoded, encoder.encoded) == (70, 0, 0)
