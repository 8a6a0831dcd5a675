"""A3, A4: what one tenant, or one collection, holds is never in what another is told, sent or logged.

The same questions are asked on both sides of the line, turn by turn, so that a cache that forgets whose a thing is
would have everything at hand to mix up. `FOVEA_TEST_SEED` repeats a run.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import orjson
import pytest

from domain.context import Context
from domain.errors import NotFound
from fovea.testing import FunctionGenerator
from tests.security.tenancy_server import Installation, installation

SEED = int(os.environ.get("FOVEA_TEST_SEED", "20260301"))
THINGS = ("rent", "deposit", "fee", "discount", "bonus", "refund", "fine", "budget", "price", "salary")
PLACES = ("Bergen", "Lisbon", "Oslo", "Riga", "Turin", "Porto", "Ghent", "Basel", "Malmö", "Graz")
WORDINGS = (  # two ways to ask the same: what a cache of meanings would take for one question
    ("How much is the {thing} in {place}?", "What does one pay as {thing} in {place}?"),
    ("What is the {thing} of {place}?", "Tell me the {thing} for {place}."),
    ("{place} 的 {thing} 是多少？", "请问 {place} 的 {thing} 有多少？"),
)


def texts(canary: str) -> list[str]:
    """The same facts in the same words on both sides; only the canary tells whose they are."""
    facts = (f"The {thing} in {place} is {canary} euros a month." for thing in THINGS for place in PLACES)
    return [*facts, *(f"{place} 的 {thing} 是 {canary} 元。" for thing in THINGS for place in PLACES)]


SIDES = {  # (tenant, collection, canary): two tenants, and two collections of one of them
    "ours": ("acme", "default", "AAAA11112222"),
    "theirs": ("other", "default", "BBBB33334444"),
    "vault": ("acme", "vault", "CCCC55556666"),
}


def fill(place: Installation, folder: Path) -> None:
    for name, (tenant, collection, canary) in SIDES.items():
        corpus = folder / f"{name}.jsonl"
        facts = [{"id": f"fact {number}", "title": "Facts", "text": text} for number, text in enumerate(texts(canary))]
        corpus.write_bytes(b"\n".join(map(orjson.dumps, facts)))
        place.server.tenants.engine_of(tenant).ingest([corpus], collection=collection)
        bound = frozenset({"default"}) if name == "ours" else None
        place.keys[name] = place.key(tenant, "read", collections=bound)


class Repeating:
    """A model that repeats the first evidence, and keeps every prompt that it was sent."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, context: Context) -> str:
        self.prompts.append("\n".join(message.content for message in context.messages))
        return f"{context.evidence[0].text} [1]" if context.evidence else "Nothing says so."


MODEL = Repeating()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory):
    with installation(tmp_path_factory.mktemp("canary"), {"generator": FunctionGenerator(MODEL)}) as place:
        fill(place, tmp_path_factory.mktemp("facts"))
        yield place


def ask(place: Installation, side: str, question: str, way: str) -> str:
    """Ask by one of the doors, and give all that came back."""
    client, collection = place.client(place.keys[side]), SIDES[side][1]
    if way == "chat":
        options = {"collection": collection}
        body = {"messages": [{"role": "user", "content": question}], "fovea": options}
        return client.post("/v1/chat/completions", json=body).text
    if way == "stream":
        return client.post("/v1/ask", json={"question": question, "collection": collection, "stream": True}).text
    if way == "mcp":
        call = {"name": "ask", "arguments": {"question": question, "collection": collection}}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        return client.post("/mcp", json=message, headers={"Accept": "application/json, text/event-stream"}).text
    body = {"question": question, "collection": collection, "max_tokens": 60}
    if way == "filter":
        body["metadata"] = {}
    return client.post(f"/v1/{'ask' if way == 'ask' else 'search'}", json=body).text


WAYS = ("search", "ask", "chat", "stream", "filter", "mcp")


def run_canaries(place: Installation, queries: int) -> int:
    """Questions from every side in turn, by every door; how many found their own side's facts."""
    chance = random.Random(SEED)
    found = sent = 0
    for number in range(queries):
        pair = chance.choice(WORDINGS)
        filling = {"thing": chance.choice(THINGS), "place": chance.choice(PLACES)}
        wording = pair[number % 2].format(**filling)
        for side in chance.sample(list(SIDES), 2):
            MODEL.prompts.clear()
            reply = ask(place, side, wording, WAYS[number % len(WAYS)])
            seen = "\n".join([reply, *MODEL.prompts])
            for other, (_, _, canary) in SIDES.items():
                assert other == side or canary not in seen, f"seed {SEED}: {side} was told of {other}: {wording}"
            sent += any(SIDES[side][2] in prompt for prompt in MODEL.prompts)
            found += SIDES[side][2] in reply
    assert sent > queries / 4  # prompts were looked at too
    return found


def test_a3_no_canary_crosses_a_line(place, capsys) -> None:
    found = run_canaries(place, 60)
    assert found > 60  # of 120 questions: else nothing was tested
    log = "".join(capsys.readouterr())
    assert not [canary for _, _, canary in SIDES.values() if canary in log]


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a3_no_canary_crosses_a_line_in_ten_thousand_questions(place) -> None:
    assert run_canaries(place, 5_000) > 5_000  # two sides each: 10,000 questions


def run_paraphrases(place: Installation, pairs: int) -> None:
    """One wording on one side, the other wording on the other side right after it."""
    chance = random.Random(SEED)
    for _ in range(pairs):
        first, second = chance.choice(WORDINGS)
        filling = {"thing": chance.choice(THINGS), "place": chance.choice(PLACES)}
        one, other = chance.sample(list(SIDES), 2)
        told = ask(place, one, first.format(**filling), "search") + ask(place, one, first.format(**filling), "ask")
        after = ask(place, other, second.format(**filling), "search") + ask(
            place, other, second.format(**filling), "ask"
        )
        assert SIDES[other][2] not in told and SIDES[one][2] not in after, f"seed {SEED}"


def test_a4_a_paraphrase_is_never_answered_with_what_another_scope_was_told(place) -> None:
    run_paraphrases(place, 15)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a4_a_thousand_paraphrases(place) -> None:
    run_paraphrases(place, 1_000)


def test_a4_a_question_that_is_asked_again_is_answered_by_what_is_stored_by_then(tmp_path: Path) -> None:
    """No answer is kept: once a document is gone or replaced, no earlier answer comes back."""
    with installation(tmp_path) as place:
        engine = place.server.tenants.engine_of("acme")
        client = place.client(place.key("acme", "read"))
        body = {"question": "How much is the rent in Bergen?"}
        for canary in ("DDDD7777", "EEEE8888"):
            engine.ingest_text(f"The rent in Bergen is {canary} euros a month.", source="rent")
            reply = client.post("/v1/ask", json=body).text
            assert canary in reply and ("DDDD7777" in reply) is (canary == "DDDD7777")
        engine.delete(engine.list_documents()[0].id)
        assert "EEEE8888" not in client.post("/v1/ask", json=body).text


def test_a3_the_index_of_a_tenant_holds_its_vectors_only_and_lies_in_a_directory_of_its_own(place) -> None:
    for tenant, collections in (("acme", {"default", "vault"}), ("other", {"default"})):
        indexes = place.server.tenants.engine_of(tenant).status()["indexes"]
        assert {item["collection"] for item in indexes} == collections
        assert all(item["vectors"] == item["texts"] == 200 for item in indexes)


def test_a3_indexes_are_saved_by_tenant_and_found_again(tmp_path: Path) -> None:
    for turn in range(2):
        with installation(tmp_path) as place:
            for tenant in ("local", "acme"):
                engine = place.server.tenants.engine_of(tenant)
                if turn == 0:
                    engine.ingest_text(f"A text of {tenant}.", source="one")
                found = engine.search(f"What is the text of {tenant}?").evidence
                assert [item.text for item in found] == [f"A text of {tenant}."]
    assert list((tmp_path / "data" / "indexes").iterdir())
    assert list((tmp_path / "data" / "tenants" / "acme" / "indexes").iterdir())


def test_a2_a_source_names_a_document_of_its_own_tenant(tmp_path):
    with installation(tmp_path) as place:
        acme, other = (place.server.tenants.engine_of(name) for name in ("acme", "other"))
        acme.ingest_text("The lamp is serviced twice a year.", source="lamp.txt")
        found = acme.explain("How often is the lamp serviced?", document="lamp.txt")
        assert found.document_id == acme.list_documents()[0].id
        with pytest.raises(NotFound):
            other.explain("How often is the lamp serviced?", document="lamp.txt")
