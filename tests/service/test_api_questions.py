"""POST /v1/search and /v1/ask: the engine's verbs over HTTP, whole and streamed."""

import json

import pytest

from domain.answers import Answer
from domain.asking import Message
from domain.errors import (
    ContextBudgetError,
    GeneratorTimeout,
    GeneratorUnreachable,
    IndexModelMismatch,
    NotFound,
    StorageError,
)
from domain.search_result import SearchResult
from service.api.replies import AnswerReply, SearchReply
from tests.service.api_fakes import QUOTE, events_of


def test_search_gives_the_engines_result_unchanged(client, engine):
    reply = client.post("/v1/search", json={"question": "What is the rent?", "max_tokens": 300})
    assert reply.status_code == 200
    assert reply.json() == engine.search("What is the rent?").to_dict()
    assert SearchResult.from_dict(reply.json()).evidence[0].text == QUOTE


def test_search_hands_every_option_on(client, engine):
    body = {
        "question": "租金是多少？",
        "max_tokens": 50,
        "collection": "default",
        "document_ids": ["doc-1"],
        "metadata": {"year": 2020},
        "history": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}],
    }
    client.post("/v1/search", json=body)
    expected = {**body, "history": [Message("user", "hello"), Message("assistant", "hi")]}
    del expected["question"]
    assert engine.calls[-1] == ("search", "租金是多少？", expected)


def test_ask_gives_an_answer_with_citations_that_equal_the_document_at_their_span(client, engine):
    reply = client.post("/v1/ask", json={"question": "What is the rent?", "constraints": ["Be brief."], "think": True})
    answer = Answer.from_dict(reply.json())
    assert answer.text == "Rent is 900 euros a month [1]."
    citation = answer.citations[0]
    assert citation.span.of(engine.document(citation.document_id).text) == citation.quote == QUOTE
    assert engine.calls[-1][2]["constraints"] == ["Be brief."]
    assert engine.calls[-1][2]["think"] is True


def test_a_streamed_answer_is_text_parts_and_then_the_same_answer(client):
    reply = client.post("/v1/ask", json={"question": "What is the rent?", "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = events_of(reply.text)
    assert [name for name, _ in events] == ["text", "text", "answer"]
    text = "".join(json.loads(data)["text"] for name, data in events if name == "text")
    answer = Answer.from_dict(json.loads(events[-1][1]))
    assert text == answer.text


def test_the_reply_models_of_the_api_description_fit_what_is_really_sent(client):
    """The models forbid unknown fields, so that a field which is added to a result must be described as well."""
    SearchReply.model_validate(client.post("/v1/search", json={"question": "q"}).json())
    AnswerReply.model_validate(client.post("/v1/ask", json={"question": "q"}).json())


@pytest.mark.parametrize(
    ("error", "status", "code", "retryable"),
    [
        (ContextBudgetError("The question alone has 9,000 tokens."), 422, "context_budget", False),
        (NotFound("There is no collection 'x'."), 404, "not_found", False),
        (IndexModelMismatch("Another encoder."), 409, "index_model_mismatch", False),
        (StorageError("disk I/O error at /var/secret.db"), 503, "storage_unavailable", True),
        (GeneratorUnreachable("Cannot connect."), 502, "llm_unreachable", True),
        (GeneratorTimeout("No token in 30 s."), 504, "llm_timeout", True),
        (RuntimeError("/home/secret/file.py"), 500, "internal_error", False),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_before_the_first_part_becomes_a_problem_with_its_own_status(
    client, engine, error, status, code, retryable, stream
):
    engine.error = error
    reply = client.post("/v1/ask", json={"question": "q", "stream": stream})
    problem = reply.json()
    assert reply.headers["content-type"] == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "code", "detail", "request_id", "retryable"}
    assert (reply.status_code, problem["code"], problem["retryable"]) == (status, code, retryable)
    assert problem["status"] == status
    assert problem["request_id"] == reply.headers["x-request-id"]
    assert "secret" not in reply.text
    assert engine.stream_closed.is_set()


def test_an_error_inside_a_started_stream_is_an_error_event_and_nothing_follows(client, engine):
    engine.late_error = GeneratorTimeout("The answer took longer than 120 s.")
    reply = client.post("/v1/ask", json={"question": "q", "stream": True}, headers={"X-Request-ID": "abc-1"})
    events = events_of(reply.text)
    assert [name for name, _ in events] == ["text", "text", "error"]
    problem = json.loads(events[-1][1])
    assert (problem["code"], problem["status"], problem["request_id"]) == ("llm_timeout", 504, "abc-1")


def test_a_bug_inside_a_started_stream_tells_nothing_of_the_server(client, engine):
    engine.late_error = RuntimeError("/home/secret")
    reply = client.post("/v1/ask", json={"question": "q", "stream": True})
    assert events_of(reply.text)[-1][0] == "error"
    assert "secret" not in reply.text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"question": 7},
        {"question": "q", "max_tokens": 0},
        {"question": "q", "max_tokens": "many"},
        {"question": "q", "maxtokens": 10},
        {"question": "q", "history": [{"role": "system", "content": "x"}]},
        {"question": "q", "constraints": [""]},
        [],
        "text",
    ],
)
def test_a_wrong_body_is_named_field_by_field(client, body):
    reply = client.post("/v1/ask", json=body)
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"].startswith("body")


def test_an_empty_question_is_the_engines_to_refuse(client):
    reply = client.post("/v1/search", json={"question": "  "})
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_request")
    assert "empty" in reply.json()["detail"]
