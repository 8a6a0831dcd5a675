"""One question over one corpus gives the same evidence through every door."""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import version

import anyio
import httpx
import pytest
from mcp import Client as McpClient
from mcp import StdioServerParameters, stdio_client

from fovea import Client, open_engine
from service.mcp_server import create_mcp_server
from service.settings import EncoderSettings, Settings
from tests.end_to_end.product import FOVEA, ROOT, SAMPLES, environment, fovea, fovea_json, hashing, serving

QUESTIONS = ("What is the rent of the cottage a month?", "复合滤网多久更换一次？")
LIMIT = 120


def told(found):
    """A search or answer without what may differ between runs: its times. Scores are rounded to five places."""

    def rounded(value):
        if isinstance(value, dict):
            return {name: rounded(item) for name, item in value.items() if name != "timings"}
        if isinstance(value, list):
            return [rounded(item) for item in value]
        return round(value, 5) if isinstance(value, float) else value

    return rounded(found)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A data directory that holds the samples; doors take turns, for it has one owner at a time."""
    path = tmp_path_factory.mktemp("doors") / "data"
    with open_engine(settings=hashing(path)) as engine:
        assert not engine.ingest([SAMPLES]).failed
    return path


@pytest.fixture(scope="module")
def through_python(data_dir):
    """What the engine says: the measure of all other doors. (search, answer) by question."""
    with open_engine(settings=hashing(data_dir)) as engine:
        found = {
            question: (
                engine.search(question, max_tokens=LIMIT).to_dict(),
                engine.ask(question, max_tokens=LIMIT).to_dict(),
            )
            for question in QUESTIONS
        }
    for search, answer in found.values():
        assert search["evidence"], "a comparison of nothing with nothing proves nothing"
        assert told(answer["search"]) == told(search)
        assert answer["citations"]
    return {question: (told(search), told(answer)) for question, (search, answer) in found.items()}


def test_the_command_line_says_what_the_engine_says(data_dir, through_python):
    question = QUESTIONS[1]
    search, answer = through_python[question]
    options = (question, "--max-tokens", LIMIT, "--data-dir", data_dir)
    assert told(fovea_json("search", *options)) == search
    assert told(fovea_json("ask", *options)) == answer


def test_a_running_server_says_it_over_http_the_client_and_the_command_line(data_dir, through_python):
    with serving(data_dir) as url, httpx.Client(base_url=url, timeout=60) as http, Client(url) as client:
        assert http.get("/openapi.json").json()["info"]["version"] == version("fovea-rag")
        for question, (search, answer) in through_python.items():
            body = {"question": question, "max_tokens": LIMIT}
            assert told(http.post("/v1/search", json=body).raise_for_status().json()) == search
            assert told(http.post("/v1/ask", json=body).raise_for_status().json()) == answer
            assert told(client.search(question, max_tokens=LIMIT).to_dict()) == search
            assert told(client.ask(question, max_tokens=LIMIT).to_dict()) == answer
            *parts, last = client.stream(question, max_tokens=LIMIT)
            assert told(last.to_dict()) == answer
            assert "".join(parts) == answer["answer"]
            assert told(_over_chat(http, question)) == {
                **{name: answer[name] for name in _OF_THE_ANSWER},
                **{name: search[name] for name in _OF_THE_SEARCH},
            }
        question = QUESTIONS[0]
        found = fovea_json("search", question, "--max-tokens", LIMIT, "--url", url)
        assert told(found) == through_python[question][0]
        second = fovea("list", "--data-dir", data_dir)
        assert second.returncode == 2, "the directory has one owner"
        assert "--url" in second.stderr or "in use" in second.stderr


_OF_THE_ANSWER = (
    "answer", "citations", "sentences", "removed_marks", "abstained", "degraded", "truncated", "filtered", "model"
)  # fmt: skip
_OF_THE_SEARCH = ("bill", "evidence", "dropped", "context_tokens", "nearest", "rewrite")


def _over_chat(http, question):
    body = {"messages": [{"role": "user", "content": question}], "fovea": {"max_tokens": LIMIT}}
    return http.post("/v1/chat/completions", json=body).raise_for_status().json()["fovea"]


async def _over_mcp(server, questions):
    """(search, answer) by question, through the SDK's own client."""
    found = {}
    async with McpClient(server) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {"search", "ask", "list_documents"}
        for question in questions:
            arguments = {"question": question, "max_tokens": LIMIT, "details": True}
            search = await client.call_tool("search", arguments)
            answer = await client.call_tool("ask", arguments)
            assert not search.is_error and not answer.is_error
            found[question] = (told(search.structured_content), told(answer.structured_content))
    return found


def test_mcp_in_memory_says_what_the_engine_says(data_dir, through_python):
    with open_engine(settings=hashing(data_dir)) as engine:
        assert anyio.run(_over_mcp, create_mcp_server(engine), QUESTIONS) == through_python


def test_mcp_over_stdio_says_what_the_engine_says(data_dir, through_python):
    command = StdioServerParameters(
        command=sys.executable, args=[*FOVEA[1:], "mcp", "--data-dir", str(data_dir)], env=environment()
    )
    found = anyio.run(_over_mcp, stdio_client(command), QUESTIONS[1:])
    assert found == {QUESTIONS[1]: through_python[QUESTIONS[1]]}


@pytest.mark.parametrize(
    ("question", "document", "quote"),
    [
        ("Who signs the lease for the Trust?", "lighthouse-lease.txt", "signed by its secretary, Fergus Maclean"),
        ("How many days of paid leave does an employee have?", "northwind-handbook.md", "days of paid leave"),
        ("复合滤网多久更换一次？", "北辰空气净化器使用手册.md", "更换"),
        ("電機的保修期是多長？", "北辰空气净化器使用手册.md", "电机"),
    ],
)
def test_the_samples_answer_their_questions(real_engine, question, document, quote):
    answer = real_engine.ask(question)
    assert not answer.abstained
    assert {item.source for item in answer.citations} == {str(SAMPLES / document)}
    assert any(item.verified and quote in item.quote for item in answer.citations)
    assert answer.search.bill.evidence < answer.search.bill.baseline / 4


def test_the_answer_in_the_documentation_is_the_one_that_the_samples_give(real_engine):
    page = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
    (shown,) = (text for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL) if '"search"' in text)
    example = json.loads(re.sub(r'^ *"search": .*\n', "", shown, flags=re.MULTILINE))
    answer = real_engine.ask(example["question"]).to_dict()
    for name in ("answer", "sentences", "usage", "model"):
        assert example[name] == answer[name], name
    for given, told in zip(example["citations"], answer["citations"], strict=True):
        of_this_path = ("document_id", "source")
        assert {name: value for name, value in given.items() if name not in of_this_path} == {
            name: value for name, value in told.items() if name not in of_this_path
        }


def test_the_samples_do_not_answer_what_they_do_not_hold(real_engine):
    answer = real_engine.ask("What is the boiling point of mercury at sea level?")
    assert answer.abstained
    assert not answer.citations


@pytest.fixture(scope="module")
def real_engine(tmp_path_factory, models_dir):
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("real") / "data", encoder=EncoderSettings(models_dir=models_dir)
    )
    with open_engine(settings=settings) as engine:
        assert not engine.ingest([SAMPLES]).failed
        yield engine
