"""A real server under load: what searching clients and health checks notice of an ingest run, and what memory does."""

from __future__ import annotations

import os
import statistics
import threading
from pathlib import Path

import httpx
import pytest

from benchmarks.load import Load, Report, measure, quantile, shown
from retrieval.embedders.hashing import HashingEncoder
from service.api.app import create_app
from service.bootstrap import build_server
from service.encoder_queue import EncoderQueue
from service.settings import EncoderSettings, Settings
from tests.service.http_server import running

SEED = int(os.environ.get("FOVEA_TEST_SEED", "0"))


def environment(model: str, models_dir: Path) -> dict[str, str]:
    return {"FOVEA_ENCODER__MODEL": model, "FOVEA_ENCODER__MODELS_DIR": str(models_dir), "NO_COLOR": "1"}


def loaded(load: Load, model: str, models_dir: Path) -> Report:
    report = measure(load, environment(model, models_dir))
    print(f"FOVEA_TEST_SEED={load.seed}\n{shown(report)}")
    return report


class HeldEncoder(HashingEncoder):
    """The hashing encoder, which holds passages until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.go_on = threading.Event(), threading.Event()

    def encode_documents(self, passages):
        self.held.set()
        assert self.go_on.wait(60)
        return super().encode_documents(passages)


def test_c1_health_readiness_and_listings_answer_while_the_encoder_is_at_work(tmp_path):
    encoder = HeldEncoder()
    queue = EncoderQueue(lambda: encoder)
    settings = Settings(data_dir=tmp_path, encoder=EncoderSettings(model="hashing"))
    with build_server(settings, encoder=queue) as server:
        with (
            running(create_app(server.engine, server.jobs, work=server.work)) as url,
            httpx.Client(base_url=url, timeout=20) as client,
        ):
            uploaded = client.post("/v1/documents", files={"files": ("a.txt", b"The jetty is closed in winter.")})
            assert uploaded.status_code == 202 and encoder.held.wait(60)
            for path in ("/healthz", "/v1/documents", "/v1/collections", "/metrics"):
                assert client.get(path).status_code == 200, path
            encoder.go_on.set()
        queue.close()


def test_c2_searches_beside_an_ingest_run_are_answered_whole_and_without_an_error(models_dir):
    report = loaded(
        Load(clients=8, seconds=4, idle_seconds=2, documents=60, sentences=6, seed=SEED), "hashing", models_dir
    )
    assert report.errors == []
    assert report.idle.searches and report.busy.searches and report.busy.health
    assert report.ingested > 0, "nothing was ingested: the searches were not beside anything"


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_c2_thirty_two_clients_for_five_minutes(models_dir):
    report = loaded(Load(seed=SEED), "multilingual-e5-small", models_dir)
    assert report.errors == []
    assert report.ingested > 0


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_c1_the_event_loop_is_never_blocked_while_500_documents_are_embedded(models_dir):
    """One searching client, so that what is measured is the embedding and not a crowd."""
    load = Load(clients=1, seconds=120, idle_seconds=10, documents=500, seed=SEED)
    report = loaded(load, "multilingual-e5-small", models_dir)
    assert report.errors == []
    print(f"lag p99 <= {report.busy.lag_quantile(0.99)} s, max <= {report.busy.lag_quantile(1.0)} s")
    print(f"/healthz p99 {quantile(report.busy.health, 0.99):.3f} s")


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_c15_memory_stays_what_it_is_through_ten_minutes_of_searches(models_dir):
    load = Load(clients=8, seconds=60, idle_seconds=600, documents=100, sentences=6, seed=SEED)
    report = loaded(load, "hashing", models_dir)
    assert report.errors == []
    early, late = middle(report.idle.memory, 0.25), middle(report.idle.memory, 0.75)
    print(f"MiB: {early:.0f} in the second quarter, {late:.0f} in the last")
    assert late < 1.05 * early


def middle(samples: list[float], start: float) -> float:
    """The median of the quarter of the samples that begins at this share of them."""
    at = int(start * len(samples))
    return statistics.median(samples[at : at + len(samples) // 4])
