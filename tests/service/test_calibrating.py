"""Calibration end to end: labelled samples over the hashing encoder, and what follows at question time."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from domain.calibration import ScoringIdentity
from domain.errors import NotFound, UsageError
from domain.search import ScoredChunk, ScoredSentence
from fovea import open_engine
from service.labelled_questions import LabelledQuestion, read_questions
from service.scoring import reranker_identity
from service.settings import EncoderSettings, RetrievalSettings, Settings
from tests.service.training_examples import CHINESE, DATA, ENGLISH


class Backwards:
    """Ranks the worst candidate first and gives its sentences the highest scores: a reranker that harms."""

    name = "backwards"

    def rerank(self, query, candidates):
        scored = []
        for rank, candidate in enumerate(self.ordered(candidates), start=1):
            sentences = tuple(ScoredSentence(item, 0.9 / rank) for item in candidate.chunk.sentences)
            scored.append(ScoredChunk(candidate.stored, 0.9 / rank, sentences, dict(candidate.scores)))
        return scored

    def ordered(self, candidates):
        return reversed(candidates)


class Repaired(Backwards):
    """Under the same name a reranker that keeps the order."""

    def ordered(self, candidates):
        return candidates


def settings_of(folder, **sections):
    return Settings(data_dir=folder, encoder=EncoderSettings(model="hashing"), **sections)


@pytest.fixture(scope="module")
def calibrated(samples, tmp_path_factory):
    """The same, its English collection calibrated; with the report."""
    folder = Path(shutil.copytree(samples, tmp_path_factory.mktemp("calibrated") / "data"))
    with open_engine(settings=settings_of(folder)) as engine:
        return folder, engine.calibrate(ENGLISH)


@pytest.fixture(scope="module")
def harmed(samples, tmp_path_factory):
    """The same, calibrated with a reranker that harms; with the report."""
    folder = Path(shutil.copytree(samples, tmp_path_factory.mktemp("harmed") / "data"))
    with open_engine(settings=settings_of(folder), reranker=Backwards()) as engine:
        return folder, engine.calibrate(ENGLISH)


@pytest.fixture
def opened(samples, tmp_path):
    """Open engines over a copy of a folder (the samples at first); the next one closes the last."""
    engines = []

    def open_one(source=None, sections=None, **parts):
        for engine in engines:
            engine.close()
        if source is not None or not engines:
            shutil.rmtree(tmp_path / "data", ignore_errors=True)
            shutil.copytree(source or samples, tmp_path / "data")
        engines.append(open_engine(settings=settings_of(tmp_path / "data", **(sections or {})), **parts))
        return engines[-1]

    yield open_one
    for engine in engines:
        engine.close()


def line_of(engine, collection="default"):
    (line,) = (item for item in engine.status()["scoring"] if item["collection"] == collection)
    return line


def questions_of(path=ENGLISH):
    return read_questions(path)


# -- what a run finds out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "collection", "language"), [(ENGLISH, "default", "en"), (CHINESE, "chinese", "zh")])
def test_a_run_measures_both_orders_on_questions_that_it_was_not_fitted_on(opened, path, collection, language):
    report = opened().calibrate(path, collection=collection, target=0.1)
    calibration = report.calibration
    assert report.outcome == "replaced"
    assert sum(calibration.questions) == len(read_questions(path))
    assert set(calibration.maps) == {language}
    assert calibration.maps[language].knots == ()  # too few questions for steps
    assert 0.8 < calibration.fused.ndcg <= 1 and 0.8 < calibration.attention.ndcg <= 1
    assert report.losses["0.1"] == calibration.attention.evidence_loss < 0.5
    assert set(report.losses) == {"0.02", "0.05", "0.1"}
    assert report.losses["0.02"] is None  # some thirty questions promise no 2 %
    assert calibration.thresholds.abstain_below > 0 and calibration.thresholds.mass_per_token > 0


def test_the_same_questions_in_another_order_give_the_same_calibration(opened):
    engine = opened()
    first = engine.calibrate(questions_of(), dry_run=True)
    again = engine.calibrate(questions_of()[::-1], dry_run=True)
    assert replace(first.calibration, fitted_at="") == replace(again.calibration, fitted_at="")


def test_the_report_is_one_json_object(opened):
    report = opened().calibrate(ENGLISH, dry_run=True)
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["outcome"] == "dry_run"
    assert data["before"].keys() == data["after"].keys() == data["calibration"]["fused"].keys()
    low, high = data["evidence_loss_interval"]
    assert low <= data["after"]["evidence_loss"] <= high
    assert "too few to promise a loss of 5 %" in data["warnings"][-1]


def test_progress_counts_the_held_out_half_twice(opened):
    seen = []
    report = opened().calibrate(ENGLISH, progress=lambda done, total: seen.append((done, total)))
    fitting, held_out = report.calibration.questions
    total = fitting + 2 * held_out
    assert seen == [(done, total) for done in range(1, total + 1)]


def test_labelled_unanswerable_questions_are_put_too(opened):
    foreign = [replace(one, answers=(), document=None, start=None) for one in questions_of(CHINESE)]
    report = opened().calibrate((*questions_of(), *foreign))
    assert report.calibration.attention.auroc > 0.9
    assert sum(report.calibration.questions) == len(questions_of()) + len(foreign)
    assert report.calibration.attention.abstention > 0.5


def test_answers_without_a_place_are_looked_for_in_any_document(opened):
    bare = [replace(one, document=None, start=None) for one in questions_of()]
    report = opened().calibrate(bare)
    assert report.calibration.attention.auroc is None  # no document to leave out, so nothing unanswerable
    assert report.calibration.attention.abstention is None
    assert report.calibration.attention.ndcg > 0.8


# -- what follows ----------------------------------------------------------------------------------------------------


def test_the_next_question_is_scored_by_what_was_found_out(opened):
    engine = opened()
    question = questions_of()[0].question
    before = engine.search(question)
    calibration = engine.calibrate(ENGLISH).calibration
    after = engine.search(question)
    scores = [item.score for found in after.evidence for item in found.sentences]
    assert scores and max(scores) != max(item.score for found in before.evidence for item in found.sentences)
    assert max(scores) >= calibration.thresholds.abstain_below
    assert engine.reset_calibration()
    assert engine.search(question).evidence == before.evidence


def test_a_calibration_outlives_the_process_and_touches_its_own_collection_only(opened, samples, calibrated):
    folder, report = calibrated
    engine = opened(folder)
    assert report.outcome == "replaced"
    assert line_of(engine)["calibration"] == f"of {report.calibration.fitted_at[:10]}"
    assert (line_of(engine)["attention"], line_of(engine)["why"]) == ("on", report.calibration.reason)
    assert line_of(engine, "chinese")["calibration"] == "none"
    question = questions_of(CHINESE)[0].question
    found = engine.search(question, collection="chinese").evidence
    assert opened(samples).search(question, collection="chinese").evidence == found != ()


def test_nothing_is_stored_in_a_dry_run(opened):
    engine = opened()
    assert engine.calibrate(ENGLISH, dry_run=True).outcome == "dry_run"
    assert line_of(engine)["calibration"] == "none"


def test_the_same_questions_twice_change_nothing(opened, calibrated):
    engine = opened(calibrated[0])
    line = line_of(engine)
    again = engine.calibrate(ENGLISH)
    assert again.outcome == "kept"
    assert "not better" in again.reason
    assert again.before == again.calibration.attention == calibrated[1].calibration.attention
    assert line_of(engine) == line
    assert engine.calibrate(ENGLISH, dry_run=True).outcome == "kept"


def test_another_target_replaces_what_was_fitted_for_the_first(opened, calibrated):
    report = opened(calibrated[0]).calibrate(ENGLISH, target=0.2)
    assert report.outcome == "replaced"
    assert "0.05" in report.reason


def test_reset_says_whether_there_was_anything_to_forget(opened, calibrated):
    engine = opened(calibrated[0])
    assert [engine.reset_calibration() for _ in range(2)] == [True, False]
    assert line_of(engine)["calibration"] == "none"
    with pytest.raises(NotFound):
        engine.reset_calibration("none")


def test_a_collection_that_is_deleted_and_made_again_is_not_calibrated(opened, samples, calibrated):
    engine = opened(calibrated[0])
    question = questions_of()[0].question
    engine.search(question)  # its scoring is known now
    engine.delete_collection("default")
    engine.ingest([DATA / "xquad-en" / "corpus.jsonl"])
    assert line_of(engine)["calibration"] == "none"
    again = engine.search(question).evidence
    assert again == opened(samples).search(question).evidence


# -- the safety net --------------------------------------------------------------------------------------------------


def test_where_the_reranker_harms_the_fused_order_is_used_and_the_status_says_so(opened, harmed):
    folder, report = harmed
    calibration, question = report.calibration, questions_of()[0].question
    assert not calibration.uses_attention
    assert calibration.attention.ndcg < calibration.fused.ndcg - 0.005
    assert calibration.quality == calibration.fused
    engine = opened(folder, reranker=Backwards())
    assert line_of(engine)["attention"] == "off"
    assert f"{calibration.fused.ndcg:.3f} of the fused order" in line_of(engine)["why"]
    found = engine.search(question).evidence
    assert engine.reset_calibration()
    assert engine.search(question).evidence != found
    assert opened(folder, {"retrieval": RetrievalSettings(reranker="none")}).search(question).evidence == found


def test_where_attention_stays_off_a_second_run_changes_nothing(opened, harmed):
    again = opened(harmed[0], reranker=Backwards()).calibrate(ENGLISH)
    assert again.outcome == "kept"
    assert "as before" in again.reason
    assert again.before == again.calibration.fused


def test_a_reranker_that_has_become_better_is_switched_on_again(opened, harmed):
    engine = opened(harmed[0], reranker=Repaired())
    assert line_of(engine)["attention"] == "off"
    report = engine.calibrate(ENGLISH)
    assert report.outcome == "replaced"
    assert "helps" in report.reason
    assert line_of(engine)["attention"] == "on"


# -- stale and damaged ones ------------------------------------------------------------------------------------------


def test_a_calibration_of_another_reranker_is_not_used_and_named_until_it_is_replaced(opened, harmed):
    question = questions_of()[0].question
    uncalibrated = opened().search(question).evidence
    engine = opened(harmed[0])
    assert engine.search(question).evidence == uncalibrated
    line = line_of(engine)
    assert (line["calibration"], line["attention"]) == ("stale, not used", "on")
    assert "another reranker" in line["why"] and "fovea calibrate" in line["why"]
    assert engine.calibrate(ENGLISH).outcome == "replaced"
    assert line_of(engine)["calibration"].startswith("of ")


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (ScoringIdentity("e6", "c", "r"), ["encoder"]),
        (ScoringIdentity("e", "c2", "r"), ["token codec"]),
        (ScoringIdentity("e", "d", "s"), ["token codec", "reranker"]),
        (ScoringIdentity("e", "c", "r"), []),
    ],
)
def test_what_differs_is_named(other, named):
    assert ScoringIdentity("e", "c", "r").differences(other) == named


def test_new_weights_under_an_old_name_are_another_reranker(opened, harmed):
    reranker = Backwards()
    reranker.weights_digest = "0123abcd"
    assert line_of(opened(harmed[0], reranker=reranker))["calibration"] == "stale, not used"
    assert reranker_identity(reranker) == "backwards/0123abcd"


def test_a_damaged_row_does_not_keep_questions_from_being_answered(opened, calibrated, tmp_path):
    opened(calibrated[0]).close()
    with closing(sqlite3.connect(tmp_path / "data" / "fovea.db")) as connection, connection:
        connection.execute("UPDATE calibrations SET content = '{}'")
    engine = opened()
    assert engine.search(questions_of()[0].question).evidence
    assert "--reset" in line_of(engine)["why"]
    assert engine.reset_calibration()
    assert line_of(engine)["calibration"] == "none"


# -- what cannot be calibrated ---------------------------------------------------------------------------------------


def test_too_few_questions_for_a_target_are_refused_with_the_number_that_it_takes(opened):
    with pytest.raises(UsageError, match=r"needs 49 and 10: label more questions, about 98") as caught:
        opened().calibrate(ENGLISH, target=0.02)
    assert caught.value.code == "too_few_questions"


@pytest.mark.parametrize("target", [0, 1, -0.05, 5])
def test_a_target_that_is_no_share_is_refused(opened, target):
    with pytest.raises(UsageError, match="share of evidence"):
        opened().calibrate(ENGLISH, target=target)


def test_questions_about_one_document_cannot_be_split(opened):
    with pytest.raises(UsageError, match="several documents"):
        opened().calibrate([one for one in questions_of() if one.document == "xquad-en-9"])


def test_questions_about_other_documents_are_refused(opened):
    with pytest.raises(UsageError, match="in this collection") as caught:
        opened().calibrate(CHINESE)
    assert caught.value.code == "no_gold_evidence"


def test_a_collection_that_does_not_exist_cannot_be_calibrated(opened):
    with pytest.raises(NotFound):
        opened().calibrate(ENGLISH, collection="none")


def test_without_a_reranker_there_is_nothing_to_calibrate(opened):
    engine = opened(sections={"retrieval": RetrievalSettings(reranker="none")})
    with pytest.raises(UsageError, match="no scores"):
        engine.calibrate(ENGLISH)
    assert line_of(engine) == {
        "collection": "default",
        "calibration": "none",
        "attention": "off",
        "why": 'retrieval.reranker is "none"',
    }


def test_a_question_that_retrieval_misses_is_counted_and_left_out_of_the_thresholds(opened):
    lost = [LabelledQuestion(f"lost-{at}", "Where is it?", ("nowhere",), f"missing-{at}", 0) for at in range(4)]
    report = opened().calibrate([*questions_of(), *lost], dry_run=True)
    assert report.skipped == 4


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def fovea(fovea, samples, tmp_path, monkeypatch):
    """Run a command on the samples: (status, stdout, stderr)."""
    shutil.copytree(samples, tmp_path / "data", dirs_exist_ok=True)
    monkeypatch.setenv("FOVEA_ENCODER__MODEL", "hashing")
    monkeypatch.setenv("FOVEA_DATA_DIR", str(tmp_path / "data"))
    return fovea


def test_the_command_prints_before_and_after_and_doctor_says_what_became_of_it(fovea):
    status, shown, _ = fovea("calibrate", ENGLISH)
    assert status == 0
    assert "before" in shown and "attention, calibrated" in shown and "nDCG@10" in shown
    assert "Attention is on:" in shown
    assert "Stored, and used from now on" in shown
    assert "Warning: 34 questions to fit on are too few to promise a loss of 5 %" in shown
    assert "\n95 % interval of that for 5%: " in shown
    status, shown, _ = fovea("calibrate", ENGLISH)
    assert (status, "The stored calibration is kept" in shown) == (0, True)
    status, shown, _ = fovea("doctor")
    assert status == 0
    (line,) = (line for line in shown.splitlines() if line.startswith("  collection default, calibration"))
    assert "attention on" in line and "held-out questions" in line
    (line,) = (line for line in shown.splitlines() if line.startswith("  collection chinese, calibration"))
    assert "calibration none" in line and "fovea calibrate" in line


def test_doctor_says_that_attention_is_off(fovea, opened, harmed, monkeypatch):
    opened(harmed[0]).close()
    monkeypatch.setenv("FOVEA_RETRIEVAL__RERANKER", "tests.service.test_calibrating:Backwards")
    monkeypatch.setitem(sys.modules, "tests.service.test_calibrating", sys.modules[__name__])
    _, shown, _ = fovea("doctor")
    (line,) = (line for line in shown.splitlines() if line.startswith("  collection default, calibration"))
    assert "attention off" in line and "of the fused order" in line


def test_json_is_the_report_and_dry_run_and_reset_do_as_they_say(fovea):
    status, shown, _ = fovea("calibrate", CHINESE, "--collection", "chinese", "--dry-run", "--target", "0.1", "--json")
    assert status == 0
    assert json.loads(shown)["outcome"] == "dry_run"
    assert json.loads(fovea("calibrate", "--reset", "--json")[1]) == {"collection": "default", "reset": False}
    assert "it had no calibration" in fovea("calibrate", "--reset")[1]
    fovea("calibrate", ENGLISH)
    assert "forgotten" in fovea("calibrate", "--reset")[1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "--reset"),
        ((ENGLISH, "--reset"), "not both"),
        (("missing.jsonl",), "missing.jsonl"),
        ((DATA / "xquad-en" / "corpus.jsonl",), '"answers"'),
        ((ENGLISH, "--collection", "none"), "'none'"),
        ((ENGLISH, "--target", "2"), "share"),
        ((ENGLISH, "--target", "0.02"), "49"),
    ],
)
def test_bad_input_ends_with_2_and_a_sentence(fovea, arguments, named):
    status, shown, errors = fovea("calibrate", *arguments)
    assert (status, shown) == (2, "")
    assert named in errors
