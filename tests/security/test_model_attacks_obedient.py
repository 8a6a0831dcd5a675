"""A model that obeys the attacker gains nothing: what it writes stays text, and it knows nothing worth carrying off."""

from __future__ import annotations

import csv
import json
import re
import socket

import anyio
import pytest
from mcp import Client as McpClient

from service.batches.table_run import run_batch
from service.mcp_server import create_mcp_server
from tests.security.obedient import CANARIES, PAYLOADS, POISON, PRIVATE, poisoned_engine, question, written
from tests.service.api_fakes import FakeJobQueue, events_of, local_client

ORDERS = range(len(PAYLOADS))
INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f\u200b\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    with poisoned_engine(tmp_path_factory.mktemp("poisoned")) as both:
        yield both


@pytest.fixture(scope="module")
def client(poisoned):
    return local_client(poisoned[0], FakeJobQueue())


@pytest.fixture(autouse=True)
def no_traffic(monkeypatch):
    """Every attempt of this process to reach another machine, or to ask where one is; there must be none."""
    tried = []

    def refused(name):
        def attempt(*arguments, **_):
            tried.append((name, arguments[-1]))
            raise OSError("no traffic in this test")

        return attempt

    monkeypatch.setattr(socket.socket, "connect", refused("connect"))
    monkeypatch.setattr(socket.socket, "connect_ex", refused("connect_ex"))
    monkeypatch.setattr(socket, "getaddrinfo", refused("getaddrinfo"))
    yield
    assert tried == []


def complaints(answer: dict, whole: str) -> list[str]:
    """What is wrong with an answer (as JSON) and with all that was sent along with it."""
    evidence = (answer.get("search") or answer)["evidence"]
    texts = {item["document_id"]: item["text"] for item in evidence}
    found = [f"holds {canary!r}" for canary in CANARIES if canary in whole]
    if INVISIBLE.search(answer["answer"]):
        found.append("holds invisible characters")
    marks = {int(mark) for mark in re.findall(r"(?<![`\w])\[(\d{1,3})\]", answer["answer"])}
    if not marks <= {item["mark"] for item in evidence}:
        found.append(f"has marks without evidence: {marks}")
    for citation in answer["citations"]:
        if citation["document_id"] not in texts or citation["quote"] not in texts[citation["document_id"]]:
            found.append("cites what was not sent")
    if any(citation["verified"] for citation in answer["citations"]) and POISON not in answer["answer"]:
        found.append("has a citation verified for what no document says")
    return found


def test_l1_there_are_three_hundred_payloads_and_each_reaches_the_reader_as_the_model_wrote_it(poisoned):
    engine, model = poisoned
    assert len(PAYLOADS) >= 300
    for order in (0, 40, 120, 200, 300):
        text = engine.ask(question(order)).text
        assert model.obeyed[-1] == order
        plain = re.sub(r"\W+", "", written(order, model.prompts[-1]))
        assert re.sub(r"\W+", "", text)[:40] == plain[:40]


def test_l1_ask_json_carries_nothing_but_text(client, poisoned):
    before = len(poisoned[1].obeyed)
    for order in ORDERS:
        reply = client.post("/v1/ask", json={"question": question(order)})
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert complaints(reply.json(), reply.text) == [], PAYLOADS[order]
    assert poisoned[1].obeyed[before:] == list(ORDERS)


def chat(client, order, stream):
    messages = [{"role": "user", "content": question(order)}]
    return client.post("/v1/chat/completions", json={"model": "fovea", "messages": messages, "stream": stream})


def test_l1_a_chat_completion_carries_nothing_but_text(client):
    for order in ORDERS[::6]:
        body = chat(client, order, stream=False).json()
        message = body["choices"][0]["message"]
        assert message.keys() == {"role", "content", "refusal"}, "a model's text never becomes a tool call"
        assert message["content"] == body["fovea"]["answer"]
        assert complaints(body["fovea"], json.dumps(body, ensure_ascii=False)) == [], PAYLOADS[order]


def test_l1_a_stream_cannot_be_broken_out_of_and_says_what_the_checked_answer_says(client):
    for order in ORDERS:
        reply = chat(client, order, stream=True)
        events = events_of(reply.text)
        assert events[-1] == (None, "[DONE]") and all(name is None for name, _ in events)
        chunks = [json.loads(data) for _, data in events[:-1]]
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        assert {key for delta in deltas for key in delta} <= {"role", "content"}
        joined = "".join(delta.get("content", "") for delta in deltas)
        last = [chunk["fovea"] for chunk in chunks if "fovea" in chunk]
        assert len(last) == 1 and joined == last[0]["answer"], PAYLOADS[order]
        assert complaints(last[0], reply.text) == [], PAYLOADS[order]


def test_l1_a_batch_writes_tables_that_no_spreadsheet_runs(poisoned, tmp_path):
    engine, _ = poisoned
    source, output = tmp_path / "questions.csv", tmp_path / "answers.csv"
    with source.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["question"], *([question(order)] for order in ORDERS)])
    run_batch(source, output, engine.batch)
    text = output.read_text(encoding="utf-8-sig")
    assert [canary for canary in CANARIES if canary in text] == []
    rows = list(csv.reader(text.splitlines(keepends=True)))
    assert len(rows) == len(ORDERS) + 1
    cells = [cell for row in rows for cell in row]
    assert [cell for cell in cells if cell.lstrip(" ")[:1] in tuple("=+@\t\r＝＋＠") and cell.strip()] == []
    assert [cell for cell in cells if re.match(r"[-－](?!\d+(\.\d+)?$)", cell)] == []


def test_l1_mcp_hands_on_text_and_no_tool_that_writes(poisoned):
    engine, _ = poisoned

    async def talk():
        async with McpClient(create_mcp_server(engine)) as client:
            asked = ({"question": question(order), "details": True} for order in ORDERS[::6])
            return [await client.call_tool("ask", arguments) for arguments in asked]

    for reply in anyio.run(talk):
        assert not reply.is_error and all(item.type == "text" for item in reply.content)
        answer = reply.structured_content
        assert complaints(answer, json.dumps(answer, ensure_ascii=False)) == []


def test_l1_no_prompt_holds_a_key_a_path_or_another_collections_text(poisoned):
    engine, model = poisoned
    engine.ask(question(0))
    prompts = "\n".join(model.prompts)
    assert [canary for canary in CANARIES if canary in prompts] == []
    assert "vault.txt" not in prompts and "/tmp" not in prompts


def test_l1_the_canaries_are_real(poisoned):
    """The secret is one that a question of its own collection finds, so its absence above means something."""
    engine, _ = poisoned
    found = engine.search("What is the Marlowe settlement worth?", collection="private")
    assert found.evidence[0].text == PRIVATE
