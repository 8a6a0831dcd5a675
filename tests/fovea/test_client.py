"""The HTTP client against a real server: the engine's verbs, types and errors, blocking and with asyncio."""

import asyncio
import inspect
import json

import httpx
import pytest

from domain.answers import Answer
from domain.asking import Message
from domain.documents import document_id
from domain.errors import (
    ContextBudgetError,
    FetchError,
    FoveaError,
    GenerationError,
    GeneratorBadResponse,
    GeneratorTimeout,
    IndexModelMismatch,
    NotFound,
    StorageError,
    UsageError,
)
from domain.jobs import DocumentStatus
from fovea import client_batches
from fovea.client import AsyncClient, Client, ServiceError
from fovea.client_replies import EventReader, error_from_problem
from service.api.app import create_app
from service.api.errors import problem_of
from tests.service.api_fakes import QUOTE, FakeJobQueue
from tests.service.http_server import running


@pytest.fixture
def client(url):
    with Client(url, api_key="key-1") as made:
        yield made


def test_search_and_ask_give_what_the_engine_gives(client, engine):
    assert client.search("What is the rent?", max_tokens=90).to_dict() == engine.search("What is the rent?").to_dict()
    answer = client.ask("What is the rent?", constraints=["Be brief."], history=[Message("user", "hi")])
    assert answer.to_dict() == engine.ask("What is the rent?").to_dict()
    _, _, options = next(call for call in engine.calls if call[0] == "stream")
    assert options["constraints"] == ["Be brief."]
    assert options["history"] == [Message("user", "hi")]


def test_stream_gives_text_parts_and_then_the_answer(client):
    *parts, answer = client.stream("What is the rent?", max_tokens=90)
    assert parts == ["Rent is 900 euros ", "a month [1]."]
    assert isinstance(answer, Answer)
    assert answer.citations[0].quote == QUOTE


def test_a_stream_that_fails_midway_raises_the_engines_error(client, engine):
    engine.late_error = GeneratorTimeout("The answer took longer than 120 s.")
    stream = client.stream("q")
    assert next(stream) == "Rent is 900 euros "
    with pytest.raises(GeneratorTimeout, match="longer than 120 s"):
        list(stream)


def test_a_stream_that_fails_at_once_raises_the_engines_error(client, engine):
    engine.error = ContextBudgetError("The question alone is too long.")
    with pytest.raises(ContextBudgetError):
        list(client.stream("q"))


def test_leaving_a_stream_ends_the_engines_work(client, engine):
    engine.parts = ["word "] * 10_000
    engine.stream_closed.clear()
    stream = client.stream("q")
    next(stream)
    stream.close()
    assert engine.stream_closed.wait(10)


def test_ingest_sends_files_and_folders_and_urls_and_waits_for_them(client, engine, tmp_path):
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("Alpha.")
    (folder / "deep" / "租约.md").write_text("租金每月900欧元。")
    (folder / ".hidden").write_text("no")
    (tmp_path / "bad.txt").write_text("BAD bytes")
    seen = []

    report = client.ingest(
        [folder, tmp_path / "bad.txt", "https://example.org/x"], collection="new", progress=seen.append
    )

    sources = [
        str(folder / "a.txt"),
        str(folder / "deep" / "租约.md"),
        str(tmp_path / "bad.txt"),
        "https://example.org/x",
    ]
    assert [item.source for item in report.documents] == sources
    statuses = [DocumentStatus.INDEXED, DocumentStatus.INDEXED, DocumentStatus.FAILED, DocumentStatus.INDEXED]
    assert [item.status for item in report.documents] == statuses
    assert report.failed[0].error.code == "corrupt_document"
    chinese = document_id("local", "new", sources[1])
    assert report.documents[1].id == chinese
    assert engine.document(chinese).text == "租金每月900欧元。"
    assert [(item.documents_done, item.documents_total) for item in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_input_that_the_server_refuses_fails_alone(engine, tmp_path):
    (tmp_path / "large.txt").write_bytes(b"x" * 5000)
    (tmp_path / "small.txt").write_text("Small.")
    with running(create_app(engine, FakeJobQueue(), max_body_bytes=2048)) as base_url, Client(base_url) as client:
        report = client.ingest([tmp_path / "large.txt", tmp_path / "small.txt"])
    assert [item.status.value for item in report.documents] == ["failed", "indexed"]
    assert report.failed[0].error.code == "body_too_large"


def test_ingest_refuses_a_path_that_does_not_exist_before_anything_is_sent(client, engine, tmp_path):
    (tmp_path / "a.txt").write_text("Alpha.")
    with pytest.raises(UsageError, match="does not exist"):
        client.ingest([tmp_path / "a.txt", tmp_path / "none.txt"])
    with pytest.raises(UsageError, match="Nothing to ingest"):
        client.ingest([])
    assert len(engine.documents) == 1


def test_a_folder_without_files_is_an_empty_report_as_from_the_engine(client, engine, tmp_path):
    assert client.ingest(tmp_path).documents == ()
    assert len(engine.documents) == 1


def test_bytes_and_texts_from_memory_are_indexed_under_the_source_that_is_given(client, engine):
    outcome = client.ingest_bytes("租金".encode(), "a.md", source="wiki/租约", media_type="text/markdown")
    assert (outcome.status, outcome.source) == (DocumentStatus.INDEXED, "wiki/租约")
    assert outcome.id == document_id("local", "default", "wiki/租约")
    assert engine.document(outcome.id).title == "a.md", "the name still tells the format"
    assert client.ingest_bytes(b"BAD", "b.pdf").error.code == "corrupt_document"
    named = client.ingest_text("Rent.", title="Note", source="n-1")
    assert engine.document(named.id).title == "Note"
    assert client.ingest_text("Rent.").source.startswith("text-")


def test_batch_answers_in_order_and_gives_an_error_in_its_place(client, engine):
    questions = [f"question {number}" for number in range(12)]
    questions[3] = "fails"
    found = engine._found

    def failing(question, collection):
        if question == "fails":
            raise ContextBudgetError("Too long.")
        return found(question, collection)

    engine._found = failing
    answers = list(client.batch(iter(questions), max_tokens=90))
    assert isinstance(answers[3], ContextBudgetError)
    kept = [answer.search.question for answer in answers if isinstance(answer, Answer)]
    assert kept == [question for question in questions if question != "fails"]


def test_documents_are_listed_over_pages_read_and_deleted(client, engine):
    for number in range(5):
        engine.ingest_text(f"Text {number}.", source=f"s{number}")
    everything = engine.list_documents()
    assert client.list_documents() == everything
    assert client.list_documents(limit=2, after=everything[1].id) == everything[2:4]
    assert client.list_documents("none") == []
    first = everything[0]
    assert client.get_document(first.id) == first
    document = client.document(first.id)
    assert document.text == engine.document(first.id).text
    assert document.pages == engine.document(first.id).pages
    client.delete([first.id])
    with pytest.raises(NotFound):
        client.get_document(first.id)


def test_delete_deletes_nothing_where_one_of_the_ids_is_unknown(client, engine):
    known = client.list_documents()[0].id
    with pytest.raises(NotFound):
        client.delete([known, "doc-none"])
    assert client.get_document(known)


def test_collections_are_made_listed_and_deleted(client):
    assert client.create_collection("合同 2026").name == "合同 2026"
    assert "合同 2026" in [item.name for item in client.list_collections()]
    with pytest.raises(UsageError) as caught:
        client.create_collection("合同 2026")
    assert caught.value.code == "collection_exists"
    client.delete_collection("合同 2026")
    assert "合同 2026" not in [item.name for item in client.list_collections()]


def test_a_wrong_key_and_an_absent_server_are_service_errors(url):
    with Client(url, api_key="wrong") as client, pytest.raises(ServiceError) as refused:
        client.search("q")
    assert (refused.value.code, refused.value.retryable) == ("unauthorized", False)
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServiceError, match="is it running") as absent:
        client.search("q")
    assert (absent.value.code, absent.value.retryable) == ("service_unreachable", True)


@pytest.mark.parametrize(
    "error",
    [
        UsageError("The question is empty."),
        UsageError("Too long.", code="question_too_long"),
        NotFound("No such collection."),
        ContextBudgetError("Too long."),
        IndexModelMismatch("Other encoder."),
        StorageError("locked"),
        FetchError("Forbidden.", code="url_forbidden"),
        GeneratorTimeout("Late."),
        GeneratorBadResponse("Cut off.", code="llm_truncated"),
        GenerationError("Refused.", code="llm_refused"),
    ],
)
def test_an_error_keeps_its_code_and_its_family_on_the_way_through_the_server(error):
    arrived = error_from_problem(problem_of(error).to_dict("r-1"))
    assert arrived.code == error.code
    family = next(
        kind
        for kind in (StorageError, IndexModelMismatch, FetchError, GenerationError, UsageError)
        if isinstance(error, kind)
    )
    assert isinstance(arrived, family)
    assert arrived.retryable == error.retryable


def test_a_reply_that_is_not_ours_is_an_error_and_no_crash():
    for reply in (httpx.Response(200, text="<html>"), httpx.Response(502, text="Bad gateway"), httpx.Response(302)):
        transport = httpx.MockTransport(lambda request, reply=reply: reply)
        with Client("http://proxy", transport=transport) as client, pytest.raises(FoveaError) as caught:
            client.search("q")
        assert caught.value.code == "unexpected_reply"


def test_the_event_reader_gives_the_same_items_for_every_split_of_the_bytes(engine):
    answer = engine.ask("q").to_dict() | {"answer": "line\u2028separator 租金"}
    data = b"".join(
        b"event: %s\ndata: %s\n\n" % (name, json.dumps(body, ensure_ascii=False).encode())
        for name, body in ((b"text", {"text": "租\u2028金"}), (b"answer", answer))
    )
    for size in (1, 2, 3, 7, len(data)):
        reader = EventReader()
        items = [item for at in range(0, len(data), size) for item in reader.feed(data[at : at + size])]
        reader.finish()
        assert items[0] == "租\u2028金"
        assert items[1] == Answer.from_dict(answer)


def test_a_stream_that_ends_without_an_answer_is_an_error():
    reader = EventReader()
    assert list(reader.feed(b'event: text\ndata: {"text": "half"}\n\n')) == ["half"]
    with pytest.raises(GeneratorBadResponse) as caught:
        reader.finish()
    assert caught.value.code == "llm_truncated"


# Batches that the server runs are no verbs of an engine: tests/fovea/test_client_batches.py.
OWN = ("close", *(name for name in vars(client_batches) if hasattr(Client, name)))
VERBS = [name for name in vars(Client) if not name.startswith("_") and name not in OWN]


@pytest.mark.parametrize("verb", VERBS)
def test_the_clients_take_the_engines_arguments(verb):
    from service.engine import Engine

    def arguments(function):
        return [(item.name, item.kind, item.default) for item in list(inspect.signature(function).parameters.values())]

    assert hasattr(AsyncClient, verb)
    if verb not in ("stream", "batch"):  # their arguments are those of `ask`
        assert (
            arguments(getattr(Client, verb))
            == arguments(getattr(AsyncClient, verb))
            == arguments(getattr(Engine, verb))[1:]
        )


def test_the_asyncio_client_does_the_same(url, engine, tmp_path):
    (tmp_path / "a.txt").write_text("Alpha.")

    async def everything():
        async with AsyncClient(url, api_key="key-1") as client:
            report = await client.ingest(tmp_path / "a.txt")
            found, answer = await asyncio.gather(client.search("q"), client.ask("q"))
            streamed = [item async for item in client.stream("q")]
            batch = [item async for item in client.batch(["q1", "q2", "q3", "q4", "q5", "q6"])]
            assert [item.search.question for item in batch] == ["q1", "q2", "q3", "q4", "q5", "q6"]
            documents = await client.list_documents()
            await client.delete(report.documents[0].id)
            with pytest.raises(NotFound):
                await client.get_document(report.documents[0].id)
            return report, found, answer, streamed, documents

    report, found, answer, streamed, documents = asyncio.run(everything())
    assert report.documents[0].status is DocumentStatus.INDEXED
    assert found.evidence == answer.search.evidence
    assert "".join(streamed[:-1]) == streamed[-1].text == answer.text
    assert report.documents[0].id in [item.id for item in documents]
