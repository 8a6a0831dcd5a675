"""A2: every id that any route takes, in its path, query or body, answers for a foreign thing as for none at all.

The matrix is generated from the OpenAPI document: a route or a field that nobody has put into one of the two lists
below fails the first test.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from domain.documents import document_id
from tests.security.tenancy_server import Installation, installation
from tests.service.waiting import wait_until

OURS = "Our lease began in 2019. Our rent is 900 euros a month."
THEIRS = "Their lease began in 1812. Their rent is 77777 guineas a month."
QUESTION = "How much is the rent a month?"
CHAT = {"messages": [{"role": "user", "content": QUESTION}]}

# Where a name in a schema stands for something that somebody owns, and what.
IDS = {
    "document_id": "document",
    "document": "document",
    "document_ids[]": "document",
    "batch_id": "batch",
    "collection": "collection",
    "fovea.collection": "collection",
}
IDS_OF_ROUTE = {
    ("/v1/collections", "name"): "collection",
    ("/v1/collections/{name}", "name"): "collection",
    ("/v1/documents", "cursor"): "document",
    ("/v1/batches", "cursor"): "batch",
    ("/v1/documents", "source"): "source",
    ("/v1/batches", "requests[]"): "collection",  # a chat request each, with `fovea.collection`
}
NO_IDS = {
    "question", "history[].content", "history[].role", "max_tokens", "metadata", "constraints[]", "role", "stream",
    "think", "chunks", "full", "files[]", "text", "title", "url", "limit", "start", "end", "messages[].content",
    "messages[].content[].text", "messages[].content[].type", "messages[].role", "model", "n", "stream_options",
    "stream_options.include_usage", "max_completion_tokens", "max_output_tokens", "fovea.constraints[]",
    "fovea.max_tokens", "fovea.think", "fovea.max_output_tokens", "max_total_tokens", "question_column", "questions",
    "questions[]", "rows", "rows[]", "requests", "file", "forget", "format",
}  # fmt: skip
NO_IDS_OF_ROUTE = {("/v1/models/{name}", "name")}

# The least that each route wants, by its body's media type.
BODIES = {
    ("POST", "/v1/chat/completions", "json"): CHAT,
    ("POST", "/v1/search", "json"): {"question": QUESTION},
    ("POST", "/v1/ask", "json"): {"question": QUESTION},
    ("POST", "/v1/explain", "json"): {"question": QUESTION, "document": "ours"},
    ("POST", "/v1/documents", "json"): {"text": "A new text.", "title": "New"},
    ("POST", "/v1/documents", "form"): {},
    ("POST", "/v1/collections", "json"): {},
    ("POST", "/v1/batches", "json"): {"questions": [QUESTION]},
    ("POST", "/v1/batches", "form"): {},
}


@dataclass(frozen=True)
class Cell:
    """One place of one route where an id can stand. `where` is path, query, json or form."""

    method: str
    path: str
    where: str
    name: str

    @property
    def kind(self) -> str | None:
        return IDS_OF_ROUTE.get((self.path, self.name)) or IDS.get(self.name)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.where}:{self.name}"


def cells_of(api: dict[str, Any]) -> Iterator[Cell]:
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            for parameter in operation.get("parameters", []):
                yield Cell(method.upper(), path, parameter["in"], parameter["name"])
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                where = {"application/json": "json", "multipart/form-data": "form"}.get(media_type, media_type)
                for name in sorted(set(names_of(content["schema"], content["schema"], api))):
                    yield Cell(method.upper(), path, where, name)


def names_of(schema: dict[str, Any], root: dict[str, Any], api: dict[str, Any], prefix: str = "") -> list[str]:
    """The dotted names of a schema's leaves; `[]` for the items of a list."""
    if reference := schema.get("$ref"):
        name = reference.rsplit("/", 1)[1]
        known = {**root.get("$defs", {}), **api["components"]["schemas"]}
        return names_of(known[name], root, api, prefix)
    found: list[str] = []
    for part in (item for key in ("anyOf", "allOf", "oneOf") for item in schema.get(key, [])):
        found += names_of(part, {**root, **part}, api, prefix)
    if schema.get("type") == "array":
        found += names_of(schema.get("items", {}), root, api, f"{prefix}[]")
    for name, inner in schema.get("properties", {}).items():
        found += names_of(inner, root, api, f"{prefix}.{name}" if prefix else name)
    return found or ([prefix] if prefix else [])


@dataclass(frozen=True)
class Pair:
    """Something of somebody else's, and something that nobody has, of the same form."""

    foreign: dict[str, str]
    nothing: dict[str, str]


@dataclass
class World:
    place: Installation
    key: str
    pair: Pair


def queued_batch(place: Installation, key: str, collection: str) -> str:
    reply = place.client(key).post("/v1/batches", json={"questions": [QUESTION], "collection": collection})
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


def other_last(text: str) -> str:
    """The same text but for its last character: of the same form, and of nobody."""
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def filled(place: Installation, tenant: str, collection: str, source: str, text: str) -> str:
    place.server.tenants.engine_of(tenant).ingest_text(text, title="Lease", source=source, collection=collection)
    return document_id(tenant, collection, source)


@pytest.fixture(scope="module", params=["another tenant", "another collection of the tenant"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """What is foreign belongs to another tenant, or to the same one where the key is bound to a collection."""
    with installation(tmp_path_factory.mktemp("matrix")) as place:
        bound = request.param != "another tenant"
        owner = "acme" if bound else "other"
        filled(place, "acme", "notes", "ours", OURS)
        theirs = filled(place, owner, "vault", "theirs", THEIRS)
        key = place.key("acme", "read", "write", collections=frozenset({"notes"}) if bound else None)
        batch = queued_batch(place, place.key(owner, "read"), "vault")
        foreign = {"document": theirs, "collection": "vault", "batch": batch, "source": "theirs"}
        nothing = {name: other_last(value) for name, value in foreign.items()}
        yield World(place, key, Pair(foreign, nothing))


def test_a2_every_field_of_every_route_is_known_to_be_an_id_or_not(world: World) -> None:
    unknown = [
        str(cell)
        for cell in cells_of(world.place.app.openapi())
        if cell.kind is None and cell.name not in NO_IDS and (cell.path, cell.name) not in NO_IDS_OF_ROUTE
    ]
    assert unknown == []


def test_a2_a_foreign_id_is_answered_like_one_that_nobody_has(world: World) -> None:
    cells = [cell for cell in cells_of(world.place.app.openapi()) if cell.kind]
    assert len(cells) >= 24
    assert {cell.kind for cell in cells} == {"document", "collection", "batch", "source"}
    for cell in cells:
        foreign = asked(world, cell, world.pair.foreign[cell.kind])
        nothing = asked(world, cell, world.pair.nothing[cell.kind])
        assert foreign == nothing, str(cell)
        assert foreign[0] < 500, str(cell)
        assert "guineas" not in foreign[1] and "vault" not in foreign[1], str(cell)


def test_a2_an_id_is_answered_where_it_is_ones_own(world: World) -> None:
    """Else the matrix would pass over a server that answers nothing."""
    client = world.place.client(world.key)
    own = document_id("acme", "notes", "ours")
    assert client.get(f"/v1/documents/{own}").json()["source"] == "ours"
    assert client.get(f"/v1/documents/{own}/text").json()["text"] == OURS
    found = client.post("/v1/search", json={"question": QUESTION, "collection": "notes", "document_ids": [own]})
    assert found.json()["evidence"]
    batch = queued_batch(world.place, world.key, "notes")
    assert client.get(f"/v1/batches/{batch}").json()["id"] == batch
    assert [item["id"] for item in client.get("/v1/batches").json()["batches"]].count(batch) == 1


def test_a2_lists_show_nothing_foreign(world: World) -> None:
    client = world.place.client(world.key)
    for path in ("/v1/documents", "/v1/documents?limit=1", "/v1/collections", "/v1/batches", "/v1/batches?limit=1"):
        reply = client.get(path)
        assert reply.status_code == 200
        # Not the collection's name: the matrix has asked for it, and what one asks for is one's own.
        assert all(world.pair.foreign[kind] not in reply.text for kind in ("document", "batch")), path
    assert '"vault"' not in client.get("/v1/collections").text


def test_a2_an_idempotency_key_of_another_tenant_is_ones_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    with installation(tmp_path_factory.mktemp("idempotency")) as place:
        replies = [
            place.client(place.key(tenant, "write"), **{"Idempotency-Key": "the same"}).post(
                "/v1/documents", json={"text": f"A text of {tenant}.", "title": "T"}
            )
            for tenant in ("acme", "other")
        ]
        assert [reply.status_code for reply in replies] == [202, 202]
        assert replies[0].json() != replies[1].json()


def test_a2_a_key_that_only_writes_is_shown_nothing_of_what_others_sent(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Every route that lets such a key in, with every id it takes: a document of the key's own collections."""
    secrets = ("guineas", "Their lease", "canary title", "canary-tag", "canary.txt")
    with installation(folder := tmp_path_factory.mktemp("writing")) as place:
        corpus = folder / "corpus.jsonl"
        line = {"id": "canary.txt", "title": "canary title", "text": THEIRS, "metadata": {"tag": "canary-tag"}}
        corpus.write_bytes(orjson.dumps(line))
        engine = place.server.tenants.engine_of("acme")
        (outcome,) = engine.ingest([corpus], collection="vault").documents
        theirs, source = str(outcome.id), outcome.source
        names = {"document": theirs, "collection": "vault", "source": source, "batch": "batch-none"}
        world = World(place, place.key("acme", "write"), Pair(names, names))
        reader = place.client(place.key("acme", "read")).get(f"/v1/documents/{theirs}").text
        assert "canary title" in reader and "canary-tag" in reader
        let_in = set()
        for cell in sorted(cells_of(place.app.openapi()), key=lambda cell: cell.method == "DELETE"):
            if cell.kind is None:
                continue
            status, shown = asked(world, cell, names[cell.kind])
            if status == 403:
                continue
            let_in.add(f"{cell.method} {cell.path}")
            assert not [secret for secret in secrets if secret in shown], f"{cell}: {shown}"
        assert let_in == {
            "POST /v1/documents", "GET /v1/documents/{document_id}", "DELETE /v1/documents/{document_id}",
            "POST /v1/collections", "DELETE /v1/collections/{name}",
        }  # fmt: skip


def test_a2_a_key_that_only_writes_is_told_how_far_its_own_documents_are(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with installation(tmp_path_factory.mktemp("sending")) as place:
        mine, other = (place.client(place.key("acme", "write")) for _ in range(2))
        text = {"text": OURS, "title": "Our title", "source": "ours"}
        accepted = mine.post("/v1/documents", json=text).json()["documents"][0]
        path = f"/v1/documents/{accepted['id']}"
        own, foreign = mine.get(path).json(), other.get(path).json()
        assert (own["state"], own["title"], own["source"]) == ("queued", "Our title", "ours")
        assert (foreign["state"], foreign["title"], foreign["source"], foreign["job"]) == ("queued", "", "", None)
        with mine:  # its worker runs
            wait_until(lambda: mine.get(path).json()["state"] == "ready")
            own, foreign = mine.get(path).json(), other.get(path).json()
        assert (own["title"], own["status"], own["chunks"]) == ("Our title", "indexed", 1)
        assert (foreign["title"], foreign["state"], foreign["chunks"]) == ("", "ready", 0)
        assert other.post("/v1/documents", json=text | {"text": "Another version.", "title": "New"}).status_code == 202
        assert mine.get(path).json()["title"] == "", "the newest is another's, and names nothing to this key"


def test_a2_a_job_that_names_a_foreign_document_or_collection_finds_nothing_in_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A batch is asked later, by the worker, when nobody shows a key: on its tenant's engine all the same."""
    with installation(tmp_path_factory.mktemp("jobs")) as place:
        filled(place, "acme", "default", "ours", OURS)
        theirs = filled(place, "other", "vault", "theirs", THEIRS)
        key = place.key("acme", "read", "write")
        with place.client(key) as client:
            results = []
            for options in ({"document_ids": [theirs]}, {"collection": "vault"}, {}):
                batch = client.post("/v1/batches", json={"questions": [QUESTION], **options}).json()["id"]
                wait_until(
                    lambda batch=batch: client.get(f"/v1/batches/{batch}").json()["status"] not in ("queued", "running")
                )
                results.append(client.get(f"/v1/batches/{batch}/results").text)
        assert "900 euros" in results[2]
        assert all("guineas" not in result and "900 euros" not in result for result in results[:2])


def asked(world: World, cell: Cell, value: str) -> tuple[int, str]:
    """The reply to a request that names `value` in one place: what stands for a moment or repeats it taken out."""
    client = world.place.client(world.key)
    path = cell.path.replace(f"{{{cell.name}}}", value)
    if cell.where == "path":
        reply = client.request(cell.method, path)
    elif cell.where == "query":
        reply = client.request(cell.method, path, params={cell.name: value})
    elif cell.where == "form":
        files = {
            "/v1/documents": ("files", ("new.txt", io.BytesIO(b"A new text."), "text/plain")),
            "/v1/batches": ("file", ("asked.jsonl", io.BytesIO(orjson.dumps({"question": QUESTION})), "text/plain")),
        }
        reply = client.post(path, data={cell.name.removesuffix("[]"): value}, files=[files[cell.path]])
    else:
        reply = client.request(cell.method, path, json=body_with(cell, value))
    assert '"code":"invalid_request"' not in reply.text, (
        f"{cell}: {reply.text}"
    )  # the request itself must be a good one
    return reply.status_code, comparable(reply.content, value)


def body_with(cell: Cell, value: str) -> dict[str, Any]:
    body = dict(BODIES[(cell.method, cell.path, cell.where)])
    if cell.name == "requests[]":
        request = {**CHAT, "fovea": {"collection": value}}
        return {"requests": [{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": request}]}
    if cell.name.startswith("fovea."):
        return {**body, "fovea": {cell.name.removeprefix("fovea."): value}}
    name = cell.name.removesuffix("[]")
    return {**body, name: [value] if cell.name.endswith("[]") else value}


MOMENTARY = {"request_id", "timings", "job_id", "created_at", "updated_at", "id", "created"}


def comparable(content: bytes, value: str) -> str:
    try:
        return orjson.dumps(without(orjson.loads(content), MOMENTARY)).decode().replace(value, "VALUE")
    except orjson.JSONDecodeError:
        return content.decode().replace(value, "VALUE")


def without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {name: without(item, names) for name, item in value.items() if name not in names}
    return [without(item, names) for item in value] if isinstance(value, list) else value
