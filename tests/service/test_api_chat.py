"""POST /v1/chat/completions in OpenAI's format, read by hand and by OpenAI's own client."""

import json

import openai
import pytest

from domain.asking import Message
from domain.errors import GeneratorUnreachable
from service.api.app import create_app
from service.api.replies import ChatReply
from tests.service.api_fakes import QUOTE, FakeJobQueue, events_of
from tests.service.http_server import running


def ask(client, messages, **more):
    return client.post("/v1/chat/completions", json={"model": "gpt-4o", "messages": messages, **more})


def test_a_completion_has_openais_fields_and_ours(client):
    reply = ask(client, [{"role": "user", "content": "What is the rent?"}])
    ChatReply.model_validate(reply.json())
    body = reply.json()
    assert body["object"] == "chat.completion"
    assert body["model"] == "fake-model"
    assert body["choices"][0]["message"]["content"] == "Rent is 900 euros a month [1]."
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 63, "completion_tokens": 9, "total_tokens": 72}
    assert body["fovea"]["citations"][0]["quote"] == QUOTE
    assert body["fovea"]["bill"]["avoided"] == 370
    assert body["fovea"]["evidence"][0]["text"] == QUOTE
    assert (body["fovea"]["abstained"], body["fovea"]["degraded"]) == (False, False)


def test_the_first_system_message_is_the_role_and_each_further_one_a_constraint(client, engine):
    messages = [
        {"role": "system", "content": "You are a careful lawyer."},
        {"role": "user", "content": "When did the lease begin?"},
        {"role": "assistant", "content": "In 2019 [1]."},
        {"role": "developer", "content": "Answer in one sentence."},
        {"role": "user", "content": [{"type": "text", "text": "And what is"}, {"type": "text", "text": "the rent?"}]},
    ]
    ask(
        client,
        messages,
        fovea={"constraints": ["Use euros."], "max_tokens": 120, "think": True, "collection": "default"},
    )
    _, question, options = engine.calls[-1]
    assert question == "And what is\nthe rent?"
    assert options == {
        "max_tokens": 120,
        "collection": "default",
        "constraints": ["Answer in one sentence.", "Use euros."],
        "role": "You are a careful lawyer.",
        "think": True,
        "history": (Message("user", "When did the lease begin?"), Message("assistant", "In 2019 [1].")),
        "max_output_tokens": None,
    }


def test_openais_answer_length_is_no_ceiling_of_context(client, engine):
    ask(client, [{"role": "user", "content": "q"}], max_tokens=5, max_completion_tokens=7, temperature=0.1, seed=3)
    options = engine.calls[-1][2]
    assert (options["max_tokens"], options["max_output_tokens"]) == (None, 5)


@pytest.mark.parametrize("include_usage", [False, True])
def test_a_stream_has_openais_chunks_and_ends_with_done(client, include_usage):
    more = {"stream_options": {"include_usage": True}} if include_usage else {}
    reply = ask(client, [{"role": "user", "content": "q"}], stream=True, **more)
    events = events_of(reply.text)
    assert events[-1] == (None, "[DONE]")
    chunks = [json.loads(data) for _, data in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])
    assert text == "Rent is 900 euros a month [1]."
    final = next(chunk for chunk in chunks if chunk["choices"] and chunk["choices"][0]["finish_reason"])
    assert final["choices"][0]["finish_reason"] == "stop"
    assert final["fovea"]["answer"] == text
    assert final["fovea"]["citations"][0]["quote"] == QUOTE
    if include_usage:
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]["total_tokens"] == 72
        assert all(chunk["usage"] is None for chunk in chunks[:-1])
    else:
        assert not any("usage" in chunk for chunk in chunks)


def test_a_failed_stream_never_says_done(client, engine):
    engine.late_error = GeneratorUnreachable("The model is gone.")
    events = events_of(ask(client, [{"role": "user", "content": "q"}], stream=True).text)
    assert events[-1][0] == "error"
    assert json.loads(events[-1][1])["code"] == "llm_unreachable"
    assert not any(data == "[DONE]" for _, data in events)


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "system", "content": "only a role"}],
        [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
        [{"role": "user", "content": " "}],
        [{"role": "user", "content": None}],
        [{"role": "tool", "content": "x"}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}],
    ],
)
def test_messages_without_a_question_are_refused(client, messages):
    assert ask(client, messages).status_code == 422


@pytest.mark.parametrize(
    "more", [{"n": 2}, {"max_tokens": 0}, {"fovea": {"max_token": 5}}, {"fovea": {"max_tokens": 0}}]
)
def test_what_is_not_supported_is_refused_and_not_ignored(client, more):
    assert ask(client, [{"role": "user", "content": "q"}], **more).status_code == 422


def test_models_lists_the_server_and_the_model_behind_it(client):
    body = client.get("/v1/models").json()
    assert [item["id"] for item in body["data"]] == ["fovea", "fake-model"]
    assert client.get("/v1/models/fovea").json()["object"] == "model"
    assert client.get("/v1/models/other/one").status_code == 404


@pytest.fixture
def openai_client(engine):
    with running(create_app(engine, FakeJobQueue(), api_key="key-1")) as url:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="key-1", max_retries=0) as client:
            yield client


def test_openais_client_reads_whole_answers_streams_and_models(openai_client):
    messages = [{"role": "user", "content": "What is the rent?"}]
    whole = openai_client.chat.completions.create(
        model="fovea", messages=messages, extra_body={"fovea": {"max_tokens": 99}}
    )
    assert whole.choices[0].message.content == "Rent is 900 euros a month [1]."
    assert whole.model_extra["fovea"]["citations"][0]["quote"] == QUOTE

    chunks = list(
        openai_client.chat.completions.create(
            model="any", messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.total_tokens == 72
    assert [model.id for model in openai_client.models.list()] == ["fovea", "fake-model"]


def test_openais_client_raises_where_a_stream_breaks_off_and_where_a_request_is_refused(openai_client, engine):
    engine.late_error = GeneratorUnreachable("The model is gone.")
    stream = openai_client.chat.completions.create(
        model="fovea", messages=[{"role": "user", "content": "q"}], stream=True
    )
    with pytest.raises(openai.APIError, match="The model is gone"):
        list(stream)
    with pytest.raises(openai.UnprocessableEntityError):
        openai_client.chat.completions.create(model="fovea", messages=[])
    with pytest.raises(openai.AuthenticationError):
        openai_client.with_options(api_key="wrong").models.list()
