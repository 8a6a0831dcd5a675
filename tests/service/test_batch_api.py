"""POST /v1/batches and what follows: every question one result, equal ones asked once, nothing beyond the ceiling."""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from dataclasses import replace
from functools import partial

import pytest

from domain.batches import BatchInfo
from domain.errors import GeneratorUnreachable
from domain.search_result import Rewrite
from service.api.replies import BatchAccepted, BatchList, BatchReply
from service.batches.columns import ANSWER_COLUMNS
from tests.service.batch_examples import CountingEngine, batch_client, finished
from tests.service.waiting import wait_until


@pytest.fixture
def engine():
    return CountingEngine()


@pytest.fixture
def client(sqlite_database, engine):
    return batch_client(sqlite_database, engine)


def create(client, body=None, **request):
    reply = client.post("/v1/batches", **({"json": body} if body is not None else request))
    assert reply.status_code == 202, reply.text
    BatchAccepted.model_validate(reply.json())
    assert reply.headers["location"] == f"/v1/batches/{reply.json()['id']}"
    return reply.json()["id"]


def lines(client, batch_id, **request):
    reply = client.get(f"/v1/batches/{batch_id}/results", **request)
    assert reply.status_code == 200
    return [json.loads(line) for line in reply.text.splitlines()]


def run(client, body=None, **request):
    with client:
        batch_id = create(client, body, **request)
        return finished(client, batch_id), batch_id


def test_every_question_gets_its_answer_in_its_place(client, engine):
    questions = [f"Question {number}?" for number in range(20)]
    engine.gate = partial(threading.Barrier(4).wait, 20)  # passed by four at a time only
    state, batch_id = run(client, {"questions": questions, "max_tokens": 90, "constraints": ["Be brief."]})
    BatchReply.model_validate(state)
    assert BatchInfo.from_dict(state).to_dict() == state
    assert state["counts"] == {"total": 20, "answered": 20, "failed": 0, "waiting": 0, "asked": 20}
    assert state["usage"] == {"prompt_tokens": 600, "completion_tokens": 200, "total_tokens": 800}
    rows = lines(client, batch_id)
    assert [row["question"] for row in rows] == questions
    assert [row["answer"] for row in rows] == [f"Answer to {question}" for question in questions]
    assert set(rows[0]) == {"question", *ANSWER_COLUMNS}
    _, options = engine.asked[0]
    assert (options["max_tokens"], options["constraints"], options["collection"]) == (90, ["Be brief."], "default")
    assert engine.most_at_once == 4


def test_rows_come_back_with_their_columns_as_jsonl_and_as_csv(client):
    rows = [{"id": 1, "问题": "谁签字？", "note": "a"}, {"id": 2, "问题": "Who?", "note": None}]
    _, batch_id = run(client, {"rows": rows, "question_column": "问题"})
    found = lines(client, batch_id)
    assert [{name: row[name] for name in ("id", "问题", "note")} for row in found] == rows
    for asked in ({"params": {"format": "csv"}}, {"headers": {"accept": "text/csv"}}):
        reply = client.get(f"/v1/batches/{batch_id}/results", **asked)
        assert reply.headers["content-type"] == "text/csv; charset=utf-8"
        assert reply.headers["content-disposition"] == f'attachment; filename="{batch_id}.csv"'
        table = list(csv.DictReader(io.StringIO(reply.content.decode("utf-8-sig"), newline="")))
        assert list(table[0]) == ["id", "问题", "note", *ANSWER_COLUMNS]
        assert [row["answer"] for row in table] == ["Answer to 谁签字？", "Answer to Who?"]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_csv_file_is_read_as_a_form_and_as_the_body(client, engine, encoding):
    data = "编号,问题\n1,保修期是多长时间，从哪一天开始计算？\n2,Who?\n".encode(encoding)
    with client:
        form = {
            "files": {"file": ("表.csv", data, "text/csv")},
            "data": {"max_tokens": "70", "constraints": ["A", "B"]},
        }
        first = create(client, **form)
        second = create(client, content=data, headers={"content-type": "text/csv"}, params={"max_tokens": 71})
        for batch_id in (first, second):
            assert finished(client, batch_id)["counts"]["answered"] == 2
            assert lines(client, batch_id)[0]["编号"] == "1"
    assert {(call["max_tokens"], *call["constraints"]) for _, call in engine.asked} == {(70, "A", "B"), (71,)}


def test_a_jsonl_file_may_hold_objects_or_bare_texts(client):
    data = b'{"question": "Who?", "n": 1}\n\n"When?"\n'
    state, batch_id = run(client, content=data, headers={"content-type": "application/jsonl"})
    assert state["form"] == "rows"
    assert [row["answer"] for row in lines(client, batch_id)] == ["Answer to Who?", "Answer to When?"]


def openai_line(name, question, **body):
    messages = [{"role": "system", "content": "You are terse."}, {"role": "user", "content": question}]
    request = {"method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": messages, **body}}
    return json.dumps({"custom_id": name, **request}) + "\n"


def test_a_batch_file_of_openai_gives_openais_output_lines(client, engine):
    engine.fail["Broken?"] = GeneratorUnreachable("The model is away.")
    data = (
        openai_line("a", "Who?")
        + openai_line("b", "Broken?")
        + openai_line("c", "  who? ")
        + openai_line("d", "Who?", fovea={"max_tokens": 50})
    )
    with client:
        batch_id = create(client, files={"file": ("requests.jsonl", data.encode(), "application/jsonl")})
        state = finished(client, batch_id)
    assert state["form"] == "openai"
    assert state["counts"] == {"total": 4, "answered": 3, "failed": 1, "waiting": 0, "asked": 3}
    first, broken, equal, other = lines(client, batch_id)
    assert (first["custom_id"], first["error"], first["response"]["status_code"]) == ("a", None, 200)
    body = first["response"]["body"]
    assert (body["object"], body["choices"][0]["message"]["content"]) == ("chat.completion", "Answer to Who?")
    assert body["usage"] == {"prompt_tokens": 30, "completion_tokens": 10, "total_tokens": 40}
    assert broken["response"] is None
    assert broken["error"] == {"code": "llm_unreachable", "message": "The model is away."}
    assert equal["response"]["body"]["choices"] == body["choices"]
    assert len({line["id"] for line in (first, broken, equal, other)}) == 4
    assert equal["response"]["body"]["id"] != body["id"]
    assert {call["role"] for _, call in engine.asked} == {"You are terse."}
    table = client.get(f"/v1/batches/{batch_id}/results", params={"format": "csv"}).content.decode("utf-8-sig")
    assert [row["custom_id"] for row in csv.DictReader(io.StringIO(table, newline=""))] == ["a", "b", "c", "d"]


def test_equal_questions_are_asked_once_and_cost_once(client, engine):
    questions = ["Who signs?", " who  SIGNS? ", "Ｗho signs?", "When?", "Who signs?"]
    state, batch_id = run(client, {"questions": questions})
    assert sorted(engine.questions) == ["When?", "Who signs?"]
    assert state["counts"] == {"total": 5, "answered": 5, "failed": 0, "waiting": 0, "asked": 2}
    rows = lines(client, batch_id)
    assert [row["question"] for row in rows] == questions
    assert {row["answer"] for row in rows} == {"Answer to Who signs?", "Answer to When?"}
    assert sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows) == state["usage"]["total_tokens"] == 80


@pytest.mark.parametrize(("ceiling", "asked"), [(1, 1), (40, 1), (41, 2), (100, 3), (400, 10), (10_000, 20)])
def test_questions_beyond_the_ceiling_end_with_the_reason(client, engine, ceiling, asked):
    questions = [f"Question {number}?" for number in range(20)]
    state, batch_id = run(client, {"questions": questions, "max_total_tokens": ceiling})  # 40 tokens a question
    assert len(engine.asked) == state["counts"]["asked"] == asked
    assert state["usage"]["total_tokens"] < ceiling + 40, "passed by at most one question"
    assert (state["status"], state["counts"]["failed"]) == ("ready", 20 - asked)
    errors = [row["error"] for row in lines(client, batch_id) if row["error"]]
    assert len(errors) == 20 - asked
    for error in errors:
        assert error.endswith("[token_ceiling]")
        assert f"{asked * 40:,} tokens and its ceiling is {ceiling:,}" in error


def test_what_a_model_that_broke_off_has_taken_counts_against_the_ceiling(client, engine):
    """Else a model that breaks off every answer is asked all of them, whatever the ceiling says."""
    questions = [f"Question {number}?" for number in range(20)]
    for question in questions:
        engine.fail[question] = GeneratorUnreachable("It broke off.")
        engine.fail[question].spent_tokens = 40
    state, batch_id = run(client, {"questions": questions, "max_total_tokens": 100})
    assert (len(engine.asked), state["usage"]["total_tokens"]) == (3, 120)
    rows = lines(client, batch_id)
    assert sum(row["prompt_tokens"] or 0 for row in rows) == 120
    assert [row["error"].partition("[")[2] for row in rows] == ["llm_unreachable]"] * 3 + ["token_ceiling]"] * 17


def test_what_a_follow_ups_rewriting_took_counts_too(client, engine):
    found = engine._found

    def rewritten(question, collection):
        return replace(found(question, collection), rewrite=Rewrite("Standalone?", "model", 60))

    engine._found = rewritten
    requests = [json.loads(openai_line(str(number), f"Question {number}?")) for number in range(20)]
    state, _ = run(client, {"requests": requests, "max_total_tokens": 250})
    assert (len(engine.asked), state["usage"]["total_tokens"]) == (3, 300)


def test_a_question_that_cannot_be_asked_is_a_failed_row_and_costs_nothing(client, engine):
    state, batch_id = run(client, {"questions": ["", "Who?", "   "]})
    assert engine.questions == ["Who?"]
    assert state["counts"] == {"total": 3, "answered": 1, "failed": 2, "waiting": 0, "asked": 1}
    assert lines(client, batch_id)[0]["error"] == "The row has no question. [no_question]"


def test_i16_no_cell_of_the_csv_is_a_formula(client, engine):
    cells = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", " =1+1", "-12.5", "plain", "a=b"]
    rows = [{"question": f"q{number}", "=name": cell} for number, cell in enumerate(cells)]
    _, batch_id = run(client, {"rows": rows, "question_column": "question"})
    text = client.get(f"/v1/batches/{batch_id}/results", params={"format": "csv"}).content.decode("utf-8-sig")
    table = list(csv.reader(io.StringIO(text, newline="")))
    column = table[0].index("'=name")
    written = [row[column] for row in table[1:]]
    assert written == ["'" + cell for cell in cells[:9]] + cells[9:]
    assert [row["=name"] for row in lines(client, batch_id)] == cells, "JSONL is data, and stays as it was"


def test_results_can_be_read_while_the_batch_runs(client, engine):
    go_on = threading.Event()
    engine.gate = lambda: engine.questions.count("Slow?") and go_on.wait(20)
    with client:
        batch_id = create(client, {"questions": ["Quick?", "Slow?"]})
        wait_until(lambda: client.get(f"/v1/batches/{batch_id}").json()["counts"]["answered"] >= 1 or go_on.is_set())
        shown = client.get(f"/v1/batches/{batch_id}").json()
        found = lines(client, batch_id)
        go_on.set()
        finished(client, batch_id)
    assert shown["status"] == "running"
    assert [row["question"] for row in found][:1] == ["Quick?"] and len(found) < 2


def test_c13_a_cancelled_batch_asks_and_writes_nothing_more(client, engine):
    entered, go_on = threading.Event(), threading.Event()

    def gate():
        if len(engine.asked) >= 8:
            entered.set()
            assert go_on.wait(20)

    engine.gate = gate
    with client:
        batch_id = create(client, {"questions": [f"Question {number}?" for number in range(50)]})
        assert entered.wait(20)
        state = client.delete(f"/v1/batches/{batch_id}").json()
        assert state["status"] == "cancelled"
        before, asked = lines(client, batch_id), len(engine.asked)
        go_on.set()
        assert finished(client, create(client, {"questions": ["Next?"]}))["status"] == "ready", "the worker is free"
        assert lines(client, batch_id) == before
        assert engine.questions[asked:] == ["Next?"]
        again = client.delete(f"/v1/batches/{batch_id}")
        assert (again.status_code, again.json()["status"]) == (200, "cancelled")


def test_a_batch_can_be_forgotten_with_all_it_holds(client, sqlite_database):
    _, batch_id = run(client, {"questions": ["Who?"]})
    assert client.delete(f"/v1/batches/{batch_id}", params={"forget": True}).status_code == 204
    for path in ("", "/results"):
        reply = client.get(f"/v1/batches/{batch_id}{path}")
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    assert client.delete(f"/v1/batches/{batch_id}").status_code == 404
    with sqlite_database.read() as connection:
        for table in ("jobs", "batch_items", "batch_results"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0


def test_batches_are_listed_the_newest_first_a_page_at_a_time(client):
    made = [create(client, {"questions": [f"q{number}"]}) for number in range(5)]
    seen, cursor = [], None
    while True:
        page = client.get("/v1/batches", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        BatchList.model_validate(page)
        seen += [item["id"] for item in page["batches"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "one of `questions`, `rows` and `requests`"),
        ({"questions": ["a"], "rows": [{"q": "a"}]}, "one of `questions`, `rows` and `requests`"),
        ({"questions": []}, "at least 1"),
        ({"questions": ["a"], "max_total_tokens": 0}, "max_total_tokens"),
        ({"questions": ["a"], "surprise": 1}, "surprise"),
        ({"rows": [{"a": "x", "b": "y"}]}, "question column|Which column"),
        ({"rows": [{"a": "x"}], "question_column": "b"}, "no column 'b'"),
        ({"requests": [{"custom_id": "a"}]}, "Line 1: `custom_id`"),
        ({"requests": [{"custom_id": "a", "url": "/v1/embeddings", "body": {}}]}, "Line 1: only POST"),
        ({"requests": [{"custom_id": "a", "body": {"messages": []}}]}, "Line 1: messages"),
        ([1, 2], "body"),
    ],
)
def test_what_is_no_batch_is_refused_with_the_place(client, body, words):
    reply = client.post("/v1/batches", json=body)
    assert reply.status_code == 422
    assert re.search(words, reply.json()["detail"]), reply.json()["detail"]
    assert client.get("/v1/batches").json()["batches"] == []


def test_a_custom_id_that_stands_twice_is_refused(client):
    data = openai_line("a", "Who?") + openai_line("a", "When?")
    reply = client.post("/v1/batches", content=data.encode(), headers={"content-type": "application/jsonl"})
    assert (reply.status_code, "'a' stands in two lines" in reply.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'"Who?"\nnot json\n', "line 2"),
        (b"", "empty|no rows"),
        (b"7\n", "line 1"),
        (b"[[[[", "line 1"),
        (b'"Who?"\n{"question": "Who?", "x": ' + b"[" * 64 + b"]" * 64 + b"}", "line 2: nested too deeply; at most 64"),
        (b'{"question": "Who?", "x": ' + b'{"":' * 990 + b"0" + b"}" * 991, "line 1: nested too deeply; at most 64"),
    ],
)
def test_a_broken_file_names_its_line(client, data, words):
    reply = client.post("/v1/batches", content=data, headers={"content-type": "application/jsonl"})
    assert reply.status_code == 422
    assert re.search(words, reply.json()["detail"]), reply.json()["detail"]


def test_a_file_may_be_nested_as_deeply_as_the_body_of_a_request(client, engine):
    data = b'{"question": "Who?", "x": ' + b"[" * 63 + b"]" * 63 + b"}"
    with client:
        headers = {"content-type": "application/jsonl"}
        batch_id = client.post("/v1/batches", content=data, headers=headers).json()["id"]
        finished(client, batch_id)
    assert "[[[" in client.get(f"/v1/batches/{batch_id}/results", params={"format": "csv"}).text


WIDE = ",".join(f"c{number}" for number in range(20_000))


@pytest.mark.parametrize(
    ("data", "media_type", "words"),
    [
        (f"question,{WIDE}\n" + "Who?\n" * 1000, "text/csv", "the largest that can be"),  # 20,000,000 empty cells
        ("question\n" + "Who?\n" * 50_001, "text/csv", "more than 50,000 rows"),
        ('"Who?"\n' * 50_001, "application/jsonl", "more than 50,000 rows"),
        ('"Who?"\n' * 60_000 + "not JSON\n", "application/jsonl", "more than 50,000 rows"),  # and no further is read
    ],
)
def test_i3_a_file_that_would_be_much_larger_as_a_batch_is_refused(client, data, media_type, words):
    reply = client.post("/v1/batches", content=data.encode(), headers={"content-type": media_type})
    assert (reply.status_code, words in reply.json()["detail"]) == (422, True), reply.json()["detail"]


@pytest.mark.parametrize(
    "more",
    [
        {"questions": ["Who?"] * 40_000, "constraints": ["Be brief. " * 200]},
        {"questions": ["Who?"] * 40_000, "metadata": {"a": ["b" * 100] * 100}},
        {"rows": [{"question": "Who?", f"column {number}": 1} for number in range(4000)]},
    ],
)
def test_i3_options_and_columns_are_not_kept_with_every_question_without_end(client, more):
    reply = client.post("/v1/batches", json=more)
    assert (reply.status_code, "kept with every question" in reply.json()["detail"]) == (422, True)


def test_a_table_with_many_columns_is_asked_for_its_question_in_a_short_sentence(client):
    data = f"{WIDE}\n1\n".encode()
    reply = client.post("/v1/batches", content=data, headers={"content-type": "text/csv"})
    assert reply.json()["detail"].endswith("c28, c29 and 19,970 more.")


def test_an_option_that_is_sent_twice_is_refused(client):
    query, headers = "max_total_tokens=5&max_total_tokens=500000", {"content-type": "text/csv"}
    reply = client.post(f"/v1/batches?{query}", content=b"question\nWho?\n", headers=headers)
    assert (reply.status_code, "`max_total_tokens` was sent twice" in reply.json()["detail"]) == (422, True)


def test_other_media_types_and_files_are_refused(client):
    assert client.post("/v1/batches", content=b"x", headers={"content-type": "text/plain"}).status_code == 415
    workbook = client.post("/v1/batches", files={"file": ("a.xlsx", b"PK", "application/octet-stream")})
    assert (workbook.status_code, ".jsonl or .csv" in workbook.json()["detail"]) == (422, True)
    assert client.post("/v1/batches", data={"max_tokens": "3"}, files={"other": b"x"}).status_code == 422


# -- idempotency keys --------------------------------------------------------------------------------------------------


def test_c12_a_batch_that_is_sent_a_thousand_times_is_run_once(client, engine):
    body, headers = {"questions": ["Who?", "When?"]}, {"Idempotency-Key": "order-66"}
    first = client.post("/v1/batches", json=body, headers=headers)
    assert "idempotency-replayed" not in first.headers
    for _ in range(1000):
        again = client.post("/v1/batches", json=body, headers=headers)
        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["idempotency-replayed"] == "true"
    assert len(client.get("/v1/batches").json()["batches"]) == 1
    with client:
        finished(client, first.json()["id"])
    assert sorted(engine.questions) == ["When?", "Who?"]


def test_c12_another_payload_under_the_same_key_is_refused(client):
    headers = {"Idempotency-Key": "key-1"}
    client.post("/v1/batches", json={"questions": ["Who?"]}, headers=headers)
    for body in ({"questions": ["When?"]}, {"questions": ["Who?"], "max_tokens": 3}):
        other = client.post("/v1/batches", json=body, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    upload = client.post("/v1/documents", json={"text": "Who?"}, headers=headers)
    assert (upload.status_code, upload.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "schlüssel".encode()])
def test_c12_what_is_no_key_is_refused(client, key):
    reply = client.post("/v1/batches", json={"questions": ["Who?"]}, headers={"Idempotency-Key": key})
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_idempotency_key")


def test_c12_uploads_have_one_effect_too_and_are_taken_all_or_none(client, sqlite_database):
    headers = {"Idempotency-Key": "upload-1"}

    def send(*names):
        parts = [("files", (name, b"text of it", "text/plain")) for name in names]
        return client.post("/v1/documents", files=parts, headers=headers)

    refused = send("a.txt", "\u202e")  # the second has a name of nothing that is seen
    assert refused.status_code == 422
    first = send("a.txt", "b.txt")
    assert first.status_code == 202
    for _ in range(20):
        again = send("a.txt", "b.txt")
        assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    assert send("a.txt", "c.txt").status_code == 422
    with sqlite_database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar() == 2
