"""Readiness, metrics, back-pressure, and what happens when a listener leaves."""

import asyncio
import threading

import httpx
import pytest
import structlog
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.errors import Overloaded
from service.api.offload import Places, pull
from tests.service.api_fakes import LEASE, FakeEngine, FakeJobQueue, local_client
from tests.service.http_server import running
from tests.service.waiting import wait_until


def test_ready_only_once_the_encoder_is_loaded_and_alive_all_along():
    engine, loaded = FakeEngine(), threading.Event()
    engine.status = lambda: loaded.wait(20)
    client = local_client(engine)
    with client:
        assert client.get("/healthz").json() == {"status": "ok"}
        early = client.get("/readyz")
        assert (early.status_code, early.json()["code"], early.json()["retryable"]) == (503, "not_ready", True)
        loaded.set()
        wait_until(lambda: client.get("/readyz").status_code == 200)
    assert client.get("/readyz").status_code == 503, "a stopped server is not ready"


def test_metrics_count_requests_tokens_and_outcomes_without_a_word_of_content():
    engine = FakeEngine({"secret-name.txt": LEASE})
    client = local_client(engine)
    client.post("/v1/ask", json={"question": "secretquestion"})
    client.post("/v1/ask", json={"question": "q", "collection": "empty"})
    client.post("/v1/search", json={"question": "q"})
    client.get("/v1/documents/doc-1")
    client.get("/v1/none/7")
    text = client.get("/metrics").text
    for line in (
        'fovea_requests_total{method="POST",route="/v1/ask",status="200"} 2.0',
        'fovea_requests_total{method="GET",route="/v1/documents/{document_id}",status="404"} 1.0',
        'fovea_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'fovea_answers_total{outcome="answered"} 1.0',
        'fovea_answers_total{outcome="abstained"} 1.0',
        "fovea_context_tokens_sent_total 90.0",
        "fovea_context_tokens_avoided_total 1110.0",
        'fovea_stage_seconds_count{stage="generate"} 2.0',
        "fovea_documents 1.0",
    ):
        assert line in text.split("\n"), line
    assert "secret" not in text


def test_two_servers_in_one_process_keep_separate_counts():
    first, second = local_client(FakeEngine()), local_client(FakeEngine())
    first.post("/v1/search", json={"question": "q"})
    assert 'route="/v1/search"' in first.get("/metrics").text
    assert 'route="/v1/search"' not in second.get("/metrics").text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/ask"])
def test_c7_a_client_that_leaves_ends_the_engines_iterator(path):
    engine = FakeEngine()
    engine.parts = ["word "] * 100_000
    engine.between_parts = lambda: threading.Event().wait(0.005)
    body = {"stream": True, "question": "q"}
    if path.endswith("completions"):
        body = {"stream": True, "messages": [{"role": "user", "content": "q"}]}
    with running(create_app(engine, FakeJobQueue(), question_places=1)) as url, httpx.Client(base_url=url) as client:
        for _ in range(3):
            engine.stream_closed.clear()
            with client.stream("POST", path, json=body) as response:
                parts = response.iter_bytes()  # kept: an iterator that nobody holds hangs up
                next(parts)
                assert not engine.stream_closed.is_set()
            assert engine.stream_closed.wait(10)
        # The only place was given back each time, or this would wait for ever.
        engine.parts = ["short"]
        assert client.post("/v1/ask", json={"question": "q"}, timeout=20).status_code == 200


def test_a_slow_question_delays_neither_health_nor_listings():
    engine, go_on = FakeEngine(), threading.Event()
    engine.between_parts = lambda: go_on.wait(20)
    with running(create_app(engine, FakeJobQueue(), question_places=1)) as url, httpx.Client(base_url=url) as client:
        asking = threading.Thread(
            target=client.post, args=("/v1/ask",), kwargs={"json": {"question": "q"}, "timeout": 30}
        )
        asking.start()
        wait_until(lambda: engine.calls)
        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/documents").status_code == 200
        go_on.set()
        asking.join(20)


def test_c5_changes_that_wait_for_a_long_document_hold_up_no_listing_and_no_upload():
    engine, go_on = FakeEngine(), threading.Event()
    make = engine.create_collection
    engine.create_collection = lambda name: go_on.wait(20) and make(name)
    with running(create_app(engine, FakeJobQueue(), record_places=1, max_waiting=1)) as url:

        async def ask_many():
            async with httpx.AsyncClient(base_url=url, timeout=30) as client:
                assert (await client.get("/v1/documents")).status_code == 200
                changes = [client.post("/v1/collections", json={"name": f"c{number}"}) for number in range(30)]
                tasks = [asyncio.create_task(change) for change in changes]
                while sum(task.done() for task in tasks) < 10:  # four wait for the engine, 16 in line
                    await asyncio.sleep(0.01)
                try:
                    others = [await client.get(path) for path in ("/v1/documents", "/v1/collections")]
                    others.append(await client.post("/v1/documents", json={"text": "Alpha."}))
                finally:
                    go_on.set()
                    await asyncio.gather(*tasks)
                return [task.result().status_code for task in tasks], [reply.status_code for reply in others]

        changed, others = asyncio.run(ask_many())
    assert changed.count(503) == 10
    assert others == [200, 200, 202]


def test_c5_questions_beyond_the_line_are_told_to_come_back():
    engine, go_on = FakeEngine(), threading.Event()
    engine.between_parts = lambda: go_on.wait(20)
    with running(create_app(engine, FakeJobQueue(), question_places=1, max_waiting=2)) as url:

        async def ask_many():
            async with httpx.AsyncClient(base_url=url, timeout=30) as client:
                tasks = [asyncio.create_task(client.post("/v1/ask", json={"question": "q"})) for _ in range(10)]
                while sum(task.done() for task in tasks) < 7:  # one runs, two wait, seven are refused
                    await asyncio.sleep(0.01)
                go_on.set()
                return await asyncio.gather(*tasks)

        replies = asyncio.run(ask_many())
    assert sorted(reply.status_code for reply in replies) == [200] * 3 + [503] * 7
    refused = next(reply for reply in replies if reply.status_code == 503)
    assert (refused.json()["code"], refused.json()["retryable"]) == ("overloaded", True)
    assert int(refused.headers["retry-after"]) > 0


def test_a_place_comes_back_whether_a_pull_ends_fails_or_is_left():
    async def scenario():
        places = Places(1, 0)

        def numbers(count):
            yield from range(count)
            raise ValueError("end of numbers")

        ended = await pull(places, lambda: iter([1, 2]))
        assert [item async for item in ended] == [1, 2]
        await ended.close()
        await ended.close()
        failed = await pull(places, lambda: numbers(0))
        with pytest.raises(ValueError, match="end of numbers"):
            await failed.first()
        left = await pull(places, lambda: numbers(5))
        assert await left.first() == 0
        await left.close()
        assert await places.run(lambda: 7) == 7

    asyncio.run(scenario())


def test_a_full_line_refuses_at_once():
    async def scenario():
        places = Places(1, 0)
        release = await places.take()
        with pytest.raises(Overloaded):
            await places.take()
        release()
        (await places.take())()

    asyncio.run(scenario())


def test_an_error_nobody_foresaw_is_a_bare_500():
    engine = FakeEngine()

    def broken():
        raise RuntimeError("/home/user/secret.py")

    engine.list_collections = broken
    client = local_client(engine)
    with structlog.testing.capture_logs() as lines:
        reply = client.get("/v1/collections")
    assert "request_crashed" in [line["event"] for line in lines]
    assert (reply.status_code, reply.json()["code"]) == (500, "internal_error")
    assert "secret" not in reply.text
    assert reply.headers["x-request-id"] == reply.json()["request_id"]


def test_the_description_of_the_api_is_complete():
    document = local_client(FakeEngine()).get("/openapi.json").json()
    assert {
        "/v1/chat/completions", "/v1/models", "/v1/search", "/v1/ask", "/v1/documents", "/v1/documents/{document_id}",
        "/v1/documents/{document_id}/text", "/v1/collections", "/v1/collections/{name}",
        "/healthz", "/readyz", "/metrics",
    } <= set(document["paths"])  # fmt: skip
    schemas = document["components"]["schemas"]
    assert "ProblemReply" in schemas
    references = {part.split('"')[0] for part in str(document).replace("'", '"').split("#/components/schemas/")[1:]}
    assert references <= set(schemas)


def test_the_test_client_is_a_stranger_where_it_does_not_pose_as_the_local_user():
    """Guards the fixtures: were the peer not checked, the tests of the local user would prove nothing."""
    with TestClient(create_app(FakeEngine(), FakeJobQueue())) as client:
        assert client.get("/v1/documents").status_code == 403
