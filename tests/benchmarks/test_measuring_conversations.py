"""The arithmetic of the conversation benchmark, on hand-made turns."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.conversation import Turn, conversations, converse, ratio_of, row
from benchmarks.labelled import load_set
from fovea import open_engine
from retrieval.embedders.tokenizer import WordTokenCounter
from service.settings import EncoderSettings, Settings

DATA = Path(__file__).parents[1] / "data"


def test_the_ratio_is_of_sums_and_its_interval_is_over_conversations() -> None:
    taken = [[Turn(100, 1000, True), Turn(100, 3000, False)], [Turn(200, 1000, True), Turn(200, 1000, True)]]
    ratio = ratio_of(taken)
    assert ratio.mean == pytest.approx(600 / 6000)
    assert (ratio.low, ratio.high) == (pytest.approx(0.05), pytest.approx(0.2))
    assert row("set", taken) == "| set | 0.100 [0.050, 0.200] | 1 / 10.0 | 150 / 1,000 | 200 | 0.750 [0.500, 1.000] |"


def test_conversations_follow_the_documents() -> None:
    labelled = load_set(DATA / "xquad-en", 0)
    cut = conversations(labelled, count=3, turns=20)
    assert [len(questions) for questions in cut] == [20, 20, 20]
    documents = [question.document for questions in cut for question in questions]
    assert documents == sorted(documents)


def test_a_conversation_carries_all_its_turns_on_the_baselines_side(tmp_path) -> None:
    labelled = load_set(DATA / "xquad-en", 0)
    settings = Settings(data_dir=tmp_path / "data", encoder=EncoderSettings(model="hashing"))
    with open_engine(settings=settings) as engine:
        engine.ingest([labelled.corpus])
        taken = converse(engine, WordTokenCounter(), conversations(labelled, 1, 6)[0])
    assert len(taken) == 6
    assert all(turn.ours < turn.baseline for turn in taken)
    assert taken[-1].baseline > taken[0].baseline
