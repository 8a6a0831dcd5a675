"""POST /v1/explain: the engine's verb over HTTP."""

import pytest

from domain.errors import IndexModelMismatch, StorageError, UsageError
from domain.explanation import Explanation
from fovea import open_engine
from service.api.replies import ExplanationReply
from service.settings import EncoderSettings, RetrievalSettings, Settings
from tests.service.api_fakes import LEASE, FakeJobQueue, local_client

QUESTION = "How much is the rent a month in euros?"


@pytest.fixture
def document(engine):
    return next(iter(engine.documents))


def test_explain_gives_the_engines_result_unchanged(client, engine, document):
    reply = client.post("/v1/explain", json={"question": QUESTION, "document": document, "full": True})
    assert reply.status_code == 200
    assert Explanation.from_dict(reply.json()) == engine.explain(QUESTION, document=document, full=True)


def test_explain_hands_every_option_on(client, engine):
    body = {"document": "租约.txt", "collection": "合同", "chunks": 7, "full": True}
    client.post("/v1/explain", json={"question": "租金是多少？", **body})
    assert engine.calls[-1] == ("explain", "租金是多少？", body)
    client.post("/v1/explain", json={"question": "q", "document": "d"})
    assert engine.calls[-1][2] == {"document": "d", "collection": "default", "chunks": 3, "full": False}


@pytest.mark.parametrize("full", [False, True])
def test_the_reply_model_of_the_api_description_fits_what_is_really_sent(client, document, full):
    reply = client.post("/v1/explain", json={"question": "What?", "document": document, "full": full})
    ExplanationReply.model_validate(reply.json())


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UsageError("Attention is off.", code="attention_off"), 422, "attention_off"),
        (IndexModelMismatch("Another encoder."), 409, "index_model_mismatch"),
        (StorageError("disk I/O error at /var/secret.db"), 503, "storage_unavailable"),
        (RuntimeError("/home/secret/file.py"), 500, "internal_error"),
    ],
)
def test_an_error_becomes_a_problem_with_its_own_status(client, engine, document, error, status, code):
    engine.error = error
    reply = client.post("/v1/explain", json={"question": "q", "document": document})
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert "secret" not in reply.text


def test_an_unknown_document_is_not_found(client):
    reply = client.post("/v1/explain", json={"question": "q", "document": "doc-none"})
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    assert "doc-none" in reply.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"question": "q"},
        {"document": "d"},
        {"question": "q", "document": ""},
        {"question": "q", "document": 7},
        {"question": "q", "document": "d" * 1001},
        {"question": "q", "document": "d", "chunks": 0},
        {"question": "q", "document": "d", "chunks": 101},
        {"question": "q", "document": "d", "full": "perhaps"},
        {"question": "q", "document": "d", "max_tokens": 10},
    ],
)
def test_a_wrong_body_is_named_field_by_field(client, engine, body):
    reply = client.post("/v1/explain", json=body)
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith("body")
    assert not engine.calls


def test_the_key_is_asked_for(engine, document):
    client = local_client(engine, FakeJobQueue(), api_key="key-1")
    body = {"question": "q", "document": document}
    assert client.post("/v1/explain", json=body).status_code == 401
    assert client.post("/v1/explain", json=body, headers={"authorization": "Bearer key-1"}).status_code == 200


def test_a_body_beyond_the_limit_is_refused(engine):
    client = local_client(engine, max_body_bytes=2_000, max_json_bytes=1_000)
    reply = client.post("/v1/explain", json={"question": "w" * 1_000, "document": "d"})
    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")
    assert not engine.calls


@pytest.mark.parametrize("text", [LEASE, "租约始于2019年。租金每月900欧元。"])
def test_the_real_engine_explains_over_http(tmp_path, text):
    settings = Settings(data_dir=tmp_path / "data", encoder=EncoderSettings(model="hashing"))
    with open_engine(settings=settings) as engine:
        identity = engine.ingest_text(text, source="租约").id
        body = {"question": "900", "document": "租约", "full": True}
        reply = local_client(engine).post("/v1/explain", json=body)
        assert reply.status_code == 200, reply.text
        ExplanationReply.model_validate(reply.json())
        explanation = Explanation.from_dict(reply.json())
        assert explanation == engine.explain("900", document=identity, full=True)
        (number,) = (token for token in explanation.chunks[0].tokens if "900" in token.text)
        assert number.span.of(text) == number.text
        assert sum(number.weights) > 0


def test_without_attention_the_caller_is_told(tmp_path):
    settings = Settings(
        data_dir=tmp_path / "data",
        encoder=EncoderSettings(model="hashing"),
        retrieval=RetrievalSettings(reranker="none"),
    )
    with open_engine(settings=settings) as engine:
        engine.ingest_text(LEASE, source="lease")
        reply = local_client(engine).post("/v1/explain", json={"question": QUESTION, "document": "lease"})
        assert (reply.status_code, reply.json()["code"]) == (422, "attention_off")
