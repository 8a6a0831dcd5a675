"""What /metrics tells of the load: the encoder's batches, queues, open jobs, the event loop and the process."""

from __future__ import annotations

import asyncio
import time

import pytest

from retrieval.embedders.hashing import HashingEncoder
from service.bootstrap import build_server
from service.encoder_queue import EncodedBatch, EncoderQueue
from service.observability import Metrics
from service.settings import EncoderSettings, Settings
from service.storage.job_states import SqlJobStates
from service.storage.jobs import SqlJobQueue
from tests.service.api_fakes import LEASE, FakeEngine, local_client
from tests.service.storage_examples import enqueued


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def lines(metrics: Metrics) -> list[str]:
    return metrics.render([]).decode().split("\n")


def test_batches_of_the_encoder_are_counted_by_kind(metrics):
    metrics.load.observe_batch(EncodedBatch("question", 3, 0.02, (0.001, 0.3, 0.001)))
    metrics.load.observe_batch(EncodedBatch("passage", 8, 0.2, (0.0,)))
    shown = lines(metrics)
    for line in (
        'fovea_encoder_texts_total{kind="question"} 3.0',
        'fovea_encoder_texts_total{kind="passage"} 8.0',
        'fovea_encoder_batch_texts_count{kind="question"} 1.0',
        'fovea_encoder_batch_seconds_bucket{kind="passage",le="0.1"} 0.0',
        'fovea_encoder_batch_seconds_bucket{kind="passage",le="0.25"} 1.0',
        'fovea_encoder_wait_seconds_bucket{kind="question",le="0.25"} 2.0',
        'fovea_encoder_wait_seconds_count{kind="question"} 3.0',
    ):
        assert line in shown, line


def test_an_encoder_that_is_watched_tells_of_its_batches_and_its_line(metrics):
    queue = EncoderQueue(HashingEncoder)
    metrics.load.watch_encoder(queue)
    queue.encode_query("one")
    queue.close()  # waits for the thread, and with it for what it tells
    shown = lines(metrics)
    assert 'fovea_encoder_texts_total{kind="question"} 1.0' in shown
    assert 'fovea_queue_depth{queue="encoder_questions"} 0.0' in shown
    assert 'fovea_queue_depth{queue="encoder_passages"} 0.0' in shown


def test_open_jobs_are_counted_by_kind_and_state_and_finished_ones_vanish(metrics, sqlite_database):
    jobs = SqlJobQueue(sqlite_database)
    metrics.load.watch_jobs(SqlJobStates(sqlite_database))
    assert not [line for line in lines(metrics) if line.startswith("fovea_jobs{")]
    made = [enqueued(jobs, "upload", {"document_id": str(number)}) for number in range(3)]
    assert 'fovea_jobs{kind="upload",state="queued"} 3.0' in lines(metrics)
    for job in made:
        jobs.cancel(job.id, "a test")
    assert not [line for line in lines(metrics) if line.startswith("fovea_jobs{")]


def test_a_loop_that_is_held_up_shows_its_lag(metrics):
    async def scenario() -> None:
        probe = asyncio.create_task(metrics.load.probe_loop())
        await asyncio.sleep(0.01)
        time.sleep(0.3)  # the very thing that must never be done
        await asyncio.sleep(0.12)
        probe.cancel()

    asyncio.run(scenario())
    shown = {
        line.split(" ")[0]: float(line.split(" ")[1])
        for line in lines(metrics)
        if "loop_lag" in line and line[0] != "#"
    }
    late = shown["fovea_event_loop_lag_seconds_count"] - shown['fovea_event_loop_lag_seconds_bucket{le="0.1"}']
    assert late >= 1
    assert shown["fovea_event_loop_lag_seconds_count"] >= 2


def test_the_process_tells_of_its_memory_and_its_files(metrics):
    names = {line.split(" ")[0] for line in lines(metrics)}
    assert {"process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"} <= names


def test_the_route_shows_who_waits_for_a_place():
    text = local_client(FakeEngine({"lease.txt": LEASE})).get("/metrics").text
    assert 'fovea_queue_depth{queue="questions"} 0.0' in text
    assert 'fovea_queue_depth{queue="records"} 0.0' in text


def test_no_label_takes_its_value_from_what_a_client_sends():
    """A label per path, method, question or model would grow without end."""
    client = local_client(FakeEngine({"lease.txt": LEASE}))
    before = {line.rpartition(" ")[0] for line in client.get("/metrics").text.split("\n")}
    for number in range(20):
        client.get(f"/v1/none/{number}")
        client.get(f"/v1/documents/{number}")
        client.request(f"WORD{number}", "/healthz")
        client.post("/v1/search", json={"question": f"question {number}", "collection": f"c{number}"})
        client.post(
            "/v1/chat/completions", json={"model": f"m{number}", "messages": [{"role": "user", "content": "q"}]}
        )
    grown = {line.rpartition(" ")[0] for line in client.get("/metrics").text.split("\n")} - before
    labels = {part for line in grown for part in line.partition("{")[2].rstrip("}").split(",") if part}
    assert labels
    assert not [
        label
        for label in labels
        if any(f"{number}" in label for number in range(10))
        and "le=" not in label
        and "status=" not in label
        and "v1" not in label
    ]
    assert not [label for label in labels if "WORD" in label or "none" in label]


def test_the_server_of_the_product_watches_its_encoder_and_its_jobs(tmp_path):
    with build_server(Settings(data_dir=tmp_path, encoder=EncoderSettings(model="hashing"))) as server:
        server.engine.ingest_text("The jetty is closed in winter.", source="a")
        server.engine.search("When is the jetty closed?")
        enqueued(server.jobs, "upload", {"document_id": "d"})
        shown = server.metrics.render(server.engine.list_collections()).decode().split("\n")
    assert 'fovea_encoder_texts_total{kind="passage"} 1.0' in shown
    assert 'fovea_encoder_texts_total{kind="question"} 1.0' in shown
    assert 'fovea_jobs{kind="upload",state="queued"} 1.0' in shown
