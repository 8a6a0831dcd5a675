"""A1: no route does anything, and none reads a byte of a body, before it is known who calls and that they may."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from domain.access import Principal, Scope
from domain.errors import ConfigurationError
from service.api.access import RULES, is_public, rule_for
from service.api.binding import check_binding
from service.keys import KeyRefused, KeyRing, new_key
from service.storage.database import open_database
from service.storage.keys import SqlKeys
from tests.security.tenancy_server import LOCAL, installation, key_id, raw_request

SCOPES_THAT_LACK = {  # a scope that does not open a route which these open
    (Scope.CHAT,): "write",
    (Scope.READ,): "chat",
    (Scope.WRITE,): "read",
    (Scope.READ, Scope.WRITE): "chat",
    (Scope.ADMIN,): "read",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("routes")) as place:
        for scope in Scope:
            place.keys[scope.value] = place.key("acme", scope.value)
        place.keys["operator"] = place.key("local", "admin")
        place.keys["revoked"] = place.key("acme", "admin")
        place.store.revoke(key_id(place.keys["revoked"]))
        place.keys["expired"] = place.key("acme", "admin", expires_days=0)
        place.keys["suspended"] = place.key("gone", "admin")
        place.store.suspend("gone")
        place.keys["unknown"] = new_key("acme", scopes=frozenset({Scope.ADMIN}))[2]
        place.keys["another secret"] = place.keys["admin"][:-1] + ("0" if place.keys["admin"][-1] != "0" else "1")
        place.keys["no form"] = "sk-1234"
        yield place


def routes_of(app):
    paths = app.openapi()["paths"]
    return sorted((method.upper(), path) for path, methods in paths.items() for method in methods)


def concrete(path):
    return re.sub(r"\{[^}]*\}", "x", path)


def test_a1_every_route_has_a_row_in_the_table_and_every_row_a_route(place):
    """A new route without a row fails here, and is shut to everybody but the operator until it has one."""
    declared = {(method, re.sub(r":\w+\}", "}", path)) for method, path in RULES}
    served = {(method, path) for method, path in routes_of(place.app) if not is_public(path)}
    assert served - declared == set()
    assert declared - served == {("GET", "/mcp"), ("POST", "/mcp"), ("DELETE", "/mcp")}


@pytest.mark.parametrize("kind", [None, "no form", "unknown", "another secret", "revoked", "expired", "suspended"])
def test_a1_no_route_answers_without_a_key_that_works_and_no_body_is_read(place, kind):
    checked = 0
    for index, (method, path) in enumerate(routes_of(place.app)):
        if is_public(path):
            continue
        peer = (f"198.51.100.{index}", 1)  # an address each: guessing has its own limit
        reply = raw_request(place.app, method, concrete(path), place.keys.get(kind), peer)
        assert (path, reply.status) == (path, 403 if kind == "suspended" else 401)
        assert reply.reads == 0, path
        assert orjson.loads(reply.body)["code"] == ("tenant_suspended" if kind == "suspended" else "unauthorized")
        assert reply.headers["connection"] == "close"
        checked += 1
    assert checked > 15


def test_a1_no_route_answers_a_key_that_lacks_its_scope_and_no_body_is_read(place):
    for method, path in routes_of(place.app):
        if is_public(path):
            continue
        rule = rule_for(method, concrete(path))
        reply = raw_request(place.app, method, concrete(path), place.keys[SCOPES_THAT_LACK[rule.scopes]])
        assert (path, reply.status, reply.reads) == (path, 403, 0)
        assert orjson.loads(reply.body)["code"] == "forbidden"


def test_a1_only_the_operator_sees_the_whole_installation(place):
    assert raw_request(place.app, "GET", "/metrics", place.keys["admin"]).status == 403  # another tenant's admin
    assert place.client(place.keys["operator"]).get("/metrics").status_code == 200
    bound = place.key("local", "admin", collections=frozenset({"one"}))
    assert place.client(bound).get("/metrics").status_code == 403


@pytest.mark.parametrize("kind", ["no form", "revoked", "suspended", "unknown"])
def test_a1_mcp_is_behind_the_same_door(place, kind):
    reply = raw_request(place.app, "POST", "/mcp", place.keys[kind], ("198.51.100.99", 1))
    assert (reply.status, reply.reads) == (403 if kind == "suspended" else 401, 0)


def test_a1_what_has_no_row_is_not_there(place):
    for method, path, status in (
        ("GET", "/v1/none", 404),
        ("POST", "/v1/models", 405),
        ("PUT", "/v1/search", 405),
        ("OPTIONS", "/v1/search", 405),
    ):
        reply = raw_request(place.app, method, path, place.keys["read"])
        assert (path, reply.status, reply.reads) == (path, status, 0)


def test_a1_two_keys_in_one_request_are_none(place):
    good = place.keys["read"]
    client = place.client()
    headers = [("authorization", f"Bearer {good}"), ("authorization", f"Bearer {good}")]
    assert client.get("/v1/models", headers=headers).status_code == 401
    assert client.get("/v1/models", headers={"authorization": f"Basic {good}"}).status_code == 401


@pytest.mark.parametrize(
    ("scope", "opens"),
    [
        ("chat", {"chat"}),
        ("read", {"chat", "read"}),
        ("write", {"write"}),
        ("admin", {"chat", "read", "write", "admin"}),
    ],
)
def test_a_scope_includes_these_and_no_others(scope, opens):
    principal = Principal("acme", frozenset({Scope(scope)}))
    assert {item.value for item in Scope if principal.may(item)} == opens


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def database(tmp_path):
    database = open_database(f"sqlite:///{tmp_path / 'keys.db'}")
    yield database
    database.close()


def test_a1_a_revoked_key_is_worthless_within_a_second(database):
    """What the server has looked up is believed for half a second, by its own clock."""
    store, clock = SqlKeys(database), Clock()
    info, secret_hash, key = new_key("acme")
    store.add(info, secret_hash)
    ring = KeyRing(store, clock=clock)
    assert ring.identify(key).tenant == "acme"
    SqlKeys(database).revoke(info.id)
    clock.now += 0.5
    with pytest.raises(KeyRefused, match="revoked"):
        ring.identify(key)


def test_a1_a_suspended_tenant_is_out_within_a_second_and_back_when_it_is_resumed(database):
    store, clock = SqlKeys(database), Clock()
    info, secret_hash, key = new_key("acme")
    store.add(info, secret_hash)
    ring = KeyRing(store, clock=clock)
    ring.identify(key)
    store.suspend("acme")
    clock.now += 0.5
    with pytest.raises(KeyRefused, match="suspended"):
        ring.identify(key)
    store.suspend("acme", False)
    clock.now += 0.5
    assert ring.identify(key).key_id == info.id


def test_a1_a_key_expires_even_while_it_is_remembered(database, monkeypatch):
    store = SqlKeys(database)
    info, secret_hash, key = new_key("acme", expires_days=1)
    store.add(info, secret_hash)
    ring = KeyRing(store, clock=Clock())
    assert ring.identify(key).key_id == info.id
    tomorrow = datetime.now(UTC) + timedelta(days=1, seconds=1)
    monkeypatch.setattr("service.keys.datetime", type("Later", (), {"now": staticmethod(lambda zone: tomorrow)}))
    with pytest.raises(KeyRefused, match="expired"):
        ring.identify(key)


def test_the_local_user_needs_no_key_until_one_was_made_and_none_again_when_all_are_forgotten(tmp_path):
    with installation(tmp_path) as place:

        def status(key=None):
            return place.client(key, LOCAL, Host="127.0.0.1").get("/v1/documents").status_code

        ring = place.server.keys
        clock = ring._clock = Clock()
        assert status() == 200
        assert status("anything, as OpenAI's clients must send a key") == 200
        assert status(new_key("local")[2]) == 401  # a key of our form is believed or refused, never passed over
        key = place.key("local", "read")
        clock.now += 0.5
        assert (status(), status(key)) == (401, 200)
        place.store.revoke(key_id(key))
        clock.now += 0.5
        assert (status(), status(key)) == (401, 401)  # losing a key does not open the door
        assert place.store.prune() == 1
        clock.now += 0.5
        assert status() == 200


def test_the_configured_key_is_the_operators_beside_the_stored_ones(tmp_path):
    with installation(tmp_path, server={"api_key": "key-1"}) as place:
        other = place.key("acme", "read")
        assert place.client("key-1").get("/metrics").status_code == 200
        assert place.client(other).get("/v1/documents").status_code == 200
        assert place.client().get("/v1/documents").status_code == 401
        assert place.client("key-2").get("/v1/documents").status_code == 401


def test_a12_a_default_install_is_local_and_has_no_key_and_opens_up_only_once_somebody_holds_one(tmp_path):
    with installation(tmp_path) as place:
        assert place.settings.server.host == "127.0.0.1"
        assert place.settings.server.api_key is None
        assert place.store.list_keys() == [] and place.store.list_tenants() == []
        ring, clock = place.server.keys, Clock()
        ring._clock = clock

        def may_open_up():
            clock.now += 0.5
            try:
                check_binding("0.0.0.0", ring.has_keys)
            except ConfigurationError:
                return False
            return True

        assert not may_open_up()
        place.key("acme", "read", expires_days=0)
        assert not may_open_up()
        key = place.key("acme", "read")
        assert may_open_up()
        place.store.suspend("acme")
        assert not may_open_up()
        place.store.suspend("acme", False)
        place.store.revoke(key_id(key))
        assert not may_open_up()
