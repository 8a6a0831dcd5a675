"""The generator against a model server that fails in every known way (reliability cases U1 to U11)."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from dataclasses import replace

import httpx
import pytest

from domain.answers import Usage
from domain.asking import Message
from domain.errors import (
    ConfigurationError,
    GenerationCancelled,
    GenerationError,
    GeneratorBadResponse,
    GeneratorTimeout,
    GeneratorUnreachable,
)
from generation.arriving import MAX_ANSWER_BYTES
from generation.chat_chunks import parse_chunk
from generation.openai_compatible import OpenAICompatibleGenerator
from generation.stream import Generation
from tests.generation.fake_openai import (
    RESET,
    STREAM_HEAD,
    Forever,
    Script,
    answer,
    delta,
    event,
    fake_openai,
    reply_of,
    status,
)
from tests.generation.fault_server import HANG, Step
from tests.generation.generation_examples import WordCounter, context

KEY = "sk-very-secret-4711"
GOOD = [STREAM_HEAD, answer("The rent ", "is 500 [1].")]


def generator(base_url: str, **options: float | str) -> OpenAICompatibleGenerator:
    settings = {"first_token_seconds": 5.0, "total_seconds": 10.0, **options}
    return OpenAICompatibleGenerator(base_url, "m", WordCounter(), api_key=KEY, **settings)  # type: ignore[arg-type]


def ask(*scripts: Script, **options: float | str) -> tuple[str, Generation]:
    """The whole answer of a server that plays these scripts, one a call."""
    with fake_openai(*scripts) as server:
        parts = generator(server.base_url, **options).generate(context())
        return "".join(parts), parts


def failure(*scripts: Script, **options: float | str) -> tuple[GenerationError, int]:
    """The error that a server's scripts lead to, and how many calls it took."""
    with fake_openai(*scripts) as server:
        with pytest.raises(GenerationError) as caught:
            list(generator(server.base_url, **options).generate(context()))
        assert KEY not in str(caught.value)
        return caught.value, len(server.requests)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.upstream._FIRST_DELAY_SECONDS", 0.01)


def test_the_answer_arrives_in_parts_with_its_usage() -> None:
    with fake_openai(GOOD) as server:
        parts = generator(server.base_url).generate(context())
        assert list(parts) == ["The rent ", "is 500 [1]."]
        assert (parts.usage, parts.finish_reason) == (Usage(7, 2), "stop")
        assert not parts.truncated and not parts.filtered
        head, body = server.requests[0]
        assert head.startswith("POST /v1/chat/completions HTTP/1.1")
        assert f"authorization: bearer {KEY}" in head.casefold()
        assert body["messages"][1] == {"role": "user", "content": "What is the rent?"}
        assert (body["stream"], body["model"]) == (True, "m")


@pytest.mark.parametrize("count", [-1, 0, True, 2**63, 10**30])
def test_a_count_of_tokens_that_cannot_be_is_none(count: int) -> None:
    reply = {"choices": [], "usage": {"prompt_tokens": count, "completion_tokens": 2}}
    assert parse_chunk(json.dumps(reply)).usage is None


@pytest.mark.parametrize(
    ("script", "begun"),
    [
        ([STREAM_HEAD, event({"id": "c", "choices": [{"delta": {"reasoning_content": "Hm."}}]})], True),
        ([STREAM_HEAD, event(delta("The "))], True),
        ([STREAM_HEAD, event(delta(None))], False),
        ([status(400)], False),
    ],
)
def test_an_answer_that_failed_says_whether_the_model_had_begun(script: Script, begun: bool) -> None:
    with fake_openai(script, script, script) as server:
        parts = generator(server.base_url).generate(context())
        with pytest.raises(GenerationError):
            list(parts)
        assert parts.begun is begun


def test_the_answer_may_be_no_longer_than_the_reserve() -> None:
    with fake_openai(GOOD) as server:
        list(generator(server.base_url).generate(context()))
        assert server.requests[0][1]["max_tokens"] == 50  # the bill's reserve, not the generator's 1,024


def test_one_generator_serves_many_threads_without_mixing_their_answers() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)["messages"][1]["content"]
        return reply_of(answer(*[f"{asked} "] * 20))

    shared = OpenAICompatibleGenerator("http://model/v1", "m", WordCounter(), transport=httpx.MockTransport(reply))
    answers: dict[int, str] = {}

    def run(number: int) -> None:
        asked = replace(context(), messages=(Message("system", "s"), Message("user", f"q{number}")))
        answers[number] = "".join(shared.generate(asked))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: f"q{number} " * 20 for number in range(8)}


def test_it_works_where_an_event_loop_already_runs() -> None:
    async def in_a_notebook() -> str:
        return ask(GOOD)[0]

    assert asyncio.run(in_a_notebook()) == "The rent is 500 [1]."


def test_u1_a_refused_connection_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(GeneratorUnreachable, match=f"127.0.0.1:{port}") as caught:
        list(generator(f"http://127.0.0.1:{port}/v1").generate(context()))
    assert (caught.value.code, caught.value.retryable) == ("llm_unreachable", True)


def test_u1_a_connection_that_hangs_is_given_up_once() -> None:
    calls = []

    async def hang(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        raise httpx.ConnectTimeout("timed out")

    hanging = OpenAICompatibleGenerator("http://model/v1", "m", WordCounter(), transport=httpx.MockTransport(hang))
    with pytest.raises(GeneratorUnreachable):
        list(hanging.generate(context()))
    assert len(calls) == 1


def test_u2_no_first_token_in_time() -> None:
    error, _ = failure([STREAM_HEAD, Forever(b": keep-alive\n\n", 0.02)], first_token_seconds=0.2)
    assert isinstance(error, GeneratorTimeout)
    assert "no first token in 0.2 seconds" in error.message


def test_u2_headers_that_drip_do_not_outlast_the_deadline() -> None:
    error, _ = failure([b"HTTP/1.1 200 OK\r\nX: ", Forever(b"a", 0.02)], first_token_seconds=0.2)
    assert error.code == "llm_timeout"


@pytest.mark.parametrize("drip", [b"data: ", b": still here\n\n", event(delta("a")), event(delta(""))])
def test_u3_a_slow_drip_ends_at_the_total_deadline(drip: bytes) -> None:
    error, _ = failure([STREAM_HEAD, event(delta("The ")), Forever(drip, 0.02)], total_seconds=0.3)
    assert isinstance(error, GeneratorTimeout)
    assert "not complete after 0.3 seconds" in error.message


def test_u3_waiting_for_the_usage_cannot_spoil_a_complete_answer() -> None:
    text, parts = ask([STREAM_HEAD, event(delta("Yes.", "stop")), Forever(b": waiting\n\n", 0.02)], total_seconds=0.3)
    assert (text, parts.finish_reason) == ("Yes.", "stop")


@pytest.mark.parametrize("asked", ["0", "0.01", "Thu, 01 Jan 1970 00:00:00 GMT", "-5", "nan", "soon", ""])
def test_u4_a_rate_limit_is_waited_out_where_the_wait_is_short(asked: str) -> None:
    headers = [("Retry-After", asked)] if asked else []
    assert ask([status(429, headers=headers)], [status(429, headers=headers)], GOOD)[0] == "The rent is 500 [1]."


@pytest.mark.parametrize(
    ("asked", "told"), [("42", 42), ("3600", 60), ("1e9", 60), ("Wed, 01 Jan 2200 00:00:00 GMT", 60), ("inf", 60)]
)
def test_u4_a_rate_limit_with_a_long_wait_fails_at_once_and_says_how_long_up_to_a_minute(asked: str, told: int) -> None:
    error, calls = failure([status(429, headers=[("Retry-After", asked)])], GOOD)
    assert (error.code, error.retryable, calls) == ("llm_rate_limited", True, 1)
    assert error.retry_after_seconds == told


@pytest.mark.parametrize(("asked", "told"), [("0", 1), ("-5", 5), ("", 5), ("0.01", 1)])
def test_u4_a_rate_limit_that_retries_did_not_cure_says_when_to_come_back(asked: str, told: int) -> None:
    headers = [("Retry-After", asked)] if asked else []
    error, calls = failure(*[[status(429, headers=headers)]] * 5)
    assert (error.code, error.retry_after_seconds, calls) == ("llm_rate_limited", told, 3)


def test_u4_a_wait_that_the_deadline_has_no_room_for_is_not_begun() -> None:
    error, calls = failure([status(429, headers=[("Retry-After", "9")])], GOOD, first_token_seconds=5.0)
    assert (error.code, error.retry_after_seconds, calls) == ("llm_rate_limited", 9, 1)


@pytest.mark.parametrize("code", [500, 502, 503, 529])
def test_u5_a_failing_server_is_asked_again(code: int) -> None:
    assert ask([status(code)], [status(code)], GOOD)[0] == "The rent is 500 [1]."
    error, calls = failure(*[[status(code)]] * 4)
    assert (error.code, error.retryable, calls) == ("llm_unavailable", True, 3)


def test_u5_a_connection_lost_before_the_first_token_is_retried() -> None:
    assert ask([RESET], [STREAM_HEAD, RESET], GOOD)[0] == "The rent is 500 [1]."


def test_u5_nothing_is_retried_after_the_first_token() -> None:
    with fake_openai([STREAM_HEAD, event(delta("The ")), RESET], GOOD) as server:
        parts = generator(server.base_url).generate(context())
        assert next(parts) == "The "
        with pytest.raises(GeneratorBadResponse) as caught:
            list(parts)
        assert (caught.value.code, len(server.requests)) == ("llm_truncated", 1)


@pytest.mark.parametrize(("finish", "done"), [("stop", False), (None, True)])
def test_u6_either_proof_of_the_end_is_enough(finish: str | None, done: bool) -> None:
    assert ask([STREAM_HEAD, answer("Yes.", finish=finish, done=done)])[0] == "Yes."


def test_u7_a_reset_after_the_end_does_no_harm() -> None:
    assert ask([STREAM_HEAD, event(delta("Yes.", "stop")), 0.05, RESET])[0] == "Yes."


def html(kind: str) -> bytes:
    page = b"<html><body>Welcome to nginx, " + KEY.encode() + b"</body></html>"
    return b"HTTP/1.1 200 OK\r\nContent-Type: " + kind.encode() + b"\r\nConnection: close\r\n\r\n" + page


@pytest.mark.parametrize(
    "script",
    [
        [STREAM_HEAD, b"data: {not json}\n\n"],
        [STREAM_HEAD, b"data: " + b"[" * 100_000 + b"\n\n"],
        [STREAM_HEAD, event(delta("The ")), b"data: [1, 2]\n\n"],
        [STREAM_HEAD, b'data: {"hello": "world"}\n\n'],
        [STREAM_HEAD, b"data: \xff\xfe\n\n"],
        [STREAM_HEAD, event(delta("The ")), b"data: \xe4\xb8"],
        [html("text/html")],
        [html("image/png")],
        [html("application/json")],
        [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\nx"],
        [status(302, headers=[("Location", "http://169.254.169.254/")])],
    ],
)
def test_u8_what_is_no_chat_completion_is_a_bad_response(script: Script) -> None:
    error, calls = failure(script, GOOD)
    assert isinstance(error, GeneratorBadResponse)
    assert calls == 1
    assert "nginx" not in error.message


def test_u8_what_is_not_even_http_is_reported_after_the_retries() -> None:
    error, calls = failure(*[[b"SSH-2.0-OpenSSH_9.6\r\n"]] * 3)
    assert (error.code, calls) == ("llm_unreachable", 3)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_u8_line_ends_marks_and_missing_blanks_are_understood(end: bytes, start: bytes) -> None:
    body = answer("The rent ", "is 500 [1].").replace(b"data: ", b"data:").replace(b"\n", end)
    assert ask([STREAM_HEAD, start + body])[0] == "The rent is 500 [1]."


def test_u8_a_reply_that_was_not_streamed_is_read() -> None:
    body = {"id": "c", "choices": [{"message": {"content": "Yes."}, "finish_reason": "length"}], "usage": None}
    text, parts = ask([status(200, json.dumps(body))])
    assert (text, parts.truncated) == ("Yes.", True)


def test_u8_an_error_inside_the_stream_is_an_error() -> None:
    error, _ = failure([STREAM_HEAD, event({"error": {"message": f"internal {KEY}"}})])
    assert error.code == "llm_error"


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([delta(None, "stop")], "llm_empty"),
        ([delta("", "stop")], "llm_empty"),
        ([delta(None, "length", reasoning_content="hm")], "llm_empty"),
        ([delta(None, "content_filter")], "llm_filtered"),
        ([delta(None, "tool_calls", tool_calls=[{"function": {"name": "rm"}}])], "llm_empty"),
    ],
)
def test_u9_an_answer_without_text_is_an_error_that_says_why(events: list[dict[str, object]], code: str) -> None:
    error, calls = failure([STREAM_HEAD, *map(event, events)], GOOD)
    assert (error.code, calls) == (code, 1)


def test_u9_a_cut_or_filtered_answer_says_so() -> None:
    assert ask([STREAM_HEAD, answer("Half", finish="length")])[1].truncated
    assert ask([STREAM_HEAD, answer("Half", finish="content_filter")])[1].filtered


def test_u9_only_the_first_choice_is_shown_and_reasoning_is_not() -> None:
    second = {"choices": [{"index": 1, "delta": {"content": "NO"}}, {"index": 0, "delta": {"content": "Yes"}}]}
    parts = [delta(None, reasoning="Let me think"), {"id": "x", "choices": []}, second, delta(".", "stop")]
    assert ask([STREAM_HEAD, *map(event, parts)])[0] == "Yes."


def test_u9_content_in_parts_and_split_surrogates_become_text() -> None:
    halves = rb'{"choices":[{"delta":{"content":"\ud83d"}}]}', rb'{"choices":[{"delta":{"content":"\ude00!"}}]}'
    listed = {"choices": [{"delta": {"content": [{"type": "text", "text": " ok"}]}, "finish_reason": "stop"}]}
    assert ask([STREAM_HEAD, *(event(half.decode()) for half in halves), event(listed)])[0] == "\U0001f600! ok"


def test_u10_an_endless_answer_is_cut_at_the_byte_cap() -> None:
    text, parts = ask([STREAM_HEAD, Forever(event(delta("汉" * 1_000)))])
    assert MAX_ANSWER_BYTES - 3 < len(text.encode()) <= MAX_ANSWER_BYTES
    assert parts.truncated


def test_u10_a_token_of_ten_megabytes_is_refused() -> None:
    error, _ = failure([STREAM_HEAD, b"data: " + b"a" * 10_000_000])
    assert (type(error), "beyond all bounds" in error.message) == (GeneratorBadResponse, True)


def test_u10_endless_headers_are_refused() -> None:
    error, _ = failure(*[[b"HTTP/1.1 200 OK\r\n", Forever(b"X-Pad: " + b"a" * 8_000 + b"\r\n")]] * 3)
    assert error.code == "llm_unreachable"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (status(401), "llm_unauthorized"),
        (status(403), "llm_unauthorized"),
        (status(404, "no such model"), "llm_model_not_found"),
        (status(400, '{"error": {"code": "context_length_exceeded"}}'), "llm_context_length"),
        (status(400, "This model's maximum context length is 512 tokens"), "llm_context_length"),
        (status(400, "bad"), "llm_rejected"),
        (status(418), "llm_rejected"),
    ],
)
def test_u11_a_refusal_is_not_repeated_and_has_a_clear_code(reply: bytes, code: str) -> None:
    error, calls = failure([reply], GOOD)
    assert (error.code, error.retryable, calls) == (code, False, 1)


def test_u11_neither_key_nor_the_servers_words_reach_errors_or_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    error, _ = failure([status(401, f'{{"error": "key {KEY} of tenant Miller is wrong"}}')])
    assert "Miller" not in error.message
    assert KEY not in caplog.text
    assert KEY not in repr(generator("http://model/v1").__dict__.keys())
    assert KEY not in repr(generator("http://model/v1"))


def test_a_server_that_does_not_know_stream_options_is_asked_without_them() -> None:
    with fake_openai([status(400, '{"error": "unknown field stream_options"}')], GOOD) as server:
        assert "".join(generator(server.base_url).generate(context())) == "The rent is 500 [1]."
        assert ["stream_options" in body for _, body in server.requests] == [True, False]


@pytest.mark.parametrize("drip", [HANG, Forever(b": thinking\n\n", 0.01)])
def test_c7_an_answer_that_is_waited_for_is_cancelled_from_another_thread(drip: Step) -> None:
    with fake_openai([STREAM_HEAD, drip]) as server:
        parts = generator(server.base_url).generate(context())
        caught: list[BaseException] = []

        def read() -> None:
            try:
                list(parts)
            except GenerationCancelled as error:
                caught.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        assert server.begun.wait(timeout=10)
        parts.cancel()
        reader.join(timeout=10)
        assert len(caught) == 1
        assert server.over.wait(timeout=10)
        assert server.left_early == 1


def test_c7_an_answer_that_was_cancelled_before_it_began_costs_no_call() -> None:
    with fake_openai(GOOD) as server:
        parts = generator(server.base_url).generate(context())
        parts.cancel()
        with pytest.raises(GenerationCancelled):
            list(parts)
        assert server.requests == []


def test_closing_the_answer_cancels_the_call_upstream() -> None:
    with fake_openai([STREAM_HEAD, event(delta("The ")), Forever(event(delta("rent ")), 0.01)]) as server:
        parts = generator(server.base_url).generate(context())
        assert next(parts) == "The "
        parts.close()
        assert server.over.wait(timeout=10)
        assert server.left_early == 1
        assert list(parts) == []


def test_an_answer_that_is_never_read_costs_no_call() -> None:
    with fake_openai(GOOD) as server:
        generator(server.base_url).generate(context()).close()
        assert server.requests == []


@pytest.mark.parametrize(
    "base_url", ["", "model", "ftp://model/v1", "http://", "http://user:pass@model/v1", "http://model:port/v1"]
)
def test_a_base_url_that_cannot_work_is_refused(base_url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        generator(base_url)
    assert "pass" not in caught.value.message


def test_a_key_with_a_line_end_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        OpenAICompatibleGenerator("http://model/v1", "m", WordCounter(), api_key="sk-1\nsk-2")
    assert "sk-" not in caught.value.message
