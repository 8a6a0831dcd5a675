"""What a request that outlasts the drain is told, message by message."""

from __future__ import annotations

import anyio
import pytest

from service.api.draining import Drain, Draining

EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8")]
JSON = [(b"content-type", b"application/json")]


def drained(*said, path="/v1/ask", late=()):
    """What a client receives of an application that says something, never ends, and says more when it is cancelled."""
    received = []
    drain = Drain()

    async def app(scope, receive, send):
        try:
            for message in said:
                await send(message)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for message in late:
                    await send(message)

    async def receive():
        await anyio.sleep_forever()

    async def send(message):
        received.append(message)

    async def run():
        door = Draining(app, drain=drain)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(door, {"type": "http", "path": path, "headers": []}, receive, send)
                await anyio.wait_all_tasks_blocked()
                await drain.run(0.0)
                if drain.running:  # left alone: nothing can be said inside its body
                    group.cancel_scope.cancel()

    anyio.run(run)
    return received


def start(headers, status=200):
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data, more=True):
    return {"type": "http.response.body", "body": data, "more_body": more}


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/chat/completions"])
def test_c8_a_stream_ends_with_an_error_and_nothing_comes_behind_it(path):
    said = [start(EVENTS), body(b"data: a\n\n")]
    received = drained(*said, path=path, late=[body(b"data: too late\n\n", more=False)])
    assert received[:2] == said
    (last,) = received[2:]
    assert last["body"].startswith(b"event: error\ndata: {") and b'"code":"shutting_down"' in last["body"]
    assert (b'"error":{' in last["body"]) is (path == "/v1/chat/completions")
    assert not last["more_body"]


def test_c8_who_has_no_answer_yet_gets_the_503_once_and_is_told_to_connect_anew():
    head, text = drained(late=[start(JSON), body(b"{}", more=False)])
    assert head["status"] == 503 and not text.get("more_body")
    assert {(b"connection", b"close"), (b"retry-after", b"5")} <= set(head["headers"])
    assert b'"code":"shutting_down"' in text["body"]


def test_c8_a_body_that_is_half_sent_is_left_alone():
    said = [start(JSON), body(b'{"a": ')]
    assert drained(*said) == said
