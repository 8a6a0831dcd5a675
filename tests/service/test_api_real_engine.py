"""The HTTP side over the real engine, store and queue: what was accepted is found, cited, durable and deletable."""

import time

import httpx
import pytest

from domain.documents import document_id
from domain.errors import NotFound
from fovea.client import Client
from service.api.app import create_app
from service.bootstrap import build_server
from service.settings import load_settings
from tests.service.api_fakes import LEASE, local_client
from tests.service.http_server import running

QUESTION = "How much is the rent a month in euros?"


@pytest.fixture
def settings(tmp_path):
    return load_settings(data_dir=tmp_path / "data", encoder={"model": "hashing"})


def application(server):
    several = {"tenants": server.tenants, "jobs_of": server.jobs_of, "work": server.work}
    return create_app(server.engine, server.jobs, max_body_bytes=server.max_body_bytes, **several)


def test_an_uploaded_file_is_answered_from_cited_and_gone_once_deleted(settings, tmp_path):
    file = tmp_path / "lease.txt"
    file.write_text(LEASE)
    with build_server(settings) as server, running(application(server)) as url, Client(url) as client:
        report = client.ingest(file)
        assert [item.status.value for item in report.documents] == ["indexed"]
        identity = report.documents[0].id
        assert identity == document_id("local", "default", str(file))
        answer = client.ask(QUESTION)
        text = client.document(identity).text
        assert answer.citations and not answer.degraded
        for citation in answer.citations:
            assert citation.span.of(text) == citation.quote
            assert citation.verified
        for item in answer.search.evidence:
            assert " … ".join(span.of(text) for span in item.spans) == item.text
        assert client.search(QUESTION).evidence == server.engine.search(QUESTION).evidence
        client.delete(identity)
        with pytest.raises(NotFound):
            client.get_document(identity)
        assert client.search(QUESTION).evidence == ()


def test_an_upload_that_was_accepted_survives_the_end_of_the_process(settings):
    with build_server(settings) as server:
        client = local_client(server.engine, server.jobs)  # no worker runs: accepted, and then the process ends
        item = client.post("/v1/documents", files={"files": ("lease.txt", LEASE, "text/plain")}).json()["documents"][0]
        server.work.source.claim(lambda kind: True)  # it was even being worked on
    with build_server(settings) as server:
        shown = local_client(server.engine, server.jobs).get(f"/v1/documents/{item['id']}").json()
        assert shown["state"] == "running"
        with running(application(server)) as url, Client(url) as client:
            wait_until_ready(f"{url}/v1/documents/{item['id']}")
            assert client.document(item["id"]).text == LEASE


def test_a_file_that_cannot_be_read_fails_with_a_code_and_the_others_are_indexed(settings, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    (tmp_path / "in" / "empty.txt").write_bytes(b"")
    (tmp_path / "in" / "good.md").write_text("# 合同\n\n租金每月900欧元。", encoding="utf-8")
    with build_server(settings) as server, running(application(server)) as url, Client(url) as client:
        report = client.ingest(tmp_path / "in")
        assert [item.status.value for item in report.documents] == ["failed", "failed", "indexed"]
        assert all(item.error.code and item.error.message for item in report.failed)
        assert [item.chunks for item in client.list_documents() if item.source.endswith("good.md")] == [1]


def wait_until_ready(url):
    for _ in range(600):
        state = httpx.get(url).json()["state"]
        if state == "ready":
            return
        assert state in ("queued", "running")
        time.sleep(0.05)
    raise AssertionError("the upload was never indexed")
