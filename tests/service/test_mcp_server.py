"""The MCP tools, called by the SDK's own client in memory."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import anyio
import pytest
from mcp import Client as McpClient
from mcp import MCPError
from mcp.types import INVALID_PARAMS, METHOD_NOT_FOUND

from context.abstention import nearest_of_evidence
from domain.answers import CitedSentence
from domain.documents import Span
from domain.errors import GeneratorUnreachable, StorageError
from fovea import open_engine
from service.mcp_server import create_mcp_server
from service.settings import EncoderSettings, Settings

LAMP = "The lamp of the lighthouse is serviced twice a year by Amara Okafor."


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    settings = Settings(data_dir=tmp_path_factory.mktemp("mcp"), encoder=EncoderSettings(model="hashing"))
    with open_engine(settings=settings) as engine:
        engine.ingest_text(LAMP, title="Lamp", source="lamp")
        engine.ingest_text("灯塔的电池每三年更换一次。", title="电池", source="battery")
        engine.ingest_text("The jetty is closed in winter.", title="Jetty", source="jetty", collection="winter")
        yield engine


def with_client(engine, talk):
    """What `talk(client)` gives, over a fresh in-memory connection."""

    async def run():
        async with McpClient(create_mcp_server(engine, "1.2.3")) as client:
            return await talk(client)

    return anyio.run(run)


def call(engine, tool, **arguments):
    return with_client(engine, lambda client: client.call_tool(tool, arguments))


def test_the_tools_describe_themselves_and_only_read(engine):
    async def talk(client):
        return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in with_client(engine, talk)}
    assert tools.keys() == {"search", "ask", "list_documents"}
    for tool in tools.values():
        assert tool.description
        assert tool.annotations.read_only_hint
        assert all(item["description"] for item in tool.input_schema["properties"].values())
    assert tools["search"].input_schema["required"] == ["question"]
    assert tools["search"].input_schema["properties"].keys() == {"question", "max_tokens", "collection", "details"}


def test_only_tools_are_declared_and_nothing_else_is_there(engine):
    """A client lists what a server declares, and keeps a connection open for changes that it announces."""

    async def talk(client):
        refused = []
        for ask in (client.list_prompts, client.list_resources, lambda: client.get_prompt("any")):
            with pytest.raises(MCPError) as error:
                await ask()
            refused.append(error.value.error.code)
        return client.server_capabilities.model_dump(exclude_none=True), refused

    declared, refused = with_client(engine, talk)
    assert declared == {"tools": {"list_changed": False}}
    assert refused == [METHOD_NOT_FOUND] * 3


def test_what_is_no_tool_and_no_page_is_an_error_of_the_protocol(engine):
    """Nothing that a model could mend by calling again: the client has the list."""

    async def talk(client):
        with pytest.raises(MCPError) as tool:
            await client.call_tool("delete_document", {})
        with pytest.raises(MCPError) as page:
            await client.list_tools(cursor="2")
        return tool.value.error, page.value.error

    tool, page = with_client(engine, talk)
    assert (tool.code, tool.message) == (INVALID_PARAMS, "Unknown tool: delete_document")
    assert (page.code, page.message) == (INVALID_PARAMS, "All tools are on one page; no cursor was given out.")


def test_results_have_the_shape_that_their_tool_declares(engine):
    from jsonschema import validate

    async def talk(client):
        schemas = {tool.name: tool.output_schema for tool in (await client.list_tools()).tools}
        asked = {"search": {"question": "Who?"}, "ask": {"question": "Who?"}, "list_documents": {}}
        return [(schemas[name], await client.call_tool(name, given)) for name, given in asked.items()]

    for schema, result in with_client(engine, talk):
        validate(result.structured_content, schema)
        assert json.loads(result.content[0].text) == result.structured_content


def test_search_gives_the_evidence(engine):
    found = call(engine, "search", question="How often is the lamp serviced?").structured_content
    assert found["evidence"][0]["text"] == LAMP
    assert found["evidence"][0]["source"] == "lamp"


def test_a_reply_costs_little_more_than_what_it_says(engine):
    """It goes whole into the window of the model that called."""
    result = call(engine, "search", question="How often is the lamp serviced?")
    assert result.structured_content == {
        "evidence": [{"mark": 1, "source": "lamp", "title": "Lamp", "text": LAMP}],
        "context_tokens": result.structured_content["context_tokens"],
        "bill": result.structured_content["bill"],
    }
    assert result.structured_content["bill"].keys() == {"evidence", "total", "baseline", "avoided"}
    assert "\n" not in result.content[0].text and '": ' not in result.content[0].text
    whole = call(engine, "search", question="How often is the lamp serviced?", details=True)
    assert whole.structured_content.keys() >= {"dropped", "timings", "evidence"}
    assert len(whole.content[0].text) > 3 * len(result.content[0].text)


class Saying:
    """An engine that always gives the same answer."""

    def __init__(self, answer):
        self._answer = answer

    def ask(self, question, **options):
        return self._answer


def test_a_question_without_an_answer_gets_leads_and_says_so(engine):
    answer = engine.ask("How often is the lamp serviced?")
    leads = nearest_of_evidence(answer.search.evidence)
    search = replace(answer.search, context=replace(answer.search.context, evidence=(), nearest=leads))
    nothing = replace(answer, text="I don't know.", citations=(), search=search, abstained=True)
    told = call(Saying(nothing), "ask", question="Who?").structured_content
    assert (told["answer"], told["abstained"], told["citations"]) == ("I don't know.", True, [])
    assert told["nearest"] == [{"source": "lamp", "title": "Lamp", "text": LAMP}]


def test_a_sentence_without_support_is_named(engine):
    claim = CitedSentence(Span(0, 14), (1,), False)
    answer = replace(engine.ask("How often is the lamp serviced?"), text="It is red. [1]", sentences=(claim,))
    told = call(Saying(answer), "ask", question="Who?").structured_content
    assert told["unsupported"] == ["It is red. [1]"]
    assert "abstained" not in told


def test_the_same_result_is_there_as_text_for_clients_that_read_no_structure(engine):
    result = call(engine, "search", question="How often is the lamp serviced?")
    assert LAMP in result.content[0].text


def test_search_keeps_to_max_tokens(engine):
    found = call(engine, "search", question="How often is the lamp serviced?", max_tokens=5).structured_content
    assert found["context_tokens"] <= 5


def test_ask_gives_an_answer_with_citations(engine):
    answer = call(engine, "ask", question="灯塔的电池多久更换一次？").structured_content
    assert answer["answer"] == "灯塔的电池每三年更换一次。 [1]"
    assert answer["citations"][0]["source"] == "battery"


def test_a_collection_can_be_named(engine):
    found = call(engine, "search", question="When is the jetty closed?", collection="winter").structured_content
    assert {item["source"] for item in found["evidence"]} == {"jetty"}
    listed = call(engine, "list_documents", collection="winter").structured_content
    assert [item["title"] for item in listed["documents"]] == ["Jetty"]


def test_documents_are_listed(engine):
    listed = call(engine, "list_documents").structured_content
    assert {item["source"] for item in listed["documents"]} == {"lamp", "battery"}
    assert listed.keys() == {"documents"}, "there is no next page"


def test_many_documents_come_in_pages(tmp_path):
    with open_engine(settings=Settings(data_dir=tmp_path, encoder=EncoderSettings(model="hashing"))) as engine:
        engine.ingest([_lines(tmp_path / "corpus.jsonl", 130)])
        first = call(engine, "list_documents").structured_content
        second = call(engine, "list_documents", after=first["next"]).structured_content
    assert (len(first["documents"]), len(second["documents"])) == (100, 30)
    assert len({item["source"] for item in first["documents"] + second["documents"]}) == 130
    assert "next" not in second


def _lines(path, count):
    rows = [
        {"id": f"n{number}", "title": f"Note {number}", "text": f"Note {number} is short."} for number in range(count)
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"question": ""}, "The question is empty"),
        ({"question": "Who?", "collection": "none"}, "no collection 'none'"),
        ({"question": "w" * 20_001}, "20,001 characters"),
    ],
)
def test_what_is_wrong_is_told_to_the_model_in_a_sentence(engine, arguments, said):
    for tool in ("search", "ask"):
        result = call(engine, tool, **arguments)
        assert result.is_error
        assert said in result.content[0].text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "question: Field required."),
        ({"question": 7}, "question: Input should be a valid string."),
        ({"question": "Who?", "max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1."),
        ({"question": "Who?", "max_tokens": "many secrets"}, "unable to parse string as an integer."),
    ],
)
def test_arguments_that_do_not_fit_the_schema_are_refused_in_a_sentence(engine, arguments, said):
    """The sentence is read by a model: no address of a library's manual, and not the argument once more."""
    result = call(engine, "search", **arguments)
    told = result.content[0].text
    assert result.is_error
    assert told.startswith("The arguments do not fit the tool's schema: ")
    assert told.endswith(f"{said} [invalid_request]")
    assert "://" not in told and "many secrets" not in told


class Failing:
    """An engine, or a client of a server, whose every verb fails."""

    def __init__(self, error):
        self._error = error

    def ask(self, question, **options):
        raise self._error

    search = ask

    def list_documents(self, collection, limit, after):
        raise self._error


@pytest.mark.parametrize("error", [StorageError("The database is away; try again."), GeneratorUnreachable("No model.")])
def test_a_failure_of_the_engine_reaches_the_model_with_its_code(error):
    for tool, arguments in (("ask", {"question": "Who?"}), ("list_documents", {})):
        result = call(Failing(error), tool, **arguments)
        assert result.is_error
        assert f"{error.message} [{error.code}]" in result.content[0].text


def test_a_bug_shows_nothing_of_its_inside():
    result = call(Failing(RuntimeError("secret path /root")), "ask", question="Who?")
    assert result.is_error
    assert "secret" not in result.content[0].text


def test_questions_run_side_by_side(engine):
    """Each waits for the other: one after the other they would wait for ever."""
    barrier = threading.Barrier(2, timeout=30)

    class Meeting:
        def search(self, question, **options):
            barrier.wait()
            return engine.search(question, **options)

    async def talk(client):
        results = []

        async def one():
            results.append(await client.call_tool("search", {"question": "How often is the lamp serviced?"}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            tasks.start_soon(one)
        return results

    first, second = with_client(Meeting(), talk)
    assert not first.is_error and not second.is_error
