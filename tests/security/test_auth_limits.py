"""A8, A9, C5, L10: guesses, requests a minute, tokens a day, and what may be stored."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from domain.access import CONFIGURED, Limits, Principal, Scope
from domain.answers import Usage
from domain.errors import GenerationCancelled, GeneratorBadResponse, QuotaExceeded, StorageError, UsageError
from service.bound_engine import BoundEngine, PromptCeiling
from service.cancelling import AnswerStream
from service.quotas import MemoryAccount, MinuteWindow, MinuteWindows, TokenMeter
from service.searching import search_evidence
from service.storage.database import open_database
from service.storage.rows import now
from service.storage.tables import api_keys
from service.storage.usage import SqlUsage
from tests.security.tenancy_server import ELSEWHERE, LOCAL, installation, raw_request

LEASE = "The lease began in 2019. Rent is 900 euros a month. It is paid on the third working day."


class Clock:
    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


# -- requests a minute -------------------------------------------------------------------------------------------------


@given(
    limit=st.integers(1, 40),
    gaps=st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=200),
)
@settings(max_examples=150, deadline=None)
def test_a9_no_minute_whenever_it_begins_holds_more_than_the_limit(limit, gaps):
    window, moment, let_in = MinuteWindow(), 1000.0, []
    for gap in gaps:
        moment += gap
        if window.wait(limit, moment) == 0:
            window.add(moment)
            let_in.append(moment)
    for start in let_in:
        assert sum(start <= item < start + 60 for item in let_in) <= limit


@given(limit=st.integers(1, 30), burst=st.integers(1, 60), gap=st.floats(0, 70, allow_nan=False))
@settings(max_examples=150, deadline=None)
def test_a9_retry_after_is_when_a_request_fits_and_none_fits_a_second_earlier(limit, burst, gap):
    clock = Clock()
    windows = MinuteWindows(clock)
    for _ in range(burst):
        windows.admit([("key", limit)])
        clock.now += gap / burst
    wait = windows.wait("key", limit)
    if wait > 1:
        clock.now += wait - 1
        assert windows.wait("key", limit) > 0
        clock.now += 1
    else:
        clock.now += wait
    assert windows.admit([("key", limit)]) == 0


def test_a9_a_request_counts_for_its_key_and_for_its_tenant_or_for_neither():
    windows = MinuteWindows(Clock())
    assert all(windows.admit([("key a", 5), ("tenant", 8)]) == 0 for _ in range(5))
    assert windows.admit([("key a", 5), ("tenant", 8)]) > 0  # the key's limit; the tenant has three left
    assert [windows.admit([("key b", 5), ("tenant", 8)]) == 0 for _ in range(5)] == [True] * 3 + [False] * 2
    assert windows.admit([("key b", 5)]) == 0  # the two that were refused did not count for the key


def test_a9_the_memory_of_windows_is_bounded(monkeypatch):
    monkeypatch.setattr("service.quotas._MOST_COUNTED", 100)
    windows = MinuteWindows(Clock())
    for number in range(1000):
        windows.admit([(f"address {number}", 20)])
    assert len(windows._windows) == 100


def test_a9_many_threads_together_get_no_more_than_the_limit():
    windows, admitted = MinuteWindows(Clock()), []

    def ask():
        admitted.extend(1 for _ in range(200) if windows.admit([("key", 300)]) == 0)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 300


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("limits")) as place:
        yield place


def test_a9_over_http_the_answer_is_429_with_retry_after_and_the_body_is_not_read(place):
    limited = place.key("acme", "read", limits=Limits(requests_per_minute=3))
    other = place.key("acme", "read")
    replies = [place.client(limited).get("/v1/documents") for _ in range(5)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429, 429]
    assert replies[-1].json()["code"] == "quota_exceeded" and replies[-1].json()["retryable"]
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 61
    refused = raw_request(place.app, "POST", "/v1/search", limited)
    assert (refused.status, refused.reads) == (429, 0)
    assert place.client(other).get("/v1/documents").status_code == 200


def test_a9_a_tenants_requests_count_together(place):
    place.store.limit("crowd", Limits(requests_per_minute=4))
    keys = [place.key("crowd", "read") for _ in range(4)]
    statuses = [place.client(key).get("/v1/documents").status_code for key in keys + keys]
    assert statuses == [200] * 4 + [429] * 4


def test_c5_a_body_over_the_keys_own_limit_is_refused(place):
    small = place.key("acme", "read", limits=Limits(body_bytes=200))
    client = place.client(small)
    assert client.post("/v1/search", json={"question": "q" * 300}).status_code == 413
    assert client.post("/v1/search", json={"question": "q"}).status_code == 200


# -- guesses -----------------------------------------------------------------------------------------------------------


def guesses(count):
    return [f"fv_key{number:012x}_{number:064x}" for number in range(count)]


def test_a8_wrong_keys_get_429_after_twenty_a_minute_and_a_right_one_is_let_in_from_the_same_address(place):
    check_guessing(place, 200, ("198.51.100.1", 9))


def test_a8_a_guess_beyond_the_limit_costs_no_question_to_the_database(place, monkeypatch):
    store, asked = place.server.keys._store, []
    for name in ("find", "ids"):
        own = getattr(store, name)
        monkeypatch.setattr(store, name, lambda *given, name=name, own=own: (asked.append(name), own(*given))[1])
    monkeypatch.setattr(place.server.keys, "_clock", Clock())  # no half second ends meanwhile
    monkeypatch.setattr(place.server.keys, "_facts", {})
    for key in guesses(120):
        raw_request(place.app, "GET", "/v1/documents", key, ("198.51.100.4", 9))
    assert asked == ["find"] * 20 + ["ids"]


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a8_ten_thousand_wrong_keys_from_one_address(place):
    check_guessing(place, 10_000, ("198.51.100.2", 9))


def check_guessing(place, count, address):
    right = place.key("acme", "read")
    statuses = [raw_request(place.app, "GET", "/v1/documents", key, address).status for key in guesses(count)]
    assert statuses == [401] * 20 + [429] * (count - 20)
    refused = raw_request(place.app, "POST", "/v1/search", guesses(1)[0], address)
    assert (refused.status, refused.reads) == (429, 0)
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert place.client(right, address).get("/v1/documents").status_code == 200
    assert raw_request(place.app, "GET", "/v1/documents", guesses(1)[0], ELSEWHERE).status == 401


def test_a8_an_ipv6_network_is_one_address_and_a_missing_key_is_no_guess(place):
    statuses = [
        raw_request(place.app, "GET", "/v1/documents", key, (f"2001:db8:0:1::{number:x}", 1)).status
        for number, key in enumerate(guesses(25))
    ]
    assert statuses == [401] * 20 + [429] * 5
    assert raw_request(place.app, "GET", "/v1/documents", guesses(1)[0], ("2001:db8:0:2::1", 1)).status == 401
    nobody = ("198.51.100.3", 1)
    assert {raw_request(place.app, "GET", "/v1/documents", None, nobody).status for _ in range(30)} == {401}


# -- tokens a day ------------------------------------------------------------------------------------------------------


class Day:
    def __init__(self):
        self.now = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)

    def __call__(self):
        return self.now


def principal(key="k", own=None, whole=None):
    return Principal(
        "acme", frozenset({Scope.READ}), key_id=key, limits=Limits(tokens_per_day=own),
        tenant_limits=Limits(tokens_per_day=whole),
    )  # fmt: skip


def spend(meter, who, tokens, most=None):
    with meter.hold(who, most or tokens) as held:
        held.usage = Usage(tokens, 0)


def test_l10_a_day_ends_at_midnight_utc_and_retry_after_says_so():
    day = Day()
    meter = TokenMeter(MemoryAccount(), day)
    spend(meter, principal(own=1000), 1000)
    with pytest.raises(QuotaExceeded, match="used up") as refused:
        spend(meter, principal(own=1000), 1)
    assert refused.value.retry_after_seconds == 3600
    day.now = datetime(2026, 3, 2, 0, 0, 1, tzinfo=UTC)
    spend(meter, principal(own=1000), 1)


def test_l10_a_key_and_its_tenant_have_an_account_each():
    meter = TokenMeter(MemoryAccount(), Day())
    spend(meter, principal("a", own=600, whole=1000), 600)
    with pytest.raises(QuotaExceeded, match="of this key"):
        spend(meter, principal("a", own=600, whole=1000), 1)
    spend(meter, principal("b", own=600, whole=1000), 400)
    with pytest.raises(QuotaExceeded, match="of this tenant"):
        spend(meter, principal("b", own=600, whole=1000), 1)
    spend(meter, principal("c"), 10_000)  # no limit, no refusal


@given(
    cap=st.integers(1, 3000),
    costs=st.lists(st.integers(0, 300), min_size=1, max_size=60),
    together=st.integers(1, 12),
)
@settings(max_examples=100, deadline=None)
def test_l10_however_many_answers_run_at_a_time_a_day_ends_at_most_one_over_its_limit(cap, costs, together):
    """`together` answers are under way before the first of them is charged; each may cost up to 300 tokens."""
    account = MemoryAccount()
    meter = TokenMeter(account, Day())
    while costs:
        batch, costs = costs[:together], costs[together:]
        holds = []
        for cost in batch:
            hold = meter.hold(principal(own=cap), 300)
            try:
                held = hold.__enter__()
            except QuotaExceeded:
                continue
            held.usage = Usage(cost, 0)
            holds.append(hold)
        for hold in holds:
            hold.__exit__(None, None, None)
    assert account.spent("2026-03-01").get("k", 0) < cap + 300


def test_l10_what_is_held_back_frees_up_when_the_answer_was_cheaper():
    meter = TokenMeter(MemoryAccount(), Day())
    with meter.hold(principal(own=1000), 1000) as held:
        with pytest.raises(QuotaExceeded, match="being written") as refused:
            spend(meter, principal(own=1000), 1)
        assert refused.value.retry_after_seconds == 2
        held.usage = Usage(10, 5)
    spend(meter, principal(own=1000), 1)


def test_l10_who_is_patient_waits_for_what_others_hold_back_and_is_told_when_nothing_is_left():
    account = MemoryAccount()
    meter = TokenMeter(account, Day())
    told = []

    def ask(number):
        try:
            with meter.hold(principal(own=100), 90, patient=True) as held:
                held.usage = Usage(40, 0)
        except QuotaExceeded as error:
            told.append(str(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert account.spent("2026-03-01") == {"k": 120}  # three answers: the third began at 80 of 100
    assert len(told) == 5 and all("used up" in text for text in told)


def test_a9_the_account_of_a_day_survives_a_restart(tmp_path):
    url = f"sqlite:///{tmp_path / 'usage.db'}"
    for spent in (0, 400, 800):
        database = open_database(url)
        account = SqlUsage(database, "acme")
        assert sum(account.spent("2026-03-01").values()) == spent
        spend(TokenMeter(account, Day()), principal(own=1000), 400)
        database.close()
    database = open_database(url)
    with pytest.raises(QuotaExceeded):
        spend(TokenMeter(SqlUsage(database, "acme"), Day()), principal(own=1000), 1)
    assert SqlUsage(database, "other").spent("2026-03-01") == {}
    database.close()


def test_an_answer_that_cannot_be_charged_is_delivered_all_the_same(caplog):
    class Broken(MemoryAccount):
        def charge(self, *args):
            raise StorageError("The disk is full.")

    spend(TokenMeter(Broken(), Day()), principal(own=1000), 5)
    assert "tokens_not_charged" in caplog.text


def test_l10_what_was_spent_before_an_error_is_charged():
    account = MemoryAccount()
    meter, who, error = TokenMeter(account, Day()), principal(), UsageError("It does not fit.")
    error.spent_tokens = 70
    with pytest.raises(UsageError), meter.hold(who, 1000):
        raise error
    with pytest.raises(UsageError), meter.hold(who, 1000) as held:
        held.usage = Usage(30, 5)  # all of it, counted already
        raise error
    assert account.spent(Day()().date().isoformat()) == {who.key_id: 105}


def test_an_account_that_breaks_leaves_nothing_held_back():
    class Broken(MemoryAccount):
        def charge(self, *args):
            raise OverflowError("The number is too large.")

    meter, who = TokenMeter(Broken(), Day()), principal(own=1000)
    with pytest.raises(OverflowError), meter.hold(who, 1000) as held:
        held.usage = Usage(2**70, 0)
    with pytest.raises(OverflowError):  # and no QuotaExceeded
        spend(meter, who, 5)


def test_l10_an_answer_is_held_at_what_it_can_cost_at_most():
    ceiling = PromptCeiling(limit=8192, context=320, answer=512)
    short = ceiling.of("Who?", {})
    assert 320 + 512 < short < 2000
    assert ceiling.of("Who?", {"max_tokens": 100}) == short - 220
    assert ceiling.of("多" * 1000, {}) - short > 1000  # three bytes a character, more than a token each
    assert ceiling.of("q" * 10**6, {}) == 2 * 8192


@pytest.fixture(scope="module")
def spending(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("tokens")) as place:
        place.server.tenants.engine_of("acme").ingest_text(LEASE, title="Lease", source="lease")
        yield place


ASK = {"question": "How much is the rent a month in euros?"}
CHAT = {"messages": [{"role": "user", "content": ASK["question"]}]}


def spent_by(place, key):
    today = datetime.now(UTC).date().isoformat()
    return SqlUsage(place.store._database, "acme").spent(today).get(key.split("_")[1], 0)


@pytest.mark.parametrize(
    ("path", "body", "total"),
    [
        ("/v1/ask", ASK, lambda reply: sum(reply["usage"].values())),
        ("/v1/chat/completions", CHAT, lambda reply: reply["usage"]["total_tokens"]),
    ],
)
def test_l10_what_an_answer_says_it_took_is_what_is_charged(spending, path, body, total):
    key = spending.key("acme", "read", limits=Limits(tokens_per_day=100_000))
    before = spent_by(spending, key)
    reply = spending.client(key).post(path, json=body)
    assert reply.status_code == 200
    assert spent_by(spending, key) == total(reply.json()) > before


def test_l10_over_http_no_answer_comes_after_the_days_tokens_are_used_up(spending):
    key = spending.key("acme", "read", limits=Limits(tokens_per_day=25))  # a quoted answer takes about ten
    client = spending.client(key)
    replies = [client.post("/v1/ask", json=ASK) for _ in range(6)]
    answered = [reply for reply in replies if reply.status_code == 200]
    last = replies[-1]
    assert 1 <= len(answered) < 6
    assert (last.status_code, last.json()["code"]) == (429, "quota_exceeded")
    assert 1 <= int(last.headers["retry-after"]) <= 86_400
    most = max(sum(reply.json()["usage"].values()) for reply in answered)
    assert spent_by(spending, key) < 25 + most
    assert client.post("/v1/ask", json={**ASK, "stream": True}).status_code == 429  # before the stream has begun
    assert client.get("/v1/documents").status_code == 200  # what costs nothing goes on
    assert client.post("/v1/search", json=ASK).status_code == 200


def test_l10_an_answer_that_is_broken_off_is_charged_too(spending):
    key = spending.key("acme", "read")
    engine = spending.server.tenants.bound(spending.server.keys.identify(key))
    parts = engine.stream(ASK["question"])
    next(parts)
    parts.close()
    assert spent_by(spending, key) > 300


def test_l10_an_answer_that_is_cancelled_before_the_model_is_asked_costs_nothing(spending, monkeypatch):
    key = spending.key("acme", "read")
    engine = spending.server.tenants.bound(spending.server.keys.identify(key))
    at_once = engine.stream(ASK["question"])
    at_once.cancel()
    with pytest.raises(GenerationCancelled):
        next(at_once)
    in_the_search = engine.stream(ASK["question"])

    def left_meanwhile(*given):
        in_the_search.cancel()
        return search_evidence(*given)

    monkeypatch.setattr("service.answering.search_evidence", left_meanwhile)
    with pytest.raises(GenerationCancelled):
        next(in_the_search)
    assert spent_by(spending, key) == 0


def test_l10_an_abstention_that_is_broken_off_costs_no_more_than_its_rewriting(spending):
    key = spending.key("acme", "read")
    spending.server.tenants.engine_of("acme").create_collection("none")
    engine = spending.server.tenants.bound(spending.server.keys.identify(key))
    parts = engine.stream(ASK["question"], collection="none")
    assert "900" not in next(parts)
    parts.close()
    assert spent_by(spending, key) == 0

    class Rewritten:
        def stream(self, question, **options):
            return AnswerStream(self._parts)

        def _parts(self, cancellation):
            cancellation.course.spent_tokens = 70
            yield "Nothing says so."

    account = MemoryAccount()
    caller = Principal("acme", frozenset({Scope.READ}), key_id="k")
    parts = BoundEngine(Rewritten(), caller, TokenMeter(account, Day()), PromptCeiling()).stream("Why?")
    next(parts)
    parts.close()
    assert account.spent("2026-03-01") == {"k": 70}


def test_l10_a_question_that_nothing_answers_costs_nothing(spending):
    key = spending.key("acme", "read")
    empty = {**ASK, "collection": "empty"}
    spending.server.tenants.engine_of("acme").create_collection("empty")
    assert spending.client(key).post("/v1/ask", json=empty).json()["abstained"]
    assert spent_by(spending, key) == 0


def test_l10_a_question_of_a_megabyte_and_a_history_without_end_are_refused(spending):
    client = spending.client(spending.key("acme", "read"))
    assert client.post("/v1/ask", json={"question": "q" * 2**20}).status_code == 422
    turns = [{"role": "user", "content": "q"}] * 10_000
    assert client.post("/v1/ask", json={**ASK, "history": turns}).status_code == 422
    assert client.post("/v1/chat/completions", json={"messages": turns}).status_code == 422


@pytest.mark.parametrize(("known", "charged"), [(61, 61), (0, 2 + 500 + 400 + 2)])
def test_l10_an_answer_that_its_model_breaks_off_is_charged_what_that_took(known, charged):
    """What is known of it, else what the prompt could have cost; and a batch is told the same."""

    class Broken:
        def stream(self, question, **options):
            yield "Word"
            error = GeneratorBadResponse("It broke off.")
            error.spent_tokens = known
            raise error

    account = MemoryAccount()
    caller = Principal("acme", frozenset({Scope.READ}), key_id="k")
    engine = BoundEngine(Broken(), caller, TokenMeter(account, Day()), PromptCeiling())
    with pytest.raises(GeneratorBadResponse) as caught:
        list(engine.stream("Why?"))
    assert account.spent("2026-03-01") == {"k": charged}
    assert caught.value.spent_tokens == charged


def test_l10_an_answer_that_is_cancelled_before_its_first_word_is_charged_its_prompt():
    class Cancelled:
        def stream(self, question, **options):
            raise GenerationCancelled("Nobody waits.")
            yield

    account = MemoryAccount()
    caller = Principal("acme", frozenset({Scope.READ}), key_id="k")
    engine = BoundEngine(
        Cancelled(), caller, TokenMeter(account, lambda: datetime(2026, 3, 1, tzinfo=UTC)), PromptCeiling()
    )
    with pytest.raises(GenerationCancelled):
        list(engine.stream("Why?"))
    # Two for the question, 500 of context, 400 of our own wording, and one for an answer that may have begun.
    assert account.spent("2026-03-01") == {"k": 2 + 500 + 400 + 1}


def finished(client, batch):
    deadline = time.monotonic() + 60
    while (reply := client.get(f"/v1/batches/{batch}").json())["status"] in ("queued", "running"):
        assert time.monotonic() < deadline, "the batch did not end"
        time.sleep(0.02)
    return reply


def test_l10_a_batch_is_asked_on_the_account_of_the_key_that_sent_it(tmp_path):
    """Else a key could ask as much as it likes, later."""
    with installation(tmp_path) as place:
        place.server.tenants.engine_of("acme").ingest_text(LEASE, title="Lease", source="lease")
        key = place.key("acme", "read", limits=Limits(tokens_per_day=25))
        questions = [f"{ASK['question']} Asked {number} times." for number in range(12)]
        with place.client(key) as client:
            batch = client.post("/v1/batches", json={"questions": questions}).json()["id"]
            finished(client, batch)
            results = client.get(f"/v1/batches/{batch}/results").text.splitlines()
        refused = [line for line in results if "quota_exceeded" in line]
        assert len(results) == 12 and 1 <= 12 - len(refused) <= 4  # four are asked at a time, and take turns at the end
        assert all("used up" in line for line in refused)
        assert 25 <= spent_by(place, key) < 25 + 40


@pytest.mark.parametrize("configured", [True, False], ids=["configured key", "local user"])
def test_l10_a_batch_of_who_has_no_row_is_on_the_account_of_their_questions(tmp_path, configured):
    server = {"api_key": "the operator's own secret key"} if configured else {}
    with installation(tmp_path, server=server) as place:
        place.server.engine.ingest_text(LEASE, title="Lease", source="lease")
        with place.client(server.get("api_key"), LOCAL) as client:
            client.base_url = "http://127.0.0.1"
            answer = client.post("/v1/ask", json=ASK).json()
            batch = client.post("/v1/batches", json={"questions": [ASK["question"]]}).json()["id"]
            assert finished(client, batch)["status"] == "ready"
        account = SqlUsage(place.store._database, "local").spent(datetime.now(UTC).date().isoformat())
        assert account == {CONFIGURED if configured else "": 2 * sum(answer["usage"].values())}


@pytest.mark.parametrize("becomes", ["revoked", "forgotten", "expired"])
def test_a1_the_batch_of_a_key_that_opens_nothing_any_more_is_not_asked(tmp_path, becomes):
    with installation(tmp_path) as place:
        place.server.tenants.engine_of("acme").ingest_text(LEASE, title="Lease", source="lease")
        key, other = place.key("acme", "read"), place.key("acme", "read")
        batch = (
            place.client(key).post("/v1/batches", json={"questions": [ASK["question"]]}).json()["id"]
        )  # no worker yet
        if becomes == "expired":
            with place.store._database.write() as connection:
                connection.execute(update(api_keys).values(expires_at=now()).where(api_keys.c.id == key.split("_")[1]))
        else:
            place.store.revoke(key.split("_")[1])
        if becomes == "forgotten":
            assert place.store.prune() == 1
        with place.client(other) as client:
            shown = finished(client, batch)
            assert (shown["status"], shown["error"]["code"]) == ("failed", "unauthorized")
        assert spent_by(place, key) == 0


def test_a1_what_a_suspended_tenant_left_in_the_queue_is_not_done(tmp_path):
    with installation(tmp_path) as place:
        key, witness = place.key("acme", "read", "write"), place.key("local", "admin")
        accepted = (
            place.client(key).post("/v1/documents", json={"text": LEASE, "title": "Lease"}).json()["documents"][0]
        )
        place.store.suspend("acme")
        jobs = place.server.jobs_of("acme")
        with place.client(witness):
            deadline = time.monotonic() + 60
            while not jobs.get(accepted["job_id"]).status.finished:
                assert time.monotonic() < deadline, "the job did not end"
                time.sleep(0.02)
        assert jobs.get(accepted["job_id"]).error.code == "tenant_suspended"
        assert place.server.tenants.engine_of("acme").list_documents() == []


# -- what may be stored ------------------------------------------------------------------------------------------------


def test_c5_a_tenant_stores_no_more_documents_and_characters_than_it_may(tmp_path):
    with installation(tmp_path) as place:
        key = place.key("small", "read", "write")
        place.store.limit("small", Limits(documents=3, characters=1000))
        engine = place.server.tenants.engine_of("small")
        outcomes = [engine.ingest_text("Rent. " * 60, source=f"doc {number}") for number in range(3)]
        assert [outcome.error and outcome.error.code for outcome in outcomes] == [None, None, "quota_exceeded"]
        assert "1,000 characters" in outcomes[2].error.message
        kept = SqlUsage(place.store._database, "small").stored()
        assert kept[1] <= 1000
        again = engine.ingest_text("Rent, and more. " * 25, source="doc 0")  # a new version counts in place of the old
        assert again.error is None
        refused = place.client(key).post("/v1/documents", json={"text": "One more.", "title": "T"})
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        assert "retry-after" in refused.headers
        other = place.client(place.key("large", "write")).post("/v1/documents", json={"text": "One.", "title": "T"})
        assert other.status_code == 202


def test_c12_an_upload_that_was_taken_is_told_so_again_where_the_store_is_full_now(tmp_path):
    """Else who lost the reply and sends the request again is told that it failed."""
    with installation(tmp_path) as place:
        key = place.key("small", "read", "write")
        place.store.limit("small", Limits(documents=1))
        client = place.client(key, **{"Idempotency-Key": "monday"})
        first = client.post("/v1/documents", json={"text": LEASE})
        place.server.tenants.engine_of("small").ingest_text(LEASE, source="lease")
        again = client.post("/v1/documents", json={"text": LEASE})
        assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
        assert again.json() == first.json()
        reused = client.post("/v1/documents", json={"text": "Another."})
        assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
        for name in ("tuesday", "tuesday"):  # what is refused leaves no receipt
            new = place.client(key, **{"Idempotency-Key": name}).post("/v1/documents", json={"text": LEASE})
            assert (new.status_code, new.json()["code"]) == (429, "quota_exceeded")


def test_c5_documents_that_fail_take_places_too_and_no_more_than_there_are(tmp_path):
    """Else whoever has used up a quota writes rows without end by sending what cannot be read."""
    with installation(tmp_path) as place:
        place.store.limit("small", Limits(documents=2))
        engine = place.server.tenants.engine_of("small")
        assert engine.ingest_text(LEASE, source="lease").error is None
        failed = [engine.ingest_bytes(b"\x00\x01", f"{number}.pdf", source=f"{number}.pdf") for number in range(4)]
        assert [outcome.id is None for outcome in failed] == [False, True, True, True]
        assert "quota_exceeded" not in {outcome.error.code for outcome in failed}  # each says why it could not be read
        assert SqlUsage(place.store._database, "small").stored()[0] == 2
        assert engine.ingest_bytes(b"\x00\x02", "lease.pdf", source="lease").id is not None  # known, so no new place
        assert len(engine.list_documents()) == 2
