"""A5: what is stored of a key opens nothing, and no key tells anything of another."""

from __future__ import annotations

import ast
import io
import logging
import re
import sqlite3
import sys
from hashlib import sha256
from pathlib import Path

import orjson
import pytest
import structlog

from domain.access import PUBLISHABLE_LIMITS, Limits, Scope
from domain.errors import NotFound, UsageError
from service.cli import main
from service.keys import clean_origin, new_key
from service.observability import configure_logging
from service.storage.database import open_database
from service.storage.keys import SqlKeys
from tests.security.tenancy_server import installation, key_id

ROOT = Path(__file__).parents[2]
FORM = re.compile(r"fv_(?:key|pub)[0-9a-f]{12}_[0-9a-f]{64}")
PAGE = {"collections": frozenset({"faq"}), "origins": ("https://shop.example.org",), "publishable": True}


def test_a5_a_key_has_256_random_bits_and_none_follows_from_another():
    keys = [new_key("acme")[2] for _ in range(2000)]
    assert all(FORM.fullmatch(key) for key in keys)
    secrets = [key.rsplit("_", 1)[1] for key in keys]
    assert len(set(secrets)) == len({key.split("_")[1] for key in keys}) == 2000
    ones = sum(int(secret, 16).bit_count() for secret in secrets)
    # 512,000 fair coins: the mean is 256,000, six standard deviations are 2,147.
    assert abs(ones - 256_000) < 2_147


def test_a5_what_is_stored_is_the_hash_of_the_whole_key_and_the_public_id_is_no_part_of_the_secret():
    info, secret_hash, key = new_key("acme")
    assert secret_hash == sha256(key.encode()).hexdigest()
    assert info.id not in key.rsplit("_", 1)[1]
    assert key.rsplit("_", 1)[1] not in orjson.dumps(info.to_dict()).decode()


def test_a5_neither_database_nor_files_nor_logs_nor_replies_hold_a_key(tmp_path, capsys):
    before = structlog.get_config(), logging.getLogger().handlers[:], logging.getLogger().level
    try:
        with installation(tmp_path, server={"api_key": "configured-secret-0123456789abcdef"}) as place:
            configure_logging("DEBUG", as_json=True)
            keys = [place.key("acme", "admin"), place.key("acme", **PAGE), place.key("gone", "read")]
            place.store.suspend("gone")
            keys.append("configured-secret-0123456789abcdef")
            said = []
            for key in keys:
                client = place.client(key, Origin="https://shop.example.org")
                for path in ("/v1/documents", "/v1/none", "/v1/documents/doc-x", "/metrics"):
                    said.append(client.get(path).text)
                said.append(client.post("/v1/search", json={"question": "q", "nonsense": key[:5]}).text)
                said.append(client.post("/v1/search", content=b"{", headers={"content-type": "application/json"}).text)
            place.client(keys[0][:-1]).get("/v1/documents")
            dump = "\n".join(sqlite3.connect(tmp_path / "data" / "fovea.db").iterdump())
        written = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    finally:
        structlog.configure(**before[0])
        logging.getLogger().handlers[:], logging.getLogger().level = before[1], before[2]
    captured = capsys.readouterr()
    log = captured.out + captured.err
    assert "key_id" in dump or "secret_hash" in dump
    assert '"event": "request"' in log and '"tenant": "acme"' in log and f'"key": "{key_id(keys[0])}"' in log
    for key in keys:
        secret = key.rsplit("_", 1)[-1]
        for place_of, text in (("database", dump), ("log", log), ("replies", "".join(said))):
            assert secret not in text, place_of
        assert not any(secret.encode() in content for content in written)


SECRET = re.compile(r"secret|token$|_hash$|digest|api_key\b|configured|password", re.IGNORECASE)


def secrets_compared_with_equals(source):
    """Lines that compare a secret with `==`, which ends at the first difference and so tells how much was right."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            names = [ast.unparse(side).split("(")[0] for side in (node.left, *node.comparators)]
            if any(SECRET.search(name) for name in names):
                yield node.lineno


def test_a5_no_module_compares_a_secret_with_equals():
    assert list(secrets_compared_with_equals("x = 1\nif _digest(key) == stored.secret_hash: pass")) == [2]
    assert list(secrets_compared_with_equals("if api_key != given: pass")) == [1]
    paths = [*(ROOT / "service" / "api").rglob("*.py"), ROOT / "service/keys.py", ROOT / "service/storage/keys.py"]
    assert len(paths) > 20
    found = {path.name: list(secrets_compared_with_equals(path.read_text(encoding="utf-8"))) for path in paths}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_a_publishable_key_is_made_for_one_collection_and_its_pages_only():
    info, _, key = new_key("acme", **PAGE)
    assert key.startswith("fv_pub")
    assert (info.scopes, info.limits) == (frozenset({Scope.CHAT}), PUBLISHABLE_LIMITS)
    for wrong, said in (
        ({**PAGE, "scopes": frozenset({Scope.READ})}, "search and chat"),
        ({**PAGE, "collections": None}, "one collection"),
        ({**PAGE, "collections": frozenset({"a", "b"})}, "one collection"),
        ({**PAGE, "origins": ()}, "--origin"),
        ({"origins": ("https://a.example",)}, "--publishable"),
    ):
        with pytest.raises(UsageError, match=said):
            new_key("acme", **wrong)


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "", "https://*.example.org", "example.org", "https://example.org/path", "ftp://example.org",
     "https://a.example?q", "https://user@a.example", "javascript:alert(1)", "https://", "https://a.example:99999",
     "https://a b.example", "file:///etc/passwd", "https://a.example#x"],
)  # fmt: skip
def test_a7_what_is_no_origin_is_refused_when_a_key_is_made(origin):
    with pytest.raises(UsageError, match="no origin"):
        clean_origin(origin)


def test_a7_origins_are_kept_as_browsers_write_them():
    written = {
        "HTTPS://Shop.Example.ORG:443/": "https://shop.example.org",
        "http://localhost:80": "http://localhost",
        "https://bücher.example": "https://xn--bcher-kva.example",
        "http://[::1]:3000": "http://[::1]:3000",
    }
    assert {given: clean_origin(given) for given in written} == written


@pytest.mark.parametrize("name", ["", "Acme", "a/b", "..", "a" * 64, "-a", "a-", "a b", "a\x00", "租户"])
def test_a_tenant_has_a_name_that_can_name_a_directory(tmp_path, name):
    database = open_database(f"sqlite:///{tmp_path / 'keys.db'}")
    try:
        info, secret_hash, _ = new_key(name)
        with pytest.raises(UsageError, match="cannot name a tenant"):
            SqlKeys(database).add(info, secret_hash)
        with pytest.raises(UsageError, match="cannot name a tenant"):
            SqlKeys(database).limit(name, Limits())
        assert SqlKeys(database).list_tenants() == []
    finally:
        database.close()


def test_limits_are_never_negative():
    with pytest.raises(UsageError, match="tokens_per_day is -1"):
        Limits(tokens_per_day=-1)


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture
def fovea(monkeypatch, capsys, tmp_path):
    """Run `fovea keys ...` over one data directory: (status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fovea", "keys", *arguments, "--data-dir", str(tmp_path / "data")])
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code or 0
        return status, *capsys.readouterr()

    return run


def test_keys_create_shows_the_key_once_and_list_never_again(fovea):
    status, key, said = fovea("create", "--name", "ci", "--scope", "read", "--scope", "write", "--expires", "90")
    assert status == 0 and FORM.fullmatch(key.strip()) and "not shown again" in said
    status, out, _ = fovea("list", "--json")
    (listed,) = orjson.loads(out)["keys"]
    assert (listed["id"], listed["name"], listed["tenant"], listed["state"]) == (key_id(key), "ci", "local", "active")
    assert listed["scopes"] == ["read", "write"] and listed["collections"] is None
    assert key.strip().rsplit("_", 1)[1] not in out
    assert key_id(key) in fovea("list")[1]


FIRST = "from now on every request needs a key"
OWN = "create one for yourself: `fovea keys create --name me --scope admin`"


def test_the_first_key_says_that_it_ends_open_access_and_how_to_come_in_again(fovea):
    page = ("create", "--publishable", "--collection", "faq", "--origin", "https://shop.example", "--json")
    _, out, said = fovea(*page)
    assert said.count(FIRST) == 1 and OWN in said and FIRST not in out
    for which in ("FOVEA_SERVER__API_KEY", "Authorization: Bearer", "web page"):
        assert which in said
    assert FIRST not in fovea("create")[2]
    fovea("revoke", orjson.loads(out)["id"])
    assert FIRST not in fovea("create")[2], "a revoked key keeps the door shut"


def test_whoever_makes_an_admin_key_first_is_not_told_to_make_one(fovea):
    said = fovea("create", "--scope", "admin")[2]
    assert FIRST in said and OWN not in said


def test_no_key_ends_open_access_where_the_settings_have_one(fovea, monkeypatch):
    monkeypatch.setenv("FOVEA_SERVER__API_KEY", "k-4711")
    assert FIRST not in fovea("create")[2]


def test_keys_create_takes_everything_a_widget_needs(fovea):
    status, out, _ = fovea(
        "create", "--tenant", "acme", "--publishable", "--collection", "faq", "--origin", "https://Shop.example/",
        "--origin", "http://localhost:3000", "--tokens-per-day", "5000", "--json",
    )  # fmt: skip
    made = orjson.loads(out)
    assert status == 0 and made["key"].startswith("fv_pub")
    assert made["origins"] == ["https://shop.example", "http://localhost:3000"]
    assert made["limits"]["tokens_per_day"] == 5000
    assert made["limits"]["requests_per_minute"] == PUBLISHABLE_LIMITS.requests_per_minute


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "--publishable"), "one collection"),
        (("create", "--tenant", "../x"), "cannot name a tenant"),
        (("create", "--collection", "a/b"), "cannot name a collection"),
        (("revoke", "key000000000000"), "no key 'key000000000000'"),
        (("tenant", "nobody"), "no tenant 'nobody'"),
    ],
)
def test_keys_says_what_is_wrong_and_exits_with_2(fovea, arguments, said):
    fovea("create")
    status, _, errors = fovea(*arguments)
    assert status == 2 and said in errors and "Traceback" not in errors


def test_keys_revoke_and_prune(fovea):
    _, key, _ = fovea("create")
    status, out, _ = fovea("revoke", key_id(key), "--json")
    assert status == 0 and orjson.loads(out)["keys"][0]["state"] == "revoked"
    assert orjson.loads(fovea("prune", "--json")[1]) == {"forgotten": 1}
    assert orjson.loads(fovea("list", "--json")[1]) == {"keys": []}


def test_keys_tenant_sets_shows_and_takes_away_quotas(fovea):
    fovea("create", "--tenant", "acme")
    fovea("tenant", "acme", "--tokens-per-day", "1000", "--documents", "5")
    status, out, _ = fovea("tenant", "acme", "--documents", "-1", "--suspend", "--json")
    shown = orjson.loads(out)
    assert status == 0
    assert (shown["limits"]["tokens_per_day"], shown["limits"]["documents"]) == (1000, None)
    assert shown["suspended_at"] is not None
    assert shown["used"] == {"tokens_per_day": 0, "documents": 0, "characters": 0}
    assert "suspended since" in fovea("tenant", "acme")[1]
    assert "0 of 1,000" in fovea("tenant", "acme", "--resume")[1]


def test_keys_work_beside_a_running_server_which_notices(fovea, tmp_path):
    with installation(tmp_path) as place:
        _, key, _ = fovea("create", "--tenant", "acme", "--scope", "read")
        client = place.client(key.strip())
        assert client.get("/v1/documents").status_code == 200
        with pytest.raises(NotFound):
            place.store.revoke("key000000000000")
        fovea("revoke", key_id(key))
        place.server.keys._keys.clear()  # what half a second does
        assert client.get("/v1/documents").status_code == 401
