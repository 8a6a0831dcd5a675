"""`explain` of the HTTP clients, blocking and with asyncio, against a real server."""

import asyncio

import pytest

from domain.errors import NotFound, UsageError
from fovea import Explanation
from fovea.client import AsyncClient, Client

QUESTION = "租金是多少？"


@pytest.fixture
def document(engine):
    return next(iter(engine.documents))


@pytest.mark.parametrize("full", [False, True])
def test_explain_gives_what_the_engine_gives(url, engine, document, full):
    with Client(url, api_key="key-1") as client:
        explanation = client.explain(QUESTION, document=document, chunks=2, full=full)
    assert isinstance(explanation, Explanation)
    assert engine.calls[-1] == (
        "explain", QUESTION, {"document": document, "collection": "default", "chunks": 2, "full": full},
    )  # fmt: skip
    assert explanation == engine.explain(QUESTION, document=document, full=full)


def test_the_asyncio_client_gives_the_same(url, engine, document):
    async def explained():
        async with AsyncClient(url, api_key="key-1") as client:
            return await client.explain(QUESTION, document=document)

    assert asyncio.run(explained()) == engine.explain(QUESTION, document=document)


def test_errors_are_the_engines(url, engine, document):
    with Client(url, api_key="key-1") as client:
        with pytest.raises(NotFound, match="doc-none"):
            client.explain(QUESTION, document="doc-none")
        engine.error = UsageError("Attention is off.", code="attention_off")
        with pytest.raises(UsageError, match="Attention is off") as caught:
            client.explain(QUESTION, document=document)
    assert caught.value.code == "attention_off"
