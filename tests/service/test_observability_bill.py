"""The bill of every question stands in the server's metrics and in its log, and no word of what was asked or said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from domain.context import Dropped
from service.observability import Metrics
from tests.service.api_fakes import LEASE, FakeEngine, local_client

# The fake's bill: 20 system, 5 constraints, 30 evidence, 8 question; plain top-10 would have cost 400.
TOTAL = 63


@pytest.fixture
def engine():
    return FakeEngine({"secret-name.txt": LEASE})


@pytest.fixture
def metrics():
    return Metrics()


def lines(metrics):
    return metrics.render([]).decode().split("\n")


def answer_with(engine, **bill):
    """An answer of the fake whose bill says so."""
    answer = engine.ask("secretquestion")
    context = answer.search.context
    return replace(answer, search=replace(answer.search, context=replace(context, bill=replace(context.bill, **bill))))


# -- metrics ---------------------------------------------------------------------------------------------------------


def test_prompts_are_counted_by_part_with_their_margin(engine, metrics):
    for _ in range(2):
        metrics.observe_answer(answer_with(engine, history=7, margin=9))
    for part, tokens in {"system": 40, "constraints": 10, "history": 14, "evidence": 60, "question": 16}.items():
        assert f'fovea_prompt_tokens_total{{part="{part}"}} {tokens}.0' in lines(metrics)
    assert "fovea_prompt_margin_tokens_total 18.0" in lines(metrics)


def test_what_models_report_stands_beside_our_count_of_the_same_prompts(engine, metrics):
    metrics.observe_answer(answer_with(engine, margin=9, reported=60))
    metrics.observe_answer(answer_with(engine, margin=9, reported=TOTAL + 9))
    metrics.observe_answer(answer_with(engine, margin=9))  # a model that does not report
    assert f"fovea_reported_prompt_tokens_total {60 + TOTAL + 9}.0" in lines(metrics)
    assert f"fovea_reconciled_prompt_tokens_total {2 * TOTAL}.0" in lines(metrics)
    assert "fovea_prompts_beyond_bound_total 0.0" in lines(metrics)


def test_a_prompt_that_the_model_counts_beyond_its_margin_is_an_alarm(engine, metrics):
    metrics.observe_answer(answer_with(engine, margin=9, reported=TOTAL + 10))
    assert "fovea_prompts_beyond_bound_total 1.0" in lines(metrics)


def test_an_abstention_sends_no_prompt(engine, metrics):
    metrics.observe_answer(engine.ask("q", collection="empty"))
    assert 'fovea_answers_total{outcome="abstained"} 1.0' in lines(metrics)
    assert not [line for line in lines(metrics) if line.startswith("fovea_prompt_tokens_total{")]


def test_what_was_left_out_is_counted_by_reason(engine, metrics):
    found = engine.search("q")
    twice = (*found.context.dropped, Dropped("chunk-8", "doc-8", "budget", 90, 0.2))
    metrics.observe_search(replace(found, context=replace(found.context, dropped=twice)))
    metrics.observe_answer(engine.ask("q"))
    assert 'fovea_dropped_chunks_total{reason="rank"} 2.0' in lines(metrics)
    assert 'fovea_dropped_chunks_total{reason="budget"} 1.0' in lines(metrics)


def test_searches_are_counted_by_whether_they_found_evidence(engine, metrics):
    metrics.observe_search(engine.search("q"))
    metrics.observe_search(engine.search("q", collection="empty"))
    assert 'fovea_searches_total{outcome="found"} 1.0' in lines(metrics)
    assert 'fovea_searches_total{outcome="nothing"} 1.0' in lines(metrics)
    assert 'fovea_stage_seconds_count{stage="retrieve"} 2.0' in lines(metrics)


# -- the log ---------------------------------------------------------------------------------------------------------


def test_an_answer_leaves_its_bill_in_the_log(engine, metrics):
    answer = answer_with(engine, margin=9, reported=60)
    with capture_logs() as logged:
        metrics.observe_answer(answer)
    (line,) = logged
    assert line == {
        **{"event": "answered", "log_level": "info", "outcome": "answered", "model": "fake-model"},
        "bill": answer.search.bill.to_dict(),
        "dropped": {"rank": 1},
        "milliseconds": {"encode": 1.5, "retrieve": 2.0, "generate": 3.0, "total": 7.0},
    }
    assert (line["bill"]["margin"], line["bill"]["reported"], line["bill"]["difference"]) == (9, 60, -3)


@pytest.mark.parametrize(
    ("path", "body", "event"),
    [
        ("/v1/ask", {"question": "secretquestion"}, "answered"),
        ("/v1/ask", {"question": "secretquestion", "stream": True}, "answered"),
        ("/v1/search", {"question": "secretquestion"}, "searched"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "secretquestion"}]}, "answered"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "secretquestion"}], "stream": True},
            "answered",
        ),
    ],
)
def test_every_route_that_answers_logs_the_bill_without_a_word_of_content(engine, path, body, event):
    with capture_logs(processors=[merge_contextvars]) as logged:
        response = local_client(engine).post(path, json=body)
    (line,) = [line for line in logged if line["event"] == event]
    assert line["request_id"] == response.headers["x-request-id"]
    assert line["bill"]["total"] == TOTAL
    assert line["dropped"] == {"rank": 1}
    shown = str(logged)
    assert "secret" not in shown and "Rent" not in shown and "900 euros" not in shown
