"""What holds of every corpus: re-ingesting changes nothing, a new version replaces the old one whole, what is deleted
is gone, and every quote stands in its document.
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from domain.documents import text_source
from fovea import DocumentStatus, IndexModelMismatch, open_engine
from retrieval.embedders.hashing import HashingEncoder
from tests.end_to_end.product import ROOT, hashing

DATA = ROOT / "tests" / "data"
SETS = ("xquad-en", "cmrc-zh")


def questions_of(name):
    return [json.loads(line) for line in (DATA / name / "questions.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module", params=SETS)
def labelled(request, tmp_path_factory):
    """An engine over a labelled set, and the set's name."""
    with open_engine(settings=hashing(tmp_path_factory.mktemp(request.param) / "data")) as engine:
        report = engine.ingest([DATA / request.param / "corpus.jsonl"])
        assert not report.failed
        yield engine, request.param


def rows(data_dir):
    """All rows of the tables that hold documents and chunks, without times, in a fixed order."""
    with closing(sqlite3.connect(f"file:{data_dir / 'fovea.db'}?mode=ro", uri=True)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        kept = {}
        for name in names:
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({name})") if not row[1].endswith("_at")]
            found = database.execute(f"SELECT {', '.join(columns)} FROM {name}").fetchall()
            kept[name] = sorted(map(repr, found))
        return kept


def files(folder):
    """The digest of each file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def found_by(engine, questions):
    """Evidence by question, without keys and times."""
    return [[item.to_dict() for item in engine.search(question).evidence] for question in questions]


def write(folder, texts):
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


# -- quotes ----------------------------------------------------------------------------------------------------------


def test_every_span_of_every_evidence_and_citation_is_the_text_of_its_document(labelled):
    engine, name = labelled
    texts = {item.id: engine.document(item.id).text for item in engine.list_documents(limit=10_000)}
    quotes = 0
    for item in questions_of(name):
        answer = engine.ask(item["question"])
        for evidence in answer.search.evidence:
            text = texts[evidence.document_id]
            assert evidence.text == " … ".join(span.of(text) for span in evidence.spans)
            assert all(
                before.end < after.start for before, after in zip(evidence.spans, evidence.spans[1:], strict=False)
            )
            for sentence in evidence.sentences:
                assert evidence.part(sentence.span) == sentence.span.of(text)
        for citation in answer.citations:
            quotes += 1
            assert citation.span.of(texts[citation.document_id]) == citation.quote
            assert f"[{citation.mark}]" in answer.text
    assert quotes >= len(questions_of(name)) / 2, "most questions must have led to a quote"


def test_the_text_of_a_corpus_document_is_the_text_that_was_given(labelled):
    engine, name = labelled
    given_texts = {}
    for line in (DATA / name / "corpus.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        given_texts[record["id"]] = record["text"]
    kept = {item.source: engine.document(item.id).text for item in engine.list_documents(limit=10_000)}
    assert kept == given_texts


def test_the_ceiling_holds_for_every_question_and_every_budget(labelled):
    engine, name = labelled
    for number, item in enumerate(questions_of(name)):
        budget = (1, 5, 20, 64, 128, 320, 1000)[number % 7]
        found = engine.search(item["question"], max_tokens=budget)
        bill = found.bill
        assert found.context.context_tokens <= budget
        assert found.context.context_tokens == bill.evidence + bill.history
        assert sum(evidence.tokens for evidence in found.evidence) <= bill.evidence
        assert bill.total == bill.system + bill.constraints + bill.history + bill.evidence + bill.question
        assert bill.total + bill.reserve <= bill.limit


def test_asking_again_gives_the_same_answer(labelled):
    engine, name = labelled
    chosen = [item["question"] for item in questions_of(name)[::7]]
    assert found_by(engine, chosen) == found_by(engine, chosen)


# -- re-ingesting ----------------------------------------------------------------------------------------------------


def test_ingesting_the_same_again_changes_nothing(tmp_path):
    corpus = DATA / "xquad-en" / "corpus.jsonl"
    data_dir = tmp_path / "data"
    with open_engine(settings=hashing(data_dir)) as engine:
        first = engine.ingest([corpus])
    before, snapshots = rows(data_dir), files(data_dir / "indexes")
    assert snapshots, "the run has saved its indexes"
    for _ in range(2):
        with open_engine(settings=hashing(data_dir)) as engine:
            again = engine.ingest([corpus])
        assert {item.status for item in again.documents} == {DocumentStatus.UNCHANGED}
        assert [(item.id, item.chunks) for item in again.documents] == [
            (item.id, item.chunks) for item in first.documents
        ]
        assert rows(data_dir) == before
        assert files(data_dir / "indexes") == snapshots


def test_a_run_that_ends_early_leaves_the_same_as_one_that_does_not(tmp_path):
    """Half of the inputs, then all of them, then all in another order: one state."""
    texts = {f"{number}.txt": f"The code of box {number} is X{number}Y." for number in range(20)}
    folder = write(tmp_path / "folder", texts)
    paths = [folder / name for name in texts]
    for data_dir, runs in (("whole", [paths]), ("parts", [paths[:9], paths, paths[::-1]])):
        with open_engine(settings=hashing(tmp_path / data_dir)) as engine:
            for run in runs:
                assert not engine.ingest(run).failed
    with (
        open_engine(settings=hashing(tmp_path / "whole")) as whole,
        open_engine(settings=hashing(tmp_path / "parts")) as parts,
    ):
        questions = [f"What is the code of box {number}?" for number in range(20)]
        assert found_by(whole, questions) == found_by(parts, questions)


def test_the_order_of_the_inputs_changes_no_id_and_no_evidence(tmp_path, labelled):
    engine, name = labelled
    lines = (DATA / name / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    random.Random(4).shuffle(lines)
    (tmp_path / "shuffled.jsonl").write_text("\n".join(lines), encoding="utf-8")
    chosen = [item["question"] for item in questions_of(name)[::5]]
    with open_engine(settings=hashing(tmp_path / "data")) as other:
        other.ingest([tmp_path / "shuffled.jsonl"])
        assert {item.id for item in other.list_documents(limit=1000)} == {
            item.id for item in engine.list_documents(limit=1000)
        }
        assert found_by(other, chosen) == found_by(engine, chosen)


# -- new versions and deletions --------------------------------------------------------------------------------------


def test_a_changed_file_replaces_its_old_version_completely(tmp_path):
    old = "\n\n".join(f"Paragraph {number} speaks of the oldword{number} and of nothing else." for number in range(60))
    folder = write(tmp_path / "folder", {"a.txt": old, "b.txt": "The neighbour keeps its words."})
    with open_engine(settings=hashing(tmp_path / "data")) as engine:
        first = {Path(item.source).name: item for item in engine.ingest([folder]).documents}
        assert engine.search("oldword7").evidence
        write(folder, {"a.txt": "Now the file speaks of newword alone."})
        second = {Path(item.source).name: item for item in engine.ingest([folder]).documents}
        assert second["a.txt"].status is DocumentStatus.INDEXED
        assert second["b.txt"].status is DocumentStatus.UNCHANGED
        assert second["a.txt"].id == first["a.txt"].id
        assert engine.document(second["a.txt"].id).text == "Now the file speaks of newword alone."
        assert engine.search("newword").evidence[0].text == "Now the file speaks of newword alone."
        for number in range(60):
            for item in engine.search(f"Paragraph oldword{number}").evidence:
                assert "oldword" not in item.text
        (index,) = engine.status()["indexes"]
        assert index["vectors"] == index["texts"] == 2
    with open_engine(settings=hashing(tmp_path / "data")) as engine:
        assert not any("oldword" in item.text for item in engine.search("oldword7").evidence)


def test_a_version_that_cannot_be_read_leaves_the_old_one_findable_and_says_so(tmp_path):
    folder = write(tmp_path / "folder", {"a.txt": "The lamp is serviced twice a year."})
    with open_engine(settings=hashing(tmp_path / "data")) as engine:
        engine.ingest([folder])
        (folder / "a.txt").write_bytes(b"")
        (outcome,) = engine.ingest([folder]).documents
        assert (outcome.status, outcome.error.code) == (DocumentStatus.FAILED, "empty_document")
        (listed,) = engine.list_documents()
        assert (listed.chunks, listed.error.code) == (1, "empty_document")
        assert engine.search("The lamp is serviced twice").evidence
        write(folder, {"a.txt": "The lamp is serviced once a year."})
        engine.ingest([folder])
        (listed,) = engine.list_documents()
        assert (listed.status, listed.error) == (DocumentStatus.INDEXED, None)


def test_what_is_deleted_is_never_found_again(labelled, tmp_path):
    _, name = labelled
    corpus = (DATA / name / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    chosen = [item["question"] for item in questions_of(name)[::3]]
    with open_engine(settings=hashing(tmp_path / "data")) as engine:
        engine.ingest([DATA / name / "corpus.jsonl"])
        left = {item.id: item.source for item in engine.list_documents(limit=1000)}
        for document_id in sorted(left)[::2]:
            engine.delete(document_id)
            del left[document_id]
            evidence = [item for found in found_by(engine, chosen[:3]) for item in found]
            assert {item["document_id"] for item in evidence} <= left.keys()
        kept = found_by(engine, chosen)
        assert {item["document_id"] for found in kept for item in found} <= left.keys()
    (tmp_path / "left.jsonl").write_text(
        "\n".join(line for line in corpus if json.loads(line)["id"] in left.values()), encoding="utf-8"
    )
    with open_engine(settings=hashing(tmp_path / "data")) as engine:
        assert found_by(engine, chosen) == kept, "the snapshots remember what was deleted"
        engine.reindex()
        rebuilt = found_by(engine, chosen)
    with open_engine(settings=hashing(tmp_path / "fresh")) as fresh:
        fresh.ingest([tmp_path / "left.jsonl"])
        assert rebuilt == found_by(fresh, chosen), "rebuilt, there is no trace of what was deleted"


def test_what_was_deleted_may_come_back(tmp_path):
    with open_engine(settings=hashing(tmp_path / "data")) as engine:
        first = engine.ingest_text("The lamp is serviced twice a year.", source="lamp")
        before = found_by(engine, ["The lamp is serviced"])
        engine.delete(first.id)
        assert found_by(engine, ["The lamp is serviced"]) == [[]]
        again = engine.ingest_text("The lamp is serviced twice a year.", source="lamp")
        assert (again.id, again.status) == (first.id, DocumentStatus.INDEXED)
        assert [item["text"] for item in found_by(engine, ["The lamp is serviced"])[0]] == [
            item["text"] for item in before[0]
        ]


WORDS = strategies.sampled_from(("amber", "birch", "cedar", "dune", "ember", "fjord"))
STEPS = strategies.lists(
    strategies.tuples(strategies.sampled_from(("write", "write", "delete")), strategies.integers(0, 3), WORDS),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module")
def changing(tmp_path_factory):
    with open_engine(settings=hashing(tmp_path_factory.mktemp("changing") / "data")) as engine:
        yield engine


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_after_any_steps_exactly_the_living_versions_are_found(changing, steps):
    living: dict[str, tuple[str, str]] = {}
    for verb, number, word in steps:
        source = f"note-{number}"
        if verb == "write":
            text = f"The colour of note {number} is {word}."
            living[source] = (changing.ingest_text(text, source=source).id, text)
        elif source in living:
            changing.delete(living.pop(source)[0])
    try:
        assert {item.id for item in changing.list_documents()} == {document_id for document_id, _ in living.values()}
        found = {
            (item.document_id, item.text)
            for number in range(4)
            for word in ("amber", "birch", "cedar", "dune", "ember", "fjord")
            for item in changing.search(f"The colour of note {number} is {word}.").evidence
        }
        assert found == set(living.values())
    finally:
        if living:
            changing.delete([document_id for document_id, _ in living.values()])


# -- encoders --------------------------------------------------------------------------------------------------------


def test_vectors_of_one_encoder_are_never_searched_with_another(tmp_path):
    with open_engine(settings=hashing(tmp_path / "data")) as engine:
        engine.ingest_text("The lamp is serviced twice a year.")
        assert engine.list_documents()[0].source == text_source("", "The lamp is serviced twice a year.")
        kept = found_by(engine, ["The lamp is serviced"])
    before = rows(tmp_path / "data")
    with open_engine(settings=hashing(tmp_path / "data"), encoder=HashingEncoder(32)) as engine:
        for call in (engine.search, engine.ask, engine.ingest_text):
            with pytest.raises(IndexModelMismatch, match="hashing/64"):
                call("The lamp is serviced")
        (document,) = engine.list_documents()  # what needs no vector still works
        assert engine.document(document.id).text == "The lamp is serviced twice a year."
    assert rows(tmp_path / "data") == before
    with open_engine(settings=hashing(tmp_path / "data")) as engine:
        assert found_by(engine, ["The lamp is serviced"]) == kept
