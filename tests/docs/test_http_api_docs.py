"""docs/http-api.md names the routes, fields and columns that there are, and no others."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from domain.answers import Answer
from domain.context import ContextBill
from fovea import open_engine
from service.api.app import create_app
from service.api.errors import Problem
from service.api.mcp import MCP_PATH
from service.api.schemas import (
    AskRequest,
    CollectionRequest,
    ExplainRequest,
    FoveaOptions,
    SearchRequest,
    TextUpload,
    UrlUpload,
)
from service.batches.columns import ANSWER_COLUMNS
from service.bootstrap import build_server
from service.settings import EncoderSettings, Settings

PAGE = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
ROUTE = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/[\w{}/.-]*)")
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """The OpenAPI document of a real server."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("docs"), encoder=EncoderSettings(model="hashing"))
    with build_server(settings) as server:
        yield create_app(server.engine, server.jobs, work=server.work).openapi()


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    settings = Settings(data_dir=tmp_path_factory.mktemp("answer"), encoder=EncoderSettings(model="hashing"))
    with open_engine(settings=settings) as engine:
        engine.ingest_text("The jetty is closed in winter.", title="Jetty", source="jetty")
        yield engine


@pytest.fixture(scope="module")
def answer(engine):
    found: Answer = engine.ask("The jetty is closed in winter.")
    assert found.citations
    return found.to_dict()


def routes_of(api):
    return {(verb.upper(), path) for path, verbs in api["paths"].items() for verb in verbs}


def test_every_route_is_named_and_every_named_route_exists(api):
    # An example may name a real document, model or collection where the route has a parameter.
    patterns = {route: re.sub(r"\\{\w+\\}", r"[\\w{}-]+", re.escape(route[1])) for route in routes_of(api)}
    named = set(ROUTE.findall(PAGE)) - {("POST", MCP_PATH)}  # MCP describes its messages itself, and OpenAPI none
    assert routes_of(api) - named == set(), "routes that the page does not name"
    strangers = {
        (verb, path)
        for verb, path in named
        if not any(verb == route[0] and re.fullmatch(pattern, path) for route, pattern in patterns.items())
    }
    assert strangers == set(), "routes that do not exist"


@pytest.mark.parametrize(
    "schema", [SearchRequest, AskRequest, ExplainRequest, FoveaOptions, TextUpload, UrlUpload, CollectionRequest]
)
def test_every_field_of_a_request_is_named(schema):
    assert [name for name in schema.model_fields if f"`{name}`" not in PAGE and f'"{name}"' not in PAGE] == []


def members(example):
    """The names of an example, with those of the objects inside it."""
    return set(re.findall(r'"(\w+)":', example))


def all_members(value):
    if isinstance(value, dict):
        return set(value) | {name for item in value.values() for name in all_members(item)}
    return {name for item in value for name in all_members(item)} if isinstance(value, list) else set()


def test_the_examples_of_search_and_ask_have_the_fields_that_are_sent(answer):
    (search,) = (text for text in EXAMPLES if '"spans"' in text)
    (asked,) = (text for text in EXAMPLES if '"search"' in text)
    dropped = {"chunk_id", "document_id", "reason", "tokens", "score"}
    assert members(search) == all_members(answer["search"]) | dropped
    parts = (answer["search"], answer["citations"][0], answer["sentences"][0], answer["timings"], answer["usage"])
    assert members(asked) == {*answer, *(name for part in parts for name in part)}


def test_the_example_of_explain_has_the_fields_that_are_sent(engine):
    (explained,) = (text for text in EXAMPLES if '"question_tokens"' in text)
    sent = engine.explain("Is the jetty closed?", document="jetty").to_dict()
    assert sent["chunks"][0]["tokens"]
    assert members(explained) == all_members(sent)


def test_the_bill_adds_up_as_the_page_says():
    (search,) = (text for text in EXAMPLES if '"spans"' in text)
    bill = json.loads(re.search(r'"bill": (\{.*?\})', search, re.DOTALL)[1])
    assert ContextBill.from_dict(bill).to_dict() == bill


def test_the_problem_has_the_fields_that_are_sent():
    (problem,) = (text for text in EXAMPLES if "urn:fovea" in text)
    assert json.loads(problem).keys() == Problem(422, "invalid_request", "x").to_dict("id").keys()


def test_the_codes_in_the_table_exist_in_the_code():
    table = PAGE.partition("| status | code | when |")[2].partition("\n\n")[0]
    root = Path(__file__).parents[2]
    sources = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("domain", "service", "generation", "context")
        for path in (root / folder).rglob("*.py")
    )
    codes = re.findall(r"`([a-z]+_[a-z_]+|overloaded|unauthorized|forbidden)`", table)
    assert "overloaded" in codes
    assert [code for code in codes if f'"{code}"' not in sources] == []


def test_the_columns_of_a_batch_are_named():
    formats = PAGE.partition("### Tables for")[2]
    assert [name for name in ANSWER_COLUMNS if f"`{name}`" not in formats] == []


def test_the_line_formats_are_json():
    lines = [
        line for text in EXAMPLES for line in text.splitlines() if line.startswith('{"id": "') and "job_id" not in line
    ]
    assert len(lines) >= 4
    for line in lines:
        json.loads(line)
