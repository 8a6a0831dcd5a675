"""The official `openai` client against our server, which itself talks to a model server that may fail."""

from __future__ import annotations

from contextlib import contextmanager

import httpx
import openai
import pytest

from service.api.app import create_app
from service.bootstrap import build_server
from service.settings import EncoderSettings, GenerationSettings, Settings
from tests.end_to_end.product import hashing
from tests.generation.fake_openai import RESET, STREAM_HEAD, answer, delta, event, fake_openai, status
from tests.service.http_server import running

RENT = "The rent of the cottage is 840 pounds a month."
DEPOSIT = "The deposit of the cottage is 1,680 pounds."
QUESTION = (
    "Is the rent of the cottage 840 pounds a month?"  # in the words of the text: the hashing encoder knows no others
)
GOOD = (STREAM_HEAD, answer("The rent is 840 pounds a month [1].", " It is paid in gold [9]."))


@contextmanager
def fovea_over(tmp_path, upstream, **generation):
    """The base URL of our server, which asks the model at `upstream`."""
    chosen = GenerationSettings(generator="openai", base_url=upstream, model="tiny", **generation)
    with served(hashing(tmp_path / "data", generation=chosen)) as url:
        yield url


@contextmanager
def served(settings):
    with build_server(settings) as server:
        server.engine.ingest_text(RENT, title="Lease", source="rent")
        server.engine.ingest_text(DEPOSIT, title="Lease", source="deposit")
        with running(create_app(server.engine, server.jobs, work=server.work)) as url:
            yield url


@contextmanager
def client_of(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def asked(client, **options):
    return client.chat.completions.create(model="fovea", messages=[{"role": "user", "content": QUESTION}], **options)


@pytest.fixture(scope="module")
def extractive(tmp_path_factory, models_dir):
    """A client of a server as it comes: the real encoder, answers quoted from the documents."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("openai"), encoder=EncoderSettings(models_dir=models_dir))
    with served(settings) as url, client_of(url) as client:
        yield client


def test_an_answer_comes_with_usage_and_citations(extractive):
    reply = asked(extractive)
    assert reply.object == "chat.completion"
    assert reply.choices[0].message.content.startswith(f"{RENT} [1]")
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0
    assert reply.fovea["citations"][0]["quote"] == RENT


def test_a_stream_gives_the_same_answer(extractive):
    whole = asked(extractive)
    chunks = list(asked(extractive, stream=True, stream_options={"include_usage": True}))
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    (told,) = (chunk.fovea for chunk in chunks if getattr(chunk, "fovea", None))
    assert told["citations"] == whole.fovea["citations"]


def test_the_models_are_listed(extractive):
    names = [model.id for model in extractive.models.list()]
    assert names[0] == "fovea"
    assert extractive.models.retrieve(names[-1]).id == names[-1]
    with pytest.raises(openai.NotFoundError):
        extractive.models.retrieve("gpt-4")


def test_options_of_ours_travel_in_the_extra_body(extractive):
    reply = asked(extractive, extra_body={"fovea": {"max_tokens": 5}})
    assert reply.fovea["context_tokens"] <= 5
    with pytest.raises(openai.NotFoundError) as error:
        asked(extractive, extra_body={"fovea": {"collection": "none"}})
    assert error.value.code == "not_found"


def test_a_follow_up_is_understood_from_the_conversation(extractive):
    messages = [
        {"role": "user", "content": "What is the rent of the cottage?"},
        {"role": "assistant", "content": RENT},
        {"role": "user", "content": "And the deposit?"},
    ]
    reply = extractive.chat.completions.create(model="fovea", messages=messages)
    assert DEPOSIT in [item["quote"] for item in reply.fovea["citations"]]


def test_an_unusable_request_is_the_clients_bad_request(extractive):
    for messages in ([], [{"role": "user", "content": ""}], [{"role": "assistant", "content": "Hello."}]):
        with pytest.raises(openai.APIStatusError) as error:
            extractive.chat.completions.create(model="fovea", messages=messages)
        assert error.value.status_code in (400, 422)


# -- with a model behind ---------------------------------------------------------------------------------------------


def test_the_models_answer_is_checked_against_the_sources(tmp_path):
    with fake_openai(GOOD) as upstream, fovea_over(tmp_path, upstream.base_url) as url, client_of(url) as client:
        reply = asked(client)
        ((_, request),) = upstream.requests
    assert reply.model == "tiny"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (7, 2), "what the model reports itself"
    assert (reply.fovea["abstained"], reply.fovea["degraded"]) == (False, False)
    (citation,) = reply.fovea["citations"]
    assert (citation["quote"], citation["verified"], citation["source"]) == (RENT, True, "rent")
    assert "[9]" not in reply.choices[0].message.content, "there is no evidence 9"
    assert RENT in str(request["messages"]) and QUESTION in request["messages"][-1]["content"]


def test_a_quote_that_does_not_support_the_answer_is_not_verified(tmp_path):
    script = (STREAM_HEAD, answer("The rent is 999 euros a week [1]."))
    with fake_openai(script) as upstream, fovea_over(tmp_path, upstream.base_url) as url, client_of(url) as client:
        (citation,) = asked(client).fovea["citations"]
    assert (citation["quote"], citation["verified"]) == (RENT, False)


def test_the_models_stream_is_passed_on_part_by_part(tmp_path):
    with fake_openai(GOOD) as upstream, fovea_over(tmp_path, upstream.base_url) as url, client_of(url) as client:
        chunks = list(asked(client, stream=True))
    parts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert parts[0].startswith("The rent is 840")
    assert len(parts) > 1


def test_no_model_is_asked_what_the_documents_do_not_say(tmp_path):
    with fake_openai(GOOD) as upstream, fovea_over(tmp_path, upstream.base_url) as url, client_of(url) as client:
        client.post("/collections", body={"name": "empty"}, cast_to=object)
        reply = asked(client, extra_body={"fovea": {"collection": "empty"}})
        assert upstream.requests == []
    assert reply.fovea["abstained"]
    assert reply.fovea["citations"] == []


def test_a_model_that_is_away_gives_the_extractive_answer_marked_degraded(tmp_path):
    with fovea_over(tmp_path, "http://127.0.0.1:9/v1") as url, client_of(url) as client:
        reply = asked(client)
        chunks = list(asked(client, stream=True))
    assert reply.fovea["degraded"]
    assert reply.choices[0].message.content.startswith(f"{RENT} [1]")
    assert reply.model == "extractive"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == reply.choices[0].message.content


def test_without_fallback_a_model_that_is_away_is_a_bad_gateway(tmp_path):
    with fovea_over(tmp_path, "http://127.0.0.1:9/v1", fallback=False) as url:
        with client_of(url) as client:
            for stream in (False, True):
                with pytest.raises(openai.InternalServerError) as error:
                    asked(client, stream=stream)
                assert (error.value.status_code, error.value.code) == (502, "llm_unreachable")
        problem = httpx.post(f"{url}/v1/ask", json={"question": QUESTION})
    assert problem.headers["content-type"] == "application/problem+json"
    # By now it has failed five times in a row, and is left alone for some seconds.
    assert (problem.status_code, problem.json()["code"], problem.json()["retryable"]) == (502, "llm_unavailable", True)


@pytest.mark.parametrize("fallback", [True, False])
@pytest.mark.parametrize("end", [(), (RESET,), (event({"error": {"message": "out of memory"}}),)])
def test_a_stream_that_breaks_off_ends_with_an_error_and_never_as_done(tmp_path, end, fallback):
    script = (STREAM_HEAD, event(delta("The rent is")), 0.2, *end)
    body = {"messages": [{"role": "user", "content": QUESTION}], "stream": True}
    with (
        fake_openai(script, script) as upstream,
        fovea_over(tmp_path, upstream.base_url, fallback=fallback) as url,
        client_of(url) as client,
    ):
        said = []
        with pytest.raises(openai.APIError):
            for chunk in asked(client, stream=True):
                said.append(chunk.choices[0].delta.content)
        assert "".join(said) == "The rent i"  # what stands last may still take an accent
        raw = httpx.post(f"{url}/v1/chat/completions", json=body).text
    assert "event: error" in raw
    assert "[DONE]" not in raw
    assert '"finish_reason":"stop"' not in raw.replace(" ", "")


def test_a_model_that_refuses_the_key_is_not_asked_again(tmp_path):
    refused = status(401, '{"error": {"message": "bad key"}}')
    with (
        fake_openai([refused], [refused]) as upstream,
        fovea_over(tmp_path, upstream.base_url, fallback=False) as url,
        client_of(url) as client,
        pytest.raises(openai.APIStatusError) as error,
    ):
        asked(client)
    assert error.value.code == "llm_unauthorized"
    assert len(upstream.requests) == 1
