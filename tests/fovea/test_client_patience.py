"""A server that says "come back later" is come back to: by a batch for long, by a call where that is safe (C5, A9)."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.answers import Answer
from domain.errors import GenerationError, GeneratorUnreachable, Overloaded, QuotaExceeded, StorageError, UsageError
from domain.jobs import CollectionInfo
from domain.retry_after import seconds_of_retry_after
from fovea.client import AsyncClient, Client, ServiceError
from service.api.errors import Problem, problem_of
from service.patience import Patience
from service.question_pool import ask_all
from tests.service.api_fakes import FakeEngine

QUESTIONS = [f"question {number}" for number in range(12)]
BUSY = problem_of(Overloaded("The server is busy; try again in a few seconds."))
MINUTE = Problem(429, "quota_exceeded", "These are more requests a minute than the key may send.", True, 1)
LIMITED = GenerationError("The model's server refuses further requests.", code="llm_rate_limited")
LIMITED.retryable = True


class Server:
    """Answers every question but those that its `refusals` put off: so many times each, with this Retry-After."""

    def __init__(self, problem, times, retry_after="0"):
        self.problem, self.times, self.retry_after = problem, times, retry_after
        self.asked = Counter()
        self.lock = threading.Lock()
        self.engine = FakeEngine({"lease.txt": "Rent is 900 euros a month."})

    def __call__(self, request):
        body = json.loads(request.content or b"{}")
        name = body.get("question", f"{request.method} {request.url.path}")
        with self.lock:
            self.asked[name] += 1
            refused = self.asked[name] <= self.times
        if refused:
            headers = {} if self.retry_after is None else {"retry-after": self.retry_after}
            return httpx.Response(self.problem.status, json=self.problem.to_dict("r-1"), headers=headers)
        if request.url.path == "/v1/collections":
            made = CollectionInfo("x", 0, 0, None, None).to_dict()
            return httpx.Response(200, json={"collections": []} if request.method == "GET" else made)
        if request.url.path == "/v1/search":
            return httpx.Response(200, json=self.engine.search(name).to_dict())
        answer = self.engine.ask(name).to_dict()
        if body.get("stream"):
            return httpx.Response(200, content=b"event: answer\ndata: " + json.dumps(answer).encode() + b"\n\n")
        return httpx.Response(200, json=answer)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Who is asked to wait for 0 seconds waits for a hundredth."""
    monkeypatch.setattr("service.patience._SHORTEST_SECONDS", 0.01)


def client_of(server, **options):
    return Client("http://fovea", transport=httpx.MockTransport(server), **options)


def async_client_of(server, **options):
    return AsyncClient("http://fovea", transport=httpx.MockTransport(server), **options)


async def answers_of(server, **options):
    async with async_client_of(server, **options) as client:
        return [item async for item in client.batch(QUESTIONS)]


@pytest.mark.parametrize("problem", [BUSY, MINUTE, problem_of(LIMITED)], ids=lambda problem: problem.code)
def test_c5_a_batch_goes_on_when_the_server_was_busy(problem):
    with client_of(Server(problem, times=2)) as client:
        blocking = list(client.batch(QUESTIONS))
    awaited = asyncio.run(answers_of(Server(problem, times=2)))
    for answers in (blocking, awaited):
        assert [answer.search.question for answer in answers] == QUESTIONS


def test_c5_a_batch_ends_when_the_server_stays_busy_or_asks_for_too_long_a_wait():
    for server in (Server(BUSY, 10**9), Server(MINUTE, 10**9, retry_after="40000")):
        with client_of(server, patience_seconds=0.02) as client, pytest.raises((Overloaded, QuotaExceeded)):
            list(client.batch(QUESTIONS))
        refused = asyncio.run(answers_of(server, patience_seconds=0.02))
        assert {type(error) for error in refused} <= {Overloaded, QuotaExceeded}


def test_c5_a_local_batch_waits_too_and_what_never_got_better_stands_in_its_place():
    refused = Counter()

    def ask(question):
        refused[question] += 1
        if question == "never" or refused[question] < 3:
            error = (
                GeneratorUnreachable("Later.", code="llm_rate_limited") if question == "never" else Overloaded("Full.")
            )
            error.retry_after_seconds = 0
            raise error
        return question

    one, never, other = ask_all(ask, ["one", "never", "other"], Patience(0.2))
    assert (one, other, never.code) == ("one", "other", "llm_rate_limited")


def test_a_batch_that_is_left_does_not_wait_any_longer():
    def ask(question):
        if question == "answered":
            return question
        error = Overloaded("Full.")
        error.retry_after_seconds = 3600
        raise error

    answers = ask_all(ask, ["answered", "busy", "busy"], Patience(1e9))
    assert next(answers) == "answered"
    answers.close()  # or it would hang for an hour


@pytest.mark.parametrize("call", [
    lambda client: client.ask("q"), lambda client: client.search("q"), lambda client: client.list_collections(),
    lambda client: list(client.stream("q"))[-1],
])  # fmt: skip
@pytest.mark.parametrize("problem", [BUSY, MINUTE, problem_of(StorageError("locked"))], ids=lambda item: item.code)
def test_c5_a_call_that_does_nothing_twice_is_made_again(call, problem):
    server = Server(problem, times=2)
    with client_of(server) as client:
        call(client)
    assert list(server.asked.values()) == [3]


def test_c5_what_may_not_happen_twice_is_made_again_only_where_nothing_was_done():
    busy, broken = Server(BUSY, times=2), Server(problem_of(StorageError("locked")), times=2)
    with client_of(busy) as client:
        assert client.create_collection("x").name == "x"
    with client_of(broken) as client, pytest.raises(StorageError):
        client.create_collection("x")
    assert (busy.asked.total(), broken.asked.total()) == (3, 1)


def test_c5_a_call_is_not_repeated_for_the_servers_own_model_nor_without_being_asked_to_nor_for_ever():
    once = [
        (Server(problem_of(LIMITED), 9), {}, GenerationError),
        (Server(problem_of(UsageError("Too long.")), 9), {}, UsageError),
        (Server(problem_of(StorageError("locked")), 9, retry_after=None), {}, StorageError),
        (Server(BUSY, 9), {"patience_seconds": 0}, Overloaded),
        (Server(BUSY, 9, retry_after="31"), {}, Overloaded),
    ]
    for server, options, kind in once:
        with client_of(server, **options) as client, pytest.raises(kind):
            client.ask("q")
        assert server.asked["q"] == 1


def test_the_asyncio_client_waits_for_a_call_and_for_a_stream_as_well():
    server = Server(BUSY, times=2)

    async def both():
        async with async_client_of(server) as client:
            return [await client.ask("asked"), *[item async for item in client.stream("streamed")]]

    answers = asyncio.run(both())
    assert all(isinstance(item, Answer) for item in answers)
    assert server.asked == {"asked": 3, "streamed": 3}


def test_an_error_says_when_to_come_back():
    with client_of(Server(MINUTE, 9, retry_after="17"), patience_seconds=0) as client:
        with pytest.raises(QuotaExceeded) as refused:
            client.ask("q")
        assert (refused.value.retry_after_seconds, refused.value.retryable) == (17.0, True)
    with client_of(Server(Problem(429, "too_many_wrong_keys", "Guesses.", True), 9, "5")) as client:
        with pytest.raises(ServiceError) as refused:
            client.delete_collection("x")
        assert refused.value.retry_after_seconds == 5.0
    html = httpx.Response(503, text="<html>", headers={"retry-after": "4"})
    with Client("http://proxy", transport=httpx.MockTransport(lambda _: html), patience_seconds=0) as client:
        with pytest.raises(ServiceError) as refused:
            client.search("q")
        assert (refused.value.retry_after_seconds, refused.value.retryable) == (4.0, True)


@given(
    asked=st.floats(0, 100),
    waits=st.integers(1, 60),
    chance=st.floats(0, 1),
    seconds=st.floats(0, 1000),
)
def test_patience_waits_at_least_as_long_as_asked_and_ends_in_time(asked, waits, chance, seconds):
    now = [1000.0]
    patience = Patience(seconds, clock=lambda: now[0], chance=lambda: chance)
    error = Overloaded("Full.")
    error.retry_after_seconds = asked
    for _ in range(waits):
        wait = patience.wait_for(error)
        if wait is None:
            break
        assert max(asked, 0.01) <= wait <= 1.25 * max(asked, 30)
        now[0] += wait
    assert now[0] - 1000 <= seconds + 1e-6


def test_patience_begins_anew_with_an_answer_and_asks_less_and_less_often_before():
    now = [0.0]
    patience = Patience(100, clock=lambda: now[0], chance=lambda: 0.0)
    error = Overloaded("Full.")  # which asks for 2 seconds
    waits = []
    while (wait := patience.wait_for(error)) is not None:
        waits.append(wait)
        now[0] += wait
    assert waits == [2, 2, 2, 3, 4.5, 6.75, 10.125, 15.1875, 22.78125, 30]  # at last half of what was waited
    patience.answered()
    assert patience.wait_for(error) == 2


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5", 5), ("0", 0), ("1.5", 1.5), ("-1", None), ("nan", None), ("soon", None), ("", None), (None, None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 99 Oct 2015 07:28:00 GMT", None)],
)  # fmt: skip
def test_u4_retry_after_is_seconds_or_a_date(value, seconds):
    assert seconds_of_retry_after(value) == seconds


def test_u4_a_date_to_come_is_the_time_until_then():
    assert seconds_of_retry_after("Fri, 31 Dec 9999 23:59:59 GMT") > 10**9
