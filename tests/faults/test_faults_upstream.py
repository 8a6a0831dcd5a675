"""A model server's faults as they reach our callers: the status, the code, and what is never said (cases U)."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from context.selection_policy import SelectionPolicy
from context.templates import WORDINGS
from domain.answers import Answer
from domain.errors import ContextBudgetError
from service.factories import make_context_builder
from service.settings import ContextSettings, Settings
from tests.context.context_examples import query
from tests.context.promise_cases import draw
from tests.faults.upstream_examples import DOORS, RENT, TEXT, served_over
from tests.generation.fake_openai import RESET, STREAM_HEAD, Script, answer, delta, event, fake_openai, status
from tests.generation.fault_server import HANG
from tests.service.api_fakes import events_of

KEY = "sk-very-secret-4711"
GOOD = [STREAM_HEAD, answer(TEXT)]
SECRET_WORDS = "tenant Miller"
TELLING = status(401, f'{{"error": {{"message": "key {KEY} of {SECRET_WORDS} is wrong"}}}}')


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.upstream._FIRST_DELAY_SECONDS", 0.01)


def asked(tmp_path: Path, door: str, *scripts: Script, **generation: Any) -> httpx.Response:
    """The reply to one question at a door, over a model server that plays these scripts."""
    path, body = DOORS[door]
    with (
        fake_openai(*scripts) as upstream,
        served_over(tmp_path, upstream.base_url, **{"fallback": False, **generation}) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        return client.post(path, json=body)


def failed_events(reply: httpx.Response) -> tuple[list[str | None], dict[str, Any]]:
    """The names of a failed stream's events, and the problem that it ends with."""
    events = events_of(reply.text)
    return [name for name, _ in events], json.loads(events[-1][1])


FAULTS = [
    pytest.param([[RESET]] * 3, 502, "llm_unreachable", id="u1 broken connections"),
    pytest.param([[HANG]], 504, "llm_timeout", id="u2 no first token"),
    pytest.param([[status(429)]] * 3, 503, "llm_rate_limited", id="u4 rate limit"),
    pytest.param([[status(500)]] * 3, 502, "llm_unavailable", id="u5 server error"),
    pytest.param([[STREAM_HEAD]] * 3, 502, "llm_truncated", id="u6 nothing in the stream"),
    pytest.param([[STREAM_HEAD, b"data: {not json}\n\n"]], 502, "llm_bad_response", id="u8 not json"),
    pytest.param([[STREAM_HEAD, event(delta(None, "stop"))]], 502, "llm_empty", id="u9 empty"),
    pytest.param([[STREAM_HEAD, event(delta(None, "content_filter"))]], 502, "llm_filtered", id="u9 filtered"),
    pytest.param([[status(401)]], 502, "llm_unauthorized", id="u11 wrong key"),
    pytest.param([[status(404)]], 502, "llm_model_not_found", id="u11 unknown model"),
]


@pytest.mark.parametrize("door", ["ask", "chat stream"])
@pytest.mark.parametrize(("scripts", "code", "name"), FAULTS)
def test_u_a_fault_before_the_first_token_has_its_status_and_code(
    door: str, scripts: list[Script], code: int, name: str, tmp_path: Path
) -> None:
    reply = asked(tmp_path, door, *scripts, first_token_seconds=0.5)
    problem = reply.json()
    assert (reply.status_code, problem["code"]) == (code, name)
    assert reply.headers["content-type"] == "application/problem+json"
    if door.startswith("chat"):
        assert problem["error"]["code"] == name


@pytest.mark.parametrize(("scripts", "code", "name"), FAULTS)
def test_u_the_same_faults_give_the_extractive_answer_where_that_is_allowed(
    scripts: list[Script], code: int, name: str, tmp_path: Path
) -> None:
    reply = asked(tmp_path, "ask", *scripts, fallback=True, first_token_seconds=0.5)
    body = reply.json()
    assert (reply.status_code, body["degraded"], body["model"]) == (200, True, "extractive")
    assert RENT in body["answer"]


def test_u4_our_callers_are_told_when_to_come_back_and_never_later_than_in_a_minute(tmp_path: Path) -> None:
    reply = asked(tmp_path, "chat", [status(429, headers=[("Retry-After", "1e9")])])
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "60")


@pytest.mark.parametrize("end", [[], [RESET]], ids=["u6 end", "u7 reset"])
def test_u6_u7_a_stream_that_breaks_off_ends_with_an_error_and_never_as_done(end: Script, tmp_path: Path) -> None:
    broken = [STREAM_HEAD, event(delta("The rent is ")), 0.2, *end]
    names, problem = failed_events(asked(tmp_path, "ask stream", broken))
    assert (names, problem["code"]) == (["text", "error"], "llm_truncated")
    reply = asked(tmp_path / "2", "chat stream", broken)
    names, problem = failed_events(reply)
    assert (names[-1], problem["code"]) == ("error", "llm_truncated")
    assert "[DONE]" not in reply.text and '"finish_reason":"stop"' not in reply.text


def test_u6_a_broken_answer_is_not_kept_for_the_next_who_asks(tmp_path: Path) -> None:
    broken = [STREAM_HEAD, event(delta("The rent is ")), RESET]
    with fake_openai(broken, GOOD) as upstream, served_over(tmp_path, upstream.base_url, fallback=False) as url:
        with httpx.Client(base_url=url, timeout=60) as client:
            path, body = DOORS["ask"]
            assert client.post(path, json=body).json()["code"] == "llm_truncated"
            assert client.post(path, json=body).json()["answer"] == TEXT
        assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("finish", "word", "flags"),
    [
        ("stop", "stop", (False, False)),
        ("length", "length", (True, False)),
        ("content_filter", "content_filter", (False, True)),
        ("tool_calls", "stop", (False, False)),
        (None, "stop", (False, False)),
    ],
)
def test_u9_an_answer_says_how_it_ended(
    finish: str | None, word: str, flags: tuple[bool, bool], tmp_path: Path
) -> None:
    script = [STREAM_HEAD, answer(TEXT, finish=finish)]
    body = asked(tmp_path, "chat", script).json()
    assert body["choices"][0]["finish_reason"] == word
    assert (body["fovea"]["truncated"], body["fovea"]["filtered"]) == flags
    last = json.loads(events_of(asked(tmp_path / "2", "chat stream", script).text)[-2][1])
    assert last["choices"][0]["finish_reason"] == word
    whole = asked(tmp_path / "3", "ask", script).json()
    assert (whole["truncated"], whole["filtered"]) == flags
    again = Answer.from_dict(whole)
    assert (again.truncated, again.filtered) == flags


@pytest.mark.parametrize("door", DOORS)
def test_u11_neither_the_key_nor_the_servers_words_reach_callers_or_logs(
    door: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    reply = asked(tmp_path, door, [TELLING], api_key=KEY)
    printed = capfd.readouterr()
    for text in (reply.text, str(reply.headers), caplog.text, printed.out, printed.err):
        assert KEY not in text
        assert SECRET_WORDS not in text


def test_u13_the_second_api_of_the_settings_answers_and_is_named(tmp_path: Path) -> None:
    with fake_openai(GOOD) as second:
        generation = {"second_base_url": second.base_url, "second_model": "spare", "second_api_key": KEY}
        body = asked(tmp_path, "ask", [status(503)], **generation).json()
        assert (body["answer"], body["model"], body["degraded"]) == (TEXT, "spare", False)
        head, sent = second.requests[0]
        assert (f"Bearer {KEY}" in head, sent["model"]) == (True, "spare")


def test_u14_a_model_with_a_smaller_window_than_configured_is_a_budget_that_callers_can_lower(tmp_path: Path) -> None:
    refusal = json.dumps({"error": {"message": "This model's maximum context length is 128 tokens. You sent: SECRET"}})
    reply = asked(tmp_path, "ask", [status(400, refusal)])
    problem = reply.json()
    assert (reply.status_code, problem["code"]) == (422, "context_budget")
    assert "128 tokens" in problem["detail"] and "prompt_limit" in problem["detail"]
    assert "SECRET" not in reply.text


class Window:
    """A generator of a given window; only its limits are asked for."""

    model, max_output_tokens = "m", 512

    def __init__(self, context_window: int) -> None:
        self.context_window = context_window


def test_u14_prompts_fit_a_window_below_the_configured_limit_or_are_refused() -> None:
    settings = Settings(context=ContextSettings(prompt_limit=65_536))
    refused = sent = 0
    for seed in range(1_000):
        case = draw(seed)
        window = case.limit
        assert window < 65_536
        builder = make_context_builder(
            settings,
            Window(window),
            case.counter,
            case.bound or case.counter,
            WORDINGS,
            SelectionPolicy(),  # type: ignore[arg-type]
        )
        try:
            bill = builder.build(query(case.question), case.scored, case.options).bill
        except ContextBudgetError:
            refused += 1
            continue
        sent += 1
        assert bill.limit == window
        assert bill.total + bill.margin + bill.reserve <= window, seed
    assert refused and sent


@pytest.mark.parametrize(
    ("limits", "sent"),
    [
        ({"max_tokens": 64}, 64),
        ({"max_completion_tokens": 48}, 48),
        ({"max_tokens": 64, "max_completion_tokens": 48}, 48),
        ({"max_tokens": 100_000}, 512),
        ({}, 512),
    ],
)
def test_the_length_that_a_chat_request_allows_is_passed_on(limits: dict[str, int], sent: int, tmp_path: Path) -> None:
    path, body = DOORS["chat"]
    with fake_openai(GOOD) as upstream, served_over(tmp_path, upstream.base_url) as url:
        with httpx.Client(base_url=url, timeout=60) as client:
            reply = client.post(path, json={**body, **limits}).json()
        assert upstream.requests[0][1]["max_tokens"] == sent
        assert reply["fovea"]["bill"]["reserve"] == sent
