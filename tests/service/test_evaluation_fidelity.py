"""What an evaluation measures is what an engine sends: the same prompts, and tokens counted alike on both sides."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from context.builder import ContextBuilder
from domain.documents import Page
from domain.search import ScoredChunk, ScoredSentence, StoredChunk
from fovea import open_engine
from fovea.testing import FunctionGenerator, make_candidate
from service.bootstrap import build_parts
from service.evaluation.asking import Asker, Outcome, Sent
from service.evaluation.baselines import DenseTopK
from service.evaluation.summary import Summary
from service.labelled_questions import LabelledQuestion, read_questions
from service.settings import ContextSettings, GenerationSettings
from tests.service.training_examples import DATA, ENGLISH, settings_of

LAMP = "The lamp of the lighthouse is serviced twice a year."
QUESTION = "How often is the lamp serviced?"
TEMPLATES = """[en]
role = "You are the keeper's clerk."
question_title = "## What the keeper asks"
page = "on the leaf that bears the number {page} at its foot"
"""


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexed") / "data"
    with open_engine(settings=settings_of(folder)) as engine:
        engine.ingest([DATA / "xquad-en" / "corpus.jsonl"])
    return folder


@pytest.fixture
def built(monkeypatch):
    """Every context that is built, as (ceiling that was asked for, context)."""
    contexts, one, several = [], ContextBuilder.build, ContextBuilder.build_each

    def build(self, query, scored, options):
        context = one(self, query, scored, options)
        contexts.append((options.max_tokens, context))
        return context

    def build_each(self, query, scored, ceilings):
        filled = several(self, query, scored, ceilings)
        contexts.extend(zip(ceilings, filled, strict=True))
        return filled

    monkeypatch.setattr(ContextBuilder, "build", build)
    monkeypatch.setattr(ContextBuilder, "build_each", build_each)
    return contexts


def of_letters(text: str) -> int:
    return len(text)


# -- the same prompts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"context": ContextSettings(restate_from=0)},
        {"context": "templates"},
        {"generation": GenerationSettings(generator="openai", model="nobody-knows-its-tokenizer")},
        {"context": ContextSettings(prompt_limit=2000, reserve=100)},
    ],
    ids=["defaults", "layout", "templates", "bound", "limits"],
)
def test_a_budget_is_filled_with_the_prompt_that_a_question_sends(tmp_path, built, section):
    """One document of one sentence: at any settings there is one prompt that holds it."""
    if section.get("context") == "templates":
        (tmp_path / "words.toml").write_text(TEMPLATES, encoding="utf-8")
        section = {"context": ContextSettings(templates=tmp_path / "words.toml")}
    settings = settings_of(tmp_path / "data").model_copy(update=section)
    with open_engine(settings=settings) as engine:
        engine.ingest_text(LAMP, title="Lamp", source="lamp")
        sent = engine.search(QUESTION).context
        built.clear()
        engine.evaluate([LabelledQuestion("q", QUESTION, ("twice a year",))], budgets=(200,))
    assert sent.evidence
    assert [ceiling for ceiling, _ in built] == [None, 200]
    for _, context in built:
        assert context.messages == sent.messages
        assert context.bill == sent.bill


def test_no_budget_is_filled_beyond_the_window_as_the_model_counts(indexed, tmp_path, built):
    """A model that takes every letter for a token reads 1,500 of them: far less than 2,000 tokens of anybody else's."""
    model = FunctionGenerator(lambda context: "", context_window=2000, max_output_tokens=500)
    model.count_tokens = of_letters
    with open_engine(settings=settings_of(shutil.copytree(indexed, tmp_path / "data")), generator=model) as engine:
        report = engine.evaluate(read_questions(ENGLISH)[:6], budgets=(64, 2000))
    assert all(sum(len(message.content) for message in context.messages) <= 1500 for _, context in built)
    assert report.curve.points[-1].context_tokens < 300


class Indifferent:
    """A reranker to which everything is worth the same."""

    name = "indifferent"

    def rerank(self, query, candidates):
        return [
            ScoredChunk(item.stored, 0.9, tuple(ScoredSentence(one, 0.9) for one in item.chunk.sentences), item.scores)
            for item in candidates
        ]


def test_the_share_of_one_document_does_not_hold_back_a_budget(tmp_path, built):
    """It belongs to the choice at the default settings, which stops early; a budget is stopped by its tokens alone."""
    settings = settings_of(tmp_path / "data").model_copy(
        update={"context": ContextSettings(max_chunks_per_document=1, max_tokens=4000)}
    )
    with open_engine(settings=settings, reranker=Indifferent()) as engine:
        lamps = " ".join(f"The lamp on pier {at} burns {at * 7} litres of oil." for at in range(60))
        engine.ingest_text(lamps, title="Lamps", source="lamps")
        engine.ingest_text("The lamp in the hall is new.", title="Hall", source="hall")
        engine.evaluate([LabelledQuestion("q", QUESTION, ("lamp in the hall",))], budgets=(4000,))
    (_, point), (_, filled) = built
    assert "document_cap" in {item.reason for item in point.dropped}
    assert filled.dropped == ()


def test_baselines_are_laid_out_in_the_users_own_words(indexed, tmp_path):
    """Two candidates with a page each: a longer way to name it costs each of them the difference."""
    (tmp_path / "words.toml").write_text(TEMPLATES, encoding="utf-8")
    folder = shutil.copytree(indexed, tmp_path / "data")
    pages = [_with_page(make_candidate(LAMP, source="a.txt")), _with_page(make_candidate("It rains.", source="b.txt"))]
    sizes = []
    for context in (ContextSettings(), ContextSettings(templates=tmp_path / "words.toml")):
        parts = build_parts(settings_of(folder).model_copy(update={"context": context}))
        try:
            counter = parts.counter
            parts = replace(parts, retriever=_Always(pages))
            asked = Asker(parts, "default", (1000,), [DenseTopK()]).ask(
                LabelledQuestion("q", QUESTION, ("twice a year",))
            )
        finally:
            parts.close()
        sizes.append(asked.baselines["dense top-k"].curve[0].tokens)
    longer = counter.count("on the leaf that bears the number 1 at its foot") - counter.count("p. 1")
    assert longer > 0
    assert sizes[1] - sizes[0] == 2 * longer


def _with_page(candidate):
    chunk = replace(candidate.chunk, pages=(Page(1, candidate.chunk.span),))
    return replace(candidate, stored=StoredChunk(chunk, candidate.stored.document))


class _Always:
    """A retriever that finds the same candidates for every question."""

    def __init__(self, candidates):
        self._candidates = candidates

    def search(self, query, k):
        return list(self._candidates)

    def question_terms(self, collection, text):
        return ()


# -- tokens counted alike --------------------------------------------------------------------------------------------


def test_the_operating_point_is_held_against_the_curve_where_it_sends_as_many_tokens():
    """Budgets of 64 and 128 that were filled with 50 and 100 tokens: at 90 tokens the curve holds .5 + .8 * .5 = .9."""
    outcomes = [_outcome("a", (0.0, 1.0)), _outcome("b", (1.0, 1.0))]
    summary = Summary(outcomes, (64, 128), [])
    assert summary.above_curve().value == pytest.approx(1 - 0.9)
    assert [point.context_tokens for point in summary.curve().points] == [50, 100]


def _outcome(source, recall):
    question = LabelledQuestion(source, "?", ("x",), source, 0)
    curve = (Sent(50, recall[0]), Sent(100, recall[1]))
    return Outcome(question, Sent(90, 1.0), Sent(900, 1.0), curve, 1.0, 0.9, True, False, 200, 110, {"build": 1.0})


def test_both_sides_count_the_tokens_of_the_contexts_that_were_built(indexed, tmp_path, built):
    budgets = (48, 96, 192, 400)
    with open_engine(settings=settings_of(shutil.copytree(indexed, tmp_path / "data"))) as engine:
        report = engine.evaluate(read_questions(ENGLISH)[:8], budgets=budgets)
    tokens = {
        ceiling: np.mean([context.context_tokens for asked, context in built if asked == ceiling])
        for ceiling in (None, *budgets)
    }
    points = report.curve.points
    assert report.point.context_tokens.value == pytest.approx(tokens[None])
    assert [point.context_tokens for point in points] == pytest.approx([tokens[budget] for budget in budgets])
    recall = [0.0, *(point.answer_recall.value for point in points)]
    level = np.interp(tokens[None], [0, *(tokens[budget] for budget in budgets)], recall)
    assert report.above_curve.value == pytest.approx(report.point.answer_recall.value - level)


def test_no_method_sends_more_than_its_budget_nor_less_for_a_larger_one(indexed, tmp_path):
    with open_engine(settings=settings_of(shutil.copytree(indexed, tmp_path / "data"))) as engine:
        report = engine.evaluate(read_questions(ENGLISH)[:8], budgets=(32, 64, 128, 256), baselines=True)
    for curve in (report.curve, *(one.curve for one in report.baselines)):
        assert all(0 < point.context_tokens <= point.budget for point in curve.points[1:])
        assert all(less.context_tokens <= more.context_tokens for less, more in pairwise(curve.points))
    assert report.to_dict()["curve"][1]["context_tokens"] == report.curve.points[1].context_tokens
