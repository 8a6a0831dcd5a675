"""`Engine.train` end to end: what is better is saved and used, what is not is not, and what changed is said."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from attention_core.scorer import load_scorer
from domain.errors import ConfigurationError, IndexModelMismatch, NotFound, UsageError
from domain.training import Gain
from fovea import open_engine
from service.labelled_questions import read_questions
from service.training import trainer
from service.training.comparison import verdict
from tests.retrieval.tiny_model import write_tiny_model
from tests.service.training_examples import CHINESE, DATA, ENGLISH, settings_of, wrong_weights

STEPS = 25


@pytest.fixture
def folder(samples, tmp_path):
    return Path(shutil.copytree(samples, tmp_path / "data"))


def wrong(folder):
    """Settings with weights that see everything the wrong way round: training has something to improve."""
    return settings_of(folder, weights=str(wrong_weights(folder.parent / "wrong.safetensors")))


@pytest.fixture(scope="module")
def trained(samples, tmp_path_factory):
    """The same, trained on both sets from weights that are wrong; with the report."""
    folder = Path(shutil.copytree(samples, tmp_path_factory.mktemp("trained") / "data"))
    told = []
    with open_engine(settings=wrong(folder)) as engine:
        report = engine.train(
            {"default": ENGLISH, "chinese": CHINESE},
            steps=STEPS,
            seeds=2,
            progress=lambda what, done, total: told.append((what, done, total)),
        )
    return folder, report, told


# -- better ----------------------------------------------------------------------------------------------------------


def test_better_weights_replace_the_old_ones(trained):
    folder, report, _ = trained
    assert report.outcome == "replaced" and "better on the held-out questions" in report.reason
    assert report.after.mean > report.before.mean and report.gain.mean == pytest.approx(
        report.after.mean - report.before.mean
    )
    assert report.gain.low <= report.gain.mean <= report.gain.high
    assert [one.collection for one in report.collections] == ["default", "chinese"]
    weights = load_scorer(Path(report.weights))
    assert Path(report.weights).parent == folder / "weights" and report.adapter is None
    assert weights.about["trained"] is True and weights.about["encoder"] == "hashing"
    assert weights.about["data"][1] == {"collection": "chinese", "questions": 44, "self_supervised": False}
    assert weights.about["metrics"]["after"] == report.after.to_dict()
    assert report.ingest_again == () and not (folder / "training").exists()


def test_two_seeds_and_their_mean_are_reported_and_the_lowest_loss_is_kept(trained):
    _, report, _ = trained
    assert [one.seed for one in report.seeds] == [0, 1] and report.average.seed is None
    best = min([*report.seeds, report.average], key=lambda one: one.loss_after)
    assert report.best_seed == best.seed and report.after == best.quality
    assert report.worst == min(one.quality.mean for one in report.seeds)
    assert report.seeds[0].loss_before == report.seeds[1].loss_before > report.seeds[0].loss_after
    assert report.average.loss_after < report.average.loss_before
    taught, levelled, judged = report.questions
    assert taught + levelled + judged <= 120 and min(levelled, judged) >= 9


def test_every_stage_is_counted_to_its_end(trained):
    _, _, told = trained
    last = {what: (done, total) for what, done, total in told}
    assert set(last) >= {
        "questions asked (default)",
        "chunks read (chinese)",
        "questions compared, old weights",
        "steps of seed 0",
        "steps of seed 1",
        "questions compared, seed 1",
        "questions levelled",
    }
    assert all(done == total for what, (done, total) in last.items())


def test_the_report_travels_as_json(trained):
    _, report, _ = trained
    flat = json.loads(json.dumps(report.to_dict()))
    assert flat["questions"].keys() == {"training", "levelling", "comparison"}
    assert flat["before"]["mean"] == report.before.mean and flat["seeds_worst"] == report.worst
    assert flat["collections"][0]["gain"].keys() == {"mean", "low", "high"}


def test_the_next_engine_uses_the_new_weights_and_their_levels(trained):
    folder, report, _ = trained
    with open_engine(settings=settings_of(folder)) as engine:
        scoring = engine._parts.scoring.of("default")
        levels = load_scorer(Path(report.weights)).levels
        assert engine._parts.reranker.weights_digest == load_scorer(Path(report.weights)).digest
        assert scoring.maps == levels.maps and set(levels.maps) == {"en", "zh"}
        assert scoring.thresholds == levels.thresholds
        found = engine.search("When was Warsaw's first stock exchange established?")
        assert "1817" in " ".join(one.text for one in found.evidence)
    with open_engine(settings=settings_of(folder, weights="untrained")) as engine:
        assert engine._parts.reranker.weights_digest == "" and not engine._parts.scoring.of("default").maps


def test_maps_belong_to_the_reranker_that_was_trained(trained):
    """Another reranker's scores mean something else."""
    folder, _, _ = trained

    class Other:
        name = "other"

        def rerank(self, query, candidates):
            return []

    with open_engine(settings=settings_of(folder), reranker=Other()) as engine:
        assert not engine._parts.scoring.of("default").maps


# -- not better ------------------------------------------------------------------------------------------------------


def test_weights_that_are_no_better_are_not_used(folder):
    """Without a single step the new weights are the old ones."""
    with open_engine(settings=wrong(folder)) as engine:
        report = engine.train(ENGLISH, steps=0)
    assert report.outcome == "kept" and report.before == report.after and report.gain.mean == 0
    assert "not better" in report.reason and report.weights is None
    assert not (folder / "weights").exists() and not (folder / "training").exists()


def test_weights_that_harm_one_collection_are_not_used(folder, monkeypatch):
    def harmful(compared):
        better, worse = (
            replace(one, gain=Gain(mean, mean, mean)) for one, mean in zip(compared, (0.1, -0.02), strict=True)
        )
        return verdict([better, worse])

    monkeypatch.setattr(trainer, "verdict", harmful)
    with open_engine(settings=wrong(folder)) as engine:
        report = engine.train({"default": ENGLISH, "chinese": CHINESE}, steps=STEPS)
    assert report.outcome == "kept" and "-2.0 on chinese" in report.reason
    assert not (folder / "weights").exists()


def test_a_dry_run_saves_nothing_and_the_same_run_in_earnest_ends_at_once(folder):
    with open_engine(settings=wrong(folder)) as engine:
        dry = engine.train(ENGLISH, steps=STEPS, dry_run=True)
        assert dry.outcome == "dry_run" and dry.weights is None and not (folder / "weights").exists()
        steps = []
        report = engine.train(
            ENGLISH, steps=STEPS, progress=lambda what, done, total: steps.append(what) if "steps" in what else None
        )
    assert steps == [] and report.outcome == "replaced" and report.after == dry.after
    assert not (folder / "training").exists()


def test_other_questions_do_not_continue_an_earlier_run(folder):
    with open_engine(settings=wrong(folder)) as engine:
        engine.train(ENGLISH, steps=20, dry_run=True)
        changed = [replace(one, question=f"{one.question} ") for one in read_questions(ENGLISH)]
        steps = []
        engine.train(
            changed,
            steps=20,
            dry_run=True,
            progress=lambda what, done, total: steps.append(what) if "steps" in what else None,
        )
    assert steps.count("steps of seed 0") == 20


def test_weights_go_to_the_folder_that_is_named(folder, tmp_path):
    with open_engine(settings=wrong(folder)) as engine:
        report = engine.train(ENGLISH, steps=STEPS, output=tmp_path / "out", command="fovea train x")
    assert Path(report.weights) == tmp_path / "out" / "hashing.safetensors"
    assert load_scorer(Path(report.weights)).about["command"] == "fovea train x"
    assert not (folder / "weights").exists()


# -- self-supervision ------------------------------------------------------------------------------------------------


def test_a_collection_trains_on_its_own_questions(folder):
    with open_engine(settings=wrong(folder)) as engine:
        report = engine.train({"default": [], "chinese": []}, self_supervised=80, steps=STEPS)
        assert report.outcome == "replaced" and report.self_supervised > 120
        assert [one.collection for one in report.collections] == ["default", "chinese"]
        weights = load_scorer(Path(report.weights))
    assert weights.levels is None  # self-made questions do not say how high a score must be
    assert all(one["self_supervised"] for one in weights.about["data"])


def test_self_made_questions_join_labelled_ones_and_judge_nothing(folder):
    with open_engine(settings=wrong(folder)) as engine:
        alone = engine.train(ENGLISH, steps=STEPS, dry_run=True)
        both = engine.train({"default": ENGLISH, "chinese": []}, steps=STEPS, self_supervised=60, dry_run=True)
    assert both.questions[0] > alone.questions[0] and both.questions[1:] == alone.questions[1:]
    assert [one.collection for one in both.collections] == ["default"] and both.before == alone.before


# -- refused ---------------------------------------------------------------------------------------------------------


def test_questions_that_cannot_be_used_are_refused_with_a_reason(folder):
    with open_engine(settings=settings_of(folder)) as engine:
        with pytest.raises(UsageError, match="gold evidence of none"):
            engine.train([replace(one, document="elsewhere") for one in read_questions(ENGLISH)])
        with pytest.raises(UsageError, match="at least a dozen documents"):
            engine.train(read_questions(ENGLISH)[:9])
        with pytest.raises(NotFound, match="no collection"):
            engine.train({"nowhere": ENGLISH})
        with pytest.raises(UsageError, match="steps is -1"):
            engine.train(ENGLISH, steps=-1)
        with pytest.raises(ConfigurationError, match="leave out --adapt"):
            engine.train(ENGLISH, adapt=True)


class Sentences:
    """An embedder without token vectors."""

    model_id, dim = "sentences", 4

    def embed_documents(self, texts):
        return np.tile(np.array([1, 0, 0, 0], np.float32), (len(texts), 1))

    def embed_query(self, text):
        return np.array([1, 0, 0, 0], np.float32)


def test_an_encoder_without_token_vectors_has_nothing_to_train(tmp_path):
    with open_engine(settings=settings_of(tmp_path / "data"), encoder=Sentences()) as engine:
        engine.ingest_text("Warsaw is a city.", source="w")
        with pytest.raises(UsageError, match="no token vectors"):
            engine.train(ENGLISH)


# -- layers that learn -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """A tiny encoder without weights, trained with its top layer and taken for better; with the report."""
    texts = [(DATA / "xquad-en" / name).read_text() for name in ("corpus.jsonl", "questions.jsonl")]
    tiny = write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", texts)
    folder = tmp_path_factory.mktemp("adapted") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "verdict", lambda compared: (True, "taken for better"))
        with open_engine(settings=settings_of(folder, model=str(tiny), backend="torch")) as engine:
            engine.ingest([DATA / "xquad-en" / "corpus.jsonl"])
            engine.ingest([DATA / "cmrc-zh" / "corpus.jsonl"], collection="chinese")
            engine.create_collection("empty")
            report = engine.train(ENGLISH, adapt=True, layers=1, steps=6)
    return tiny, folder, report


def test_layers_that_learn_are_saved_beside_the_weights_with_a_new_projection(adapted):
    report = adapted[2]
    assert report.outcome == "replaced"
    weights = load_scorer(Path(report.weights))
    assert weights.adapter == Path(report.adapter) and weights.adapter.is_file()
    assert weights.projection.matrix.shape == (32, 32)  # no more axes than the encoder has
    manifest = json.loads(weights.adapter.with_suffix(".json").read_text())
    assert manifest["layers"] == 1 and manifest["encoder"] == "tiny"


def test_collections_must_be_ingested_anew_and_are_then_searched_with_the_new_layers(adapted):
    tiny, folder, report = adapted
    assert report.ingest_again == ("chinese", "default")
    with open_engine(settings=settings_of(folder, model=str(tiny), backend="torch")) as engine:
        assert Path(report.adapter).stem in str(engine._parts.training.weights.adapter)
        with pytest.raises(IndexModelMismatch):
            engine.search("When was Warsaw's first stock exchange established?")
        engine.delete_collection("default")
        engine.ingest([DATA / "xquad-en" / "corpus.jsonl"])
        found = engine.search("When was Warsaw's first stock exchange established?")
        assert "1817" in " ".join(one.text for one in found.evidence)


def test_training_that_changes_no_layer_keeps_the_adapter_beside_its_weights(adapted, tmp_path, monkeypatch):
    tiny, folder, report = adapted
    monkeypatch.setattr(trainer, "verdict", lambda compared: (True, "taken for better"))
    with open_engine(settings=settings_of(folder, model=str(tiny), backend="torch")) as engine:
        model_id = engine.status()["encoder"]["model_id"]
        engine.ingest([DATA / "xquad-en" / "corpus.jsonl"], collection="fresh")
        again = engine.train({"fresh": ENGLISH}, steps=2, output=tmp_path / "out")
    assert again.ingest_again == () and Path(again.adapter) == tmp_path / "out" / "tiny-adapter.safetensors"
    assert Path(again.adapter).read_bytes() == Path(report.adapter).read_bytes()
    settings = settings_of(folder, model=str(tiny), backend="torch", weights=again.weights)
    with open_engine(settings=settings) as engine:  # stored vectors stay valid: the encoder is the same
        assert engine.status()["encoder"]["model_id"] == model_id
        assert engine.search("When was Warsaw's first stock exchange established?", collection="fresh").evidence
