"""Documents and collections over HTTP: accepted once committed, followed by state, listed in pages, deleted."""

import threading

import pytest

from domain.documents import document_id, text_source
from domain.errors import StorageError
from domain.jobs import JobStatus
from service.api.replies import (
    AcceptedList,
    CollectionList,
    CollectionReply,
    DocumentList,
    DocumentStateReply,
    TextReply,
)
from tests.service.api_fakes import LEASE, QUOTE, FakeEngine, FakeJobQueue, local_client


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def jobs():
    return FakeJobQueue()


@pytest.fixture
def client(engine, jobs):
    """No worker runs: a job stays queued until a test claims it."""
    return local_client(engine, jobs)


def upload(client, name="lease.txt", data=LEASE, **fields):
    return client.post("/v1/documents", files={"files": (name, data, "text/plain")}, data=fields)


def test_files_are_accepted_with_ids_once_their_bytes_are_committed(client, jobs):
    files = [("files", ("a.txt", b"Alpha.", "text/plain")), ("files", ("租约.md", "租金".encode(), "text/markdown"))]
    reply = client.post("/v1/documents", files=files, data={"collection": "contracts"})
    assert reply.status_code == 202
    AcceptedList.model_validate(reply.json())
    accepted = reply.json()["documents"]
    assert [(item["source"], item["status"]) for item in accepted] == [("a.txt", "queued"), ("租约.md", "queued")]
    assert accepted[1]["id"] == document_id("local", "contracts", "租约.md")
    job = jobs.jobs[accepted[1]["job_id"]]
    assert job.blob.decode() == "租金"
    assert job.payload["collection"] == "contracts"


def test_nothing_is_accepted_that_could_not_be_committed(client, jobs):
    def submit(*args):
        raise StorageError("disk I/O error: /var/db")

    jobs.submit = submit
    reply = upload(client)
    assert (reply.status_code, reply.json()["code"], reply.json()["retryable"]) == (503, "storage_unavailable", True)
    assert reply.headers["retry-after"]


def test_text_and_urls_are_accepted_as_json(client, jobs):
    text = client.post("/v1/documents", json={"text": "Rent is 900.", "title": "Note"}).json()["documents"][0]
    again = client.post("/v1/documents", json={"text": "Rent is 900.", "title": "Note"}).json()["documents"][0]
    url = client.post("/v1/documents", json={"url": "https://example.org/a"}).json()["documents"][0]
    named = client.post("/v1/documents", json={"text": "x", "source": "wiki/1"}).json()["documents"][0]
    assert text["id"] == again["id"], "the same text is the same document"
    assert text["source"] == text_source("Note", "Rent is 900."), "as the library names it"
    assert (url["source"], named["source"]) == ("https://example.org/a", "wiki/1")
    assert url["id"] == document_id("local", "default", "https://example.org/a")
    assert [job.payload["form"] for job in jobs.jobs.values()] == ["text", "text", "url", "text"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_request"),
        ({"url": "https://a.org", "text": "both"}, "invalid_request"),
        ({"text": ""}, "invalid_request"),
        ({"text": "x", "titel": "y"}, "invalid_request"),
        ({"url": "file:///etc/passwd"}, "url_forbidden"),
        ({"url": "ftp://example.org"}, "url_forbidden"),
        ([], "invalid_request"),
    ],
)
def test_wrong_json_uploads_are_refused(client, jobs, body, code):
    reply = client.post("/v1/documents", json=body)
    assert (reply.status_code, reply.json()["code"]) == (422, code)
    assert jobs.jobs == {}


def test_a_form_without_a_file_and_a_body_of_another_type_are_refused(client):
    boundary = {"Content-Type": "multipart/form-data; boundary=x"}
    empty = client.post("/v1/documents", content=b"--x--\r\n", headers=boundary)
    assert empty.status_code == 422
    other = client.post("/v1/documents", content=b"text", headers={"Content-Type": "text/plain"})
    assert (other.status_code, other.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("../../etc/passwd", "../../etc/passwd"),  # kept as it is: display data, never a path on this side
        ("a\u202etxt.exe", "atxt.exe"),
        ("<img src=x onerror=alert(1)>.txt", "<img src=x onerror=alert(1)>.txt"),
    ],
)
def test_i10_a_file_name_is_display_data(client, jobs, name, source):
    item = upload(client, name).json()["documents"][0]
    assert item["source"] == source
    assert "/" not in jobs.jobs[item["job_id"]].payload["name"]


def test_i10_a_name_that_is_too_long_is_refused_rather_than_cut(client):
    reply = upload(client, "x" * 2000 + ".txt")
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_request")


def test_the_state_goes_from_queued_over_running_to_ready(engine, jobs):
    entered, go_on = threading.Event(), threading.Event()
    index = engine.ingest_bytes

    def slow(*args, **kwargs):
        entered.set()
        assert go_on.wait(20)
        return index(*args, **kwargs)

    engine.ingest_bytes = slow
    client = local_client(engine, jobs)
    identity = upload(client).json()["documents"][0]["id"]
    queued = client.get(f"/v1/documents/{identity}")
    DocumentStateReply.model_validate(queued.json())
    assert (queued.json()["state"], queued.json()["status"], queued.json()["source"]) == ("queued", None, "lease.txt")
    with client:  # the worker starts
        assert entered.wait(20)
        assert client.get(f"/v1/documents/{identity}").json()["state"] == "running"
        go_on.set()
        ready = wait_for(client, identity, "ready")
    DocumentStateReply.model_validate(ready)
    assert (ready["status"], ready["chunks"], ready["job"]["status"]) == ("indexed", 1, "ready")


def test_a_document_that_cannot_be_read_is_failed_with_the_reason(client, engine, jobs):
    identity = upload(client, "bad.pdf", "BAD").json()["documents"][0]["id"]
    with client:
        failed = wait_for(client, identity, "failed")
    assert failed["error"]["code"] == failed["job"]["error"]["code"] == "corrupt_document"
    assert "open it and save it again" in failed["error"]["message"]


def test_a_new_version_that_waits_does_not_hide_the_old_one(client, engine):
    engine.ingest_text(LEASE, source="lease.txt")
    identity = upload(client).json()["documents"][0]["id"]
    shown = client.get(f"/v1/documents/{identity}").json()
    assert (shown["state"], shown["status"], shown["chunks"]) == ("queued", "indexed", 1)


def test_listing_goes_page_by_page_over_every_document_once(client, engine):
    for number in range(7):
        engine.ingest_text(f"Text {number}.", source=f"s{number}", collection="default" if number < 5 else "other")
    seen, cursor = [], None
    while True:
        page = client.get("/v1/documents", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        DocumentList.model_validate(page)
        seen += [item["id"] for item in page["documents"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(seen) == sorted(engine.documents)
    assert len(client.get("/v1/documents", params={"collection": "other"}).json()["documents"]) == 2
    for wrong in ({"limit": 0}, {"limit": 1001}, {"limit": "x"}):
        assert client.get("/v1/documents", params=wrong).status_code == 422


def test_the_text_is_what_spans_count_in_whole_or_in_part(client, engine):
    text = "𠮷野家的租金。" + LEASE
    engine.ingest_text(text, source="lease.txt")
    identity = document_id("local", "default", "lease.txt")
    whole = client.get(f"/v1/documents/{identity}/text").json()
    TextReply.model_validate(whole)
    assert (whole["text"], whole["characters"], len(whole["pages"])) == (text, len(text), 2)
    start = text.index(QUOTE)
    part = client.get(f"/v1/documents/{identity}/text", params={"start": start, "end": start + len(QUOTE)}).json()
    assert (part["text"], part["start"]) == (QUOTE, start)
    assert [page["number"] for page in part["pages"]] == [2]
    beyond = client.get(f"/v1/documents/{identity}/text", params={"start": 10**6, "end": 5}).json()
    assert (beyond["text"], beyond["start"], beyond["end"]) == ("", len(text), len(text))


def test_delete_removes_a_document_and_then_it_is_unknown(client, engine):
    engine.ingest_text(LEASE, source="lease.txt")
    identity = document_id("local", "default", "lease.txt")
    assert client.delete(f"/v1/documents/{identity}").status_code == 204
    for reply in (client.get(f"/v1/documents/{identity}"), client.delete(f"/v1/documents/{identity}")):
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


def test_deleting_a_queued_upload_cancels_it(client, engine, jobs):
    item = upload(client).json()["documents"][0]
    assert client.delete(f"/v1/documents/{item['id']}").status_code == 204
    assert jobs.get(item["job_id"]).status is JobStatus.CANCELLED
    with client:
        assert engine.documents == {}
    assert client.get(f"/v1/documents/{item['id']}").status_code == 404


def test_collections_are_made_listed_and_deleted(client):
    made = client.post("/v1/collections", json={"name": "合同"})
    assert made.status_code == 201
    CollectionReply.model_validate(made.json())
    listed = client.get("/v1/collections").json()
    CollectionList.model_validate(listed)
    assert [item["name"] for item in listed["collections"]] == ["default", "合同"]
    taken = client.post("/v1/collections", json={"name": "合同"})
    assert (taken.status_code, taken.json()["code"]) == (409, "collection_exists")
    assert client.delete("/v1/collections/合同").status_code == 204
    assert client.delete("/v1/collections/合同").status_code == 404


def wait_for(client, identity, state):
    pause = threading.Event()
    for _ in range(2000):
        shown = client.get(f"/v1/documents/{identity}").json()
        if shown["state"] == state:
            return shown
        pause.wait(0.01)
    raise AssertionError(f"the document is {shown['state']}, not {state}")
