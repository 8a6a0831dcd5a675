"""`fovea eval` as a person starts it: the samples over the hashing encoder, limits as a gate, plots."""

from __future__ import annotations

import json
import shutil
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from domain.errors import NotFound, UsageError
from fovea import open_engine, plot_evaluation
from fovea.testing import PassThroughReranker
from service.labelled_questions import LabelledQuestion, Reference, read_questions
from tests.service.training_examples import CHINESE, ENGLISH, settings_of

UNANSWERABLE = [
    {"id": f"none-{at}", "question": text, "answers": []}
    for at, text in enumerate(["Who invented the zeppelin?", "How tall is Mount Kilimanjaro?", "What do quokkas eat?"])
]


@pytest.fixture(scope="module")
def report(samples, tmp_path_factory):
    """The English sample with all baselines, three unanswerable questions among them."""
    folder = Path(shutil.copytree(samples, tmp_path_factory.mktemp("reported") / "data"))
    with open_engine(settings=settings_of(folder)) as engine:
        return engine.evaluate(with_unanswerable(), baselines=True, price=2.0)


def with_unanswerable():
    return [*read_questions(ENGLISH), *(LabelledQuestion(row["id"], row["question"]) for row in UNANSWERABLE)]


@pytest.fixture
def engine(samples, tmp_path):
    with open_engine(settings=settings_of(shutil.copytree(samples, tmp_path / "engine"))) as engine:
        yield engine


@pytest.fixture
def fovea(fovea, samples, tmp_path, monkeypatch):
    """Run `fovea eval` on the samples: (status, stdout, stderr)."""
    monkeypatch.setenv("FOVEA_DATA_DIR", str(shutil.copytree(samples, tmp_path / "data")))
    monkeypatch.setenv("FOVEA_ENCODER__MODEL", "hashing")
    return partial(fovea, "eval")


def values(curve):
    return [point.answer_recall.value for point in curve.points]


# -- what is measured ------------------------------------------------------------------------------------------------


def test_the_operating_point_is_what_a_search_gives(engine):
    questions = read_questions(ENGLISH)[:8]
    report = engine.evaluate(questions, budgets=(64, 2000))
    found = [engine.search(one.question) for one in questions]
    assert report.point.context_tokens.value == pytest.approx(sum(one.context_tokens for one in found) / 8)
    prompts = sorted(one.bill.total for one in found)
    assert report.prompt.median == (prompts[3] + prompts[4]) / 2
    texts = [" ".join(item.text for item in one.evidence) for one in found]
    held = sum(question.answers[0] in text for question, text in zip(questions, texts, strict=True))
    assert report.point.answer_recall.value <= held / 8  # at its place, not just anywhere


def test_recall_never_falls_with_the_budget_and_ends_with_all_that_was_retrieved(report):
    for curve in (report.curve, *(one.curve for one in report.baselines)):
        assert values(curve) == sorted(values(curve))
        assert all(0 <= point.answer_recall.low <= point.answer_recall.high <= 1 for point in curve.points)
    assert report.asked.without_candidate == 0
    dense = report.baselines[0]
    assert dense.at_k[50].answer_recall.value == 1  # the sample has fewer chunks than there are candidates


def test_cf95_is_the_tokens_of_plain_top_10_over_t95(report):
    plain = report.plain.plain
    assert report.curve.cf95.value == pytest.approx(plain.context_tokens.value / report.curve.t95.value)
    assert report.plain.token_factor.value == pytest.approx(
        plain.context_tokens.value / report.point.context_tokens.value
    )
    assert report.plain.recall_difference.value == pytest.approx(
        report.point.answer_recall.value - plain.answer_recall.value
    )
    assert report.plain.recall_difference.low <= report.plain.recall_difference.value


def test_every_baseline_runs_over_the_same_candidates(report):
    names = [one.name for one in report.baselines]
    assert names == ["dense top-k", "long-context reorder", "MMR", "sentence window", "BM25 sentences"]
    dense, reordered, mmr, *_ = report.baselines
    assert dense.curve == reordered.curve and dense.at_k == reordered.at_k
    assert dense.at_k[10] == report.plain.plain
    assert mmr.at_k[1] == dense.at_k[1]  # the first choice is the nearest in both
    assert mmr.at_k[50] == dense.at_k[50]  # and in the end both have all
    tokens = [dense.at_k[k].context_tokens.value for k in (1, 2, 3, 5, 10)]
    assert tokens == sorted(set(tokens))


def test_unanswerable_questions_count(report):
    assert (report.asked.answerable, report.asked.unanswerable) == (67, 3)
    assert report.abstention.false_answers is not None and report.abstention.auroc is not None
    assert 0 <= report.abstention.false_answers.value <= 1
    assert report.abstention.auroc.value > 0.5


def test_without_unanswerable_questions_their_half_is_left_open(engine):
    report = engine.evaluate(ENGLISH, limit=5)
    assert report.abstention.false_answers is None and report.abstention.auroc is None
    assert 0 <= report.abstention.false_abstentions.value <= 1
    assert report.asked.total == 5


def test_a_prompt_that_is_not_sent_costs_nothing(report):
    assert report.prompt.dollars(1_000_000) == 2000  # a thousand prompts of a million tokens at 2 dollars a million
    assert report.prompt.mean < report.prompt.plain
    assert report.to_dict()["prompt_tokens"]["dollars_per_1000"] == pytest.approx(report.prompt.mean * 2 / 1000)


def test_references_are_measured_by_character(engine):
    question = read_questions(ENGLISH)[0]
    (found,) = [item for item in engine.search(question.question, max_tokens=2000).evidence][:1]
    whole = [Reference(found.source, span) for span in found.spans]
    labelled = LabelledQuestion("r", question.question, question.answers, references=tuple(whole))
    report = engine.evaluate([labelled, question])
    assert report.spans is not None and report.spans.questions == 1
    assert report.plain.spans is not None
    assert report.spans.recall.value == pytest.approx(1) and report.spans.precision.value > 0
    assert report.spans.iou.value <= report.spans.precision.value + 1e-9
    assert report.plain.spans.recall.value == pytest.approx(1)
    assert report.plain.spans.precision.value < report.spans.precision.value


def test_the_same_draw_asks_the_same_questions(engine):
    first, again, other = (engine.evaluate(ENGLISH, limit=6, seed=seed, budgets=(128,)) for seed in (1, 1, 2))
    assert first.point == again.point and first.curve == again.curve
    assert first.point != other.point


def test_progress_counts_questions(engine):
    heard = []
    engine.evaluate(ENGLISH, limit=3, budgets=(128,), progress=lambda done, total: heard.append((done, total)))
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_a_reranker_without_sentence_scores_is_measured_too(samples, tmp_path):
    folder = shutil.copytree(samples, tmp_path / "data")
    with open_engine(settings=settings_of(folder), reranker=PassThroughReranker()) as engine:
        report = engine.evaluate(ENGLISH, limit=10, budgets=(128, 4000))
    assert report.curve.points[-1].answer_recall.value > 0.9


# -- what cannot be measured -----------------------------------------------------------------------------------------


def test_labels_about_other_documents_are_refused_with_a_name(engine):
    with pytest.raises(
        UsageError, match="None of the 16 documents that the questions name is in the collection"
    ) as error:
        engine.evaluate(CHINESE)
    assert "'cmrc-109'" in error.value.message and "fovea list" in error.value.message


def test_questions_about_missing_documents_are_counted_as_missed(engine):
    lost = LabelledQuestion("lost", "Who wrote it?", ("Nobody",), "nowhere.txt", 3)
    report = engine.evaluate([*read_questions(ENGLISH)[:3], lost])
    assert report.asked.unknown_documents == 1 and report.asked.without_candidate == 1
    assert report.curve.points[-1].answer_recall.value <= 0.75


def test_what_another_document_says_in_the_same_words_is_missed_and_counted(fovea, tmp_path):
    text = "The ferry to Hven leaves at noon."
    rows = [{"id": name, "text": text} for name in ("first", "second")]
    corpus, questions = tmp_path / "corpus.jsonl", tmp_path / "questions.jsonl"
    corpus.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    asked = [
        {"id": name, "question": "When does the ferry leave?", "answers": ["noon"], "document": name, "start": 28}
        for name in ("first", "second")
    ]
    questions.write_text("\n".join(map(json.dumps, asked)), encoding="utf-8")
    with open_engine(settings=settings_of(tmp_path / "data")) as engine:
        engine.ingest([corpus], collection="ferries")
    status, out, err = fovea(questions, "--collection", "ferries", "--json")
    report = json.loads(out)
    assert status == 0, err
    assert report["operating_point"]["answer_recall"]["value"] == 0.5
    assert report["questions"]["repeated_elsewhere"] == 1
    _, out, _ = fovea(questions, "--collection", "ferries")
    assert "1 questions count as missed although their evidence was sent word for word" in " ".join(out.split())


def test_answers_that_no_candidate_holds_are_refused(engine):
    with pytest.raises(UsageError, match="gold evidence of none of the questions"):
        engine.evaluate([LabelledQuestion("q", "Who?", ("xyzzy plugh",))])


def test_recall_needs_an_answerable_question(engine):
    with pytest.raises(UsageError, match="None of the 1 questions has an answer"):
        engine.evaluate([LabelledQuestion("q", "Who?")])


def test_an_unknown_collection_is_refused(engine):
    with pytest.raises(NotFound):
        engine.evaluate(ENGLISH, collection="nowhere")


@pytest.mark.parametrize(
    ("request_fields", "words"),
    [
        ({"budgets": ()}, "budgets are empty"),
        ({"budgets": (128, 64)}, "ascending"),
        ({"budgets": (0, 64)}, "at least 1"),
        ({"min_recall": 1.2}, "between 0 and 1"),
        ({"min_recall": float("nan")}, "between 0 and 1"),
        ({"max_context_tokens": -1.0}, "must not be below 0"),
        ({"price": -0.1}, "price is -0.1"),
        ({"limit": 0}, "at least 1 question"),
    ],
)
def test_requests_that_make_no_sense_are_refused(engine, request_fields, words):
    with pytest.raises(UsageError, match=words):
        engine.evaluate(ENGLISH, **request_fields)


# -- the command -----------------------------------------------------------------------------------------------------


def test_the_tables_show_every_method_and_measure(fovea):
    status, out, err = fovea(ENGLISH, "--baselines", "--limit", 12, "--price", 3, "--budgets", "64,256")
    assert status == 0, err
    for words in ("fovea", "dense top-k", "long-context reorder", "MMR", "sentence window", "BM25 sentences"):
        assert f"\n{words} " in out
    for words in ("T95", "CF95", "nDCG@10", "abstention AUROC", "whole prompt, median", "rerank, ms", "1,000 prompts"):
        assert words in out
    assert "12 answerable and 0 unanswerable questions" in out and "only half measured" in out


def test_the_json_keeps_its_shape(fovea, tmp_path):
    questions = tmp_path / "questions.jsonl"
    rows = [json.loads(line) for line in ENGLISH.read_text(encoding="utf-8").splitlines()][:9] + UNANSWERABLE
    questions.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    status, out, _ = fovea(questions, "--json", "--baselines", "--min-recall", 0, "--budgets", "64,128")
    report = json.loads(out)
    assert status == 0
    assert list(report) == [
        *("collection", "tokenizer", "reranker", "questions", "operating_point", "curve", "t95", "cf95"),
        *("plain_top_10", "ndcg_10", "spans", "abstention", "prompt_tokens", "latency_ms", "baselines", "left_out"),
        *("limits", "passed", "seconds"),
    ]
    assert report["questions"] == {
        **{"total": 12, "answerable": 9, "unanswerable": 3, "documents": report["questions"]["documents"]},
        **{"without_candidate": 0, "unknown_documents": 0, "repeated_elsewhere": 0},
    }
    estimate = {"value", "low", "high"}
    assert set(report["operating_point"]["answer_recall"]) == estimate
    assert [set(point) for point in report["curve"]] == [{"budget", "answer_recall", "context_tokens"}] * 2
    assert set(report["abstention"]) == {"false_abstentions", "false_answers", "auroc"}
    assert set(report["abstention"]["auroc"]) == estimate
    assert list(report["latency_ms"]) == ["encode", "retrieve", "rerank", "build", "total"]
    assert set(report["baselines"][0]) == {"name", "piece", "note", "curve", "t95", "cf95", "at_k"}
    assert set(report["baselines"][0]["at_k"][0]) == {"k", "context_tokens", "answer_recall"}
    assert report["limits"] == [
        {"name": "min_recall", "bound": 0.0, "value": report["operating_point"]["answer_recall"]["value"], "met": True}
    ]
    assert report["spans"] is None and report["passed"] is True


def test_a_missed_limit_ends_with_status_1_and_says_which(fovea):
    status, out, _ = fovea(ENGLISH, "--limit", 6, "--budgets", "128", "--min-recall", 0, "--max-context-tokens", 3)
    assert status == 1
    assert "met     answer recall" in out
    assert "missed  context tokens a question" in out and "is above the limit of 3" in out


def test_met_limits_end_with_status_0(fovea):
    status, out, _ = fovea(ENGLISH, "--limit", 6, "--budgets", "128", "--max-context-tokens", 5000)
    assert status == 0 and "met     context tokens" in out


def test_chinese_questions_are_measured_in_their_collection(fovea):
    status, out, err = fovea(CHINESE, "--collection", "chinese", "--budgets", "256", "--json")
    assert status == 0, err
    assert json.loads(out)["questions"]["answerable"] == 44


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--budgets", "64,many"], "token counts with commas between"),
        (["--plot", "figure.pdf"], ".png or .svg"),
        (["--plot", "nowhere/figure.png"], "does not exist"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_asked(fovea, arguments, words):
    status, _, err = fovea(ENGLISH, *arguments)
    assert status == 2 and words in err and "questions/s" not in err


def test_a_wrong_label_is_named_by_line_and_field(fovea, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"id": "q", "question": "Who?"}\n', encoding="utf-8")
    status, _, err = fovea(tmp_path / "bad.jsonl")
    assert status == 2 and "bad.jsonl:1" in err and '"answers"' in err


# -- plots -----------------------------------------------------------------------------------------------------------


def test_plots_are_png_and_svg(report, tmp_path):
    plot_evaluation(report, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    plot_evaluation(report, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert drawn.startswith("<?xml") and "<svg" in drawn
    for words in ("Fovea, default settings", "plain top-10", "dense top-k, long-context reorder", "BM25 sentences"):
        assert words in drawn
    plot_evaluation(report, tmp_path / "b.svg")
    assert drawn == (tmp_path / "b.svg").read_text(encoding="utf-8")  # the same report, the same file


def test_the_command_writes_its_plot(fovea, tmp_path):
    status, _, err = fovea(ENGLISH, "--limit", 5, "--budgets", "64,128", "--plot", tmp_path / "curve.PNG")
    assert status == 0 and f"Plot: {tmp_path / 'curve.PNG'}" in err
    assert (tmp_path / "curve.PNG").read_bytes().startswith(b"\x89PNG")


def test_a_missing_matplotlib_is_said_with_what_to_install(fovea, tmp_path, monkeypatch):
    def without(name, *rest):
        return None if name == "matplotlib" else find_spec(name, *rest)

    monkeypatch.setattr("service.evaluation.plot.find_spec", without)
    status, _, err = fovea(ENGLISH, "--plot", tmp_path / "curve.png")
    assert status == 2 and "pip install 'fovea-rag[plot]' (in a clone: .venv/bin/pip install -e '.[plot]')" in err
