"""Jobs over the real engine and over processes: one document for many uploads, nothing late, nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from domain.documents import Passage
from domain.errors import NotFound
from domain.jobs import JobStatus
from domain.search import Encoding
from retrieval.embedders.hashing import HashingEncoder
from service.api.app import create_app
from service.bootstrap import Served, build_server
from service.settings import load_settings
from service.storage.database import Database, open_database
from service.storage.documents import SqlDocumentStore
from service.storage.jobs import SqlJobQueue
from service.storage.leases import SqlJobSource
from tests.service.storage_examples import enqueued
from tests.service.waiting import wait_until

SEED = int(os.environ.get("FOVEA_TEST_SEED", "13"))
NIGHTLY = [pytest.mark.nightly, pytest.mark.timeout(1800)]


class GatedEncoder(HashingEncoder):
    """Encodes passages once it is let, and tells that it has been asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def encode_documents(self, passages: Sequence[Passage]) -> list[Encoding]:
        self.entered.set()
        assert self.go_on.wait(30)
        return super().encode_documents(passages)


@contextmanager
def serving(folder: Path, **parts: object) -> Iterator[tuple[Served, TestClient]]:
    """A server with its worker, asked in this process."""
    settings = load_settings(data_dir=folder / "data", encoder={"model": "hashing"})
    with build_server(settings, **parts) as server:
        several = {"tenants": server.tenants, "jobs_of": server.jobs_of, "work": server.work}
        app = create_app(server.engine, server.jobs, record_places=32, max_waiting=400, **several)
        with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000)) as client:
            yield server, client


def upload(client: TestClient, name: str, words: str, collection: str = "default") -> dict[str, str]:
    file = {"files": (name, words.encode(), "text/plain")}
    reply = client.post("/v1/documents", files=file, data={"collection": collection})
    assert reply.status_code == 202, reply.text
    accepted: dict[str, str] = reply.json()["documents"][0]
    return accepted


def wait_for(client: TestClient, document: str) -> str:
    for _ in range(6000):
        state: str = client.get(f"/v1/documents/{document}").json()["state"]
        if state not in ("queued", "running"):
            return state
        time.sleep(0.005)
    raise AssertionError("the upload did not end")


def rows_in(server: Served) -> dict[str, int]:
    """What is stored, past the engine."""
    database = server.jobs._database  # type: ignore[attr-defined]
    with database.read() as connection:
        tables = ("documents", "chunks")
        return {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in tables}


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=NIGHTLY)])
def test_c4_many_uploads_of_the_same_bytes_at_once_are_one_document(tmp_path: Path, count: int) -> None:
    words = "The jetty is closed in winter. It opens again in April."
    with serving(tmp_path) as (server, client):
        with ThreadPoolExecutor(16) as pool:
            accepted = list(pool.map(lambda _: upload(client, "jetty.txt", words), range(count)))
        (document,) = {item["id"] for item in accepted}
        assert len({item["job_id"] for item in accepted}) == count
        for item in accepted:
            wait_until(lambda job=item["job_id"]: server.jobs.get(job).status.finished)
        assert {server.jobs.get(item["job_id"]).status for item in accepted} == {JobStatus.READY}
        assert [info.id for info in server.engine.list_documents()] == [document]
        assert rows_in(server) == {"documents": 1, "chunks": server.engine.get_document(document).chunks}


@pytest.mark.parametrize("count", [25, pytest.param(1000, marks=NIGHTLY)])
def test_c3_a_document_that_is_ready_is_found_by_the_next_search(tmp_path: Path, count: int) -> None:
    with serving(tmp_path) as (_, client):
        for number in range(count):
            word = f"marker{number}word"
            item = upload(client, f"{number}.txt", f"The {word} stands here, and only here.")
            assert wait_for(client, item["id"]) == "ready"
            found = client.post("/v1/search", json={"question": f"Where is the {word}?", "max_tokens": 200}).json()
            assert item["id"] in {hit["document_id"] for hit in found["evidence"]}


@pytest.mark.parametrize("runs", [15, pytest.param(100, marks=NIGHTLY)])
def test_c13_a_document_that_is_deleted_at_any_moment_of_its_upload_leaves_no_row(tmp_path: Path, runs: int) -> None:
    rng = random.Random(SEED)
    with serving(tmp_path) as (server, client):
        for run in range(runs):
            item = upload(client, "a.txt", f"Sentence {run}. " * 40)
            time.sleep(rng.choice((0, rng.uniform(0, 0.06))))
            assert client.delete(f"/v1/documents/{item['id']}").status_code == 204
            assert rows_in(server) == {"documents": 0, "chunks": 0}, f"seed {SEED}, run {run}"
            wait_until(lambda job=item["job_id"]: server.jobs.get(job).status.finished)
        upload(client, "last.txt", "Behind all of them.")
        wait_until(lambda: rows_in(server)["documents"] == 1)
        assert [info.source for info in server.engine.list_documents()] == ["last.txt"], "nothing came late"


@pytest.mark.parametrize("runs", [15, pytest.param(100, marks=NIGHTLY)])
def test_c13_a_collection_that_is_deleted_while_it_is_filled_stays_empty(tmp_path: Path, runs: int) -> None:
    rng = random.Random(SEED)
    with serving(tmp_path) as (server, client):
        for run in range(runs):
            jobs = [upload(client, f"{n}.txt", f"Sentence {run} {n}. " * 20, "notes")["job_id"] for n in range(3)]
            time.sleep(rng.choice((0, rng.uniform(0, 0.1))))
            assert client.delete("/v1/collections/notes").status_code == 204
            assert rows_in(server) == {"documents": 0, "chunks": 0}, f"seed {SEED}, run {run}"
            for job in jobs:
                wait_until(lambda job=job: server.jobs.get(job).status.finished)
            assert rows_in(server) == {"documents": 0, "chunks": 0}, f"a late write, seed {SEED}, run {run}"
            assert "notes" not in {item.name for item in server.engine.list_collections()}


def test_c13_deleting_what_is_being_indexed_ends_the_work_and_frees_the_worker(tmp_path: Path) -> None:
    encoder = GatedEncoder()
    with serving(tmp_path, encoder=encoder) as (server, client):
        encoder.go_on.clear()
        item = upload(client, "long.txt", "\n\n".join(f"Paragraph {n} says {n}. " * 30 for n in range(40)))
        assert encoder.entered.wait(30)
        with ThreadPoolExecutor(1) as pool:
            deletion = pool.submit(client.delete, f"/v1/documents/{item['id']}")
            wait_until(lambda: server.jobs.get(item["job_id"]).status is JobStatus.CANCELLED)
            encoder.go_on.set()  # the batch under way ends, and no other is begun
            assert deletion.result(30).status_code == 204
        assert wait_for(client, upload(client, "next.txt", "The next one.")["id"]) == "ready"
        assert [info.source for info in server.engine.list_documents()] == ["next.txt"]
        with pytest.raises(NotFound):
            server.engine.get_document(item["id"])


# -- processes ---------------------------------------------------------------------------------------------------------

_STOPPED_WORKER = """
import sys
sys.path.insert(0, sys.argv[2])
from domain.errors import JobLost
from service.storage.database import open_database
from service.storage.documents import SqlDocumentStore
from service.storage.leases import SqlJobSource
from tests.service.storage_examples import make_document, put

database = open_database(sys.argv[1])
store, source = SqlDocumentStore(database), SqlJobSource(database, "frozen")
job = source.claim(lambda kind: True)
print("claimed", flush=True)
sys.stdin.readline()
try:
    with source.holding(job):
        put(store, make_document("frozen", "written by a worker that was thought dead"))
    print("written", flush=True)
except JobLost:
    print("refused", flush=True)
"""


def test_c9_a_worker_that_stood_still_beyond_its_lease_finds_its_writes_refused(
    database_url: str, database: Database, store: SqlDocumentStore
) -> None:
    queue = SqlJobQueue(database)
    job = enqueued(queue, "k", {})
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", _STOPPED_WORKER, database_url, str(root)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    try:
        assert child.stdout.readline() == "claimed\n"
        os.kill(child.pid, signal.SIGSTOP)
        other = SqlJobSource(open_database(database_url), "awake", lease_seconds=0.5)
        wait_until(lambda: other.take_over() == 1)
        again = other.claim(lambda kind: True)
        assert again is not None and (again.id, again.attempts) == (job.id, 2)
        other.complete(again)
        os.kill(child.pid, signal.SIGCONT)
        child.stdin.write("go on\n")
        child.stdin.flush()
        assert child.stdout.readline() == "refused\n"
        assert store.list_documents() == []
        assert queue.get(job.id).status is JobStatus.READY
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
        other._database.close()
