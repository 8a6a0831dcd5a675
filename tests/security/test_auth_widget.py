"""A6, A7: what a key in the source of a web page opens, and from which pages."""

from __future__ import annotations

import re

import pytest

from domain.access import Limits
from service.api.access import is_public
from tests.security.tenancy_server import installation, raw_request

SHOP = "https://shop.example.org"
FAQ = "Parcels arrive within three working days."
SECRET = "The margin on parcels is forty percent."
QUESTION = "How many days do parcels take to arrive?"
CHAT = {"messages": [{"role": "user", "content": QUESTION}]}
PAGE_ROUTES = {("POST", "/v1/search"), ("POST", "/v1/chat/completions")}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("widget")) as place:
        engine = place.server.tenants.engine_of("shop")
        engine.ingest_text(FAQ, title="FAQ", source="faq", collection="faq")
        engine.ingest_text(SECRET, title="Margins", source="margins", collection="internal")
        place.keys["page"] = place.key(
            "shop", collections=frozenset({"faq"}), origins=(SHOP, "http://localhost:3000"), publishable=True
        )
        place.keys["server"] = place.key("shop", "read")
        yield place


def page(place, origin=SHOP, key="page"):
    return place.client(place.keys[key], Origin=origin)


def test_a6_every_other_route_is_closed_to_a_pages_key(place):
    checked = 0
    for path, methods in place.app.openapi()["paths"].items():
        for method in methods:
            if is_public(path) or (method.upper(), path) in PAGE_ROUTES:
                continue
            concrete = re.sub(r"\{[^}]*\}", "x", path)
            reply = raw_request(place.app, method.upper(), concrete, place.keys["page"], headers={"origin": SHOP})
            assert (path, reply.status, reply.reads) == (path, 403, 0)
            checked += 1
    assert checked > 12
    assert raw_request(place.app, "POST", "/mcp", place.keys["page"], headers={"origin": SHOP}).status == 403


def test_a6_a_pages_key_searches_and_chats_in_its_collection_and_says_so_by_default(place):
    client = page(place)
    found = client.post("/v1/search", json={"question": QUESTION}).json()
    assert [item["text"] for item in found["evidence"]] == [FAQ]
    reply = client.post("/v1/chat/completions", json=CHAT)
    assert reply.status_code == 200 and "three working days" in reply.text
    streamed = client.post("/v1/chat/completions", json={**CHAT, "stream": True})
    assert streamed.headers["access-control-allow-origin"] == SHOP
    assert "[DONE]" in streamed.text


@pytest.mark.parametrize("collection", ["internal", "none", "FAQ", "faq ", "default2"])
def test_a6_any_other_collection_is_not_there(place, collection):
    for path, body in (
        ("/v1/search", {"question": "What is the margin?", "collection": collection}),
        ("/v1/chat/completions", {**CHAT, "fovea": {"collection": collection}}),
    ):
        reply = page(place).post(path, json=body)
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
        assert SECRET not in reply.text


def test_a6_a_pages_key_has_its_own_quota(place):
    small = place.key(
        "shop", collections=frozenset({"faq"}), origins=(SHOP,), publishable=True, limits=Limits(requests_per_minute=2)
    )
    client = place.client(small, Origin=SHOP)
    replies = [client.post("/v1/search", json={"question": QUESTION}) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[2].headers["access-control-allow-origin"] == SHOP  # the page may read why, and when to come back
    assert "retry-after" in replies[2].headers["access-control-expose-headers"]
    assert page(place).post("/v1/search", json={"question": QUESTION}).status_code == 200


FOREIGN = [
    "https://evil.example.org", "null", "https://shop.example.org.evil.example", "https://evilshop.example.org",
    "https://shop.example.org:8443", "http://shop.example.org", "https://shop.example.org:443", "https://shop.example",
    "https://sub.shop.example.org", "https://shop.example.org.", "https://SHOP.example.org", "https://shop.example.org/",
    "https://shop.example.org@evil.example", "https://shop.example.org\\.evil.example", "http://localhost",
    "http://localhost:3001", "https://localhost:3000", "http://127.0.0.1:3000", "http://[::1]:3000",
    "file://", "*", "", "shop.example.org", "//shop.example.org", "https://", "data:text/html,x",
    "chrome-extension://abcdef", "moz-extension://abcdef", "https://shop.example.org,https://evil.example",
    "https://shop.example.org https://evil.example", "https://shop%2eexample.org", "https://xn--shop-x.example.org",
    "javascript:alert(1)", "https://shop.example.org\t",
]  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
def test_a7_a_page_of_any_other_origin_gets_nothing_and_no_leave_to_read(place, origin):
    assert len(FOREIGN) >= 30
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    preflight = raw_request(place.app, "OPTIONS", "/v1/search", headers=asked)
    sent = raw_request(place.app, "POST", "/v1/search", place.keys["page"], headers={"origin": origin})
    secret = raw_request(place.app, "GET", "/v1/documents", place.keys["server"], headers={"origin": origin})
    assert (preflight.status, sent.status, sent.reads) == (403, 403, 0)
    for reply in (preflight, sent, secret):
        assert not [name for name in reply.headers if name.startswith("access-control-")]


def test_a7_a_request_that_names_two_origins_or_none_is_of_no_page(place):
    client = place.client(place.keys["page"])
    body = {"question": QUESTION}
    assert client.post("/v1/search", json=body).status_code == 403
    twice = client.post("/v1/search", json=body, headers=[("origin", SHOP), ("origin", "https://evil.example")])
    assert twice.status_code == 403 and "access-control-allow-origin" not in twice.headers


@pytest.mark.parametrize("origin", [SHOP, "http://localhost:3000"])
def test_a7_the_keys_own_pages_are_answered_by_name_and_never_with_credentials(place, origin):
    asked = {"origin": origin, "access-control-request-method": "POST"}
    preflight = raw_request(place.app, "OPTIONS", "/v1/chat/completions", headers=asked)
    assert (preflight.status, preflight.reads) == (204, 0)
    reply = page(place, origin).post("/v1/chat/completions", json=CHAT)
    for headers in (preflight.headers, reply.headers):
        assert headers["access-control-allow-origin"] == origin
        assert "Origin" in headers["vary"]
        assert "access-control-allow-credentials" not in headers
    assert preflight.headers["access-control-allow-methods"] == "POST"
    assert "authorization" in preflight.headers["access-control-allow-headers"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/documents"), ("DELETE", "/v1/documents/x"), ("GET", "/v1/search"), ("POST", "/mcp")],
)
def test_a7_no_page_is_told_that_it_may_call_anything_else(place, method, path):
    asked = {"origin": SHOP, "access-control-request-method": method}
    preflight = raw_request(place.app, "OPTIONS", path, headers=asked)
    assert preflight.status == 403 and "access-control-allow-origin" not in preflight.headers


def test_a7_the_origins_of_a_revoked_key_are_forgotten(tmp_path):
    with installation(tmp_path) as place:
        asked = {"origin": SHOP, "access-control-request-method": "POST"}
        key = place.key("shop", collections=frozenset({"faq"}), origins=(SHOP,), publishable=True)
        assert raw_request(place.app, "OPTIONS", "/v1/search", headers=asked).status == 204
        place.store.revoke(key.split("_")[1])
        place.server.keys._facts.clear()  # what half a second does
        assert raw_request(place.app, "OPTIONS", "/v1/search", headers=asked).status == 403
