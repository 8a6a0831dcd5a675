"""A model server as the measurement needs it: nothing cached, nothing retried, and what it says about its own time.

Every request streams and asks for usage. The time to read a prompt is, in this order of rank:

    the server's own timing    `timings.prompt_ms`, as llama.cpp's server reports it: reading the prompt alone
    time to the first token    from sending the request to the first text: the way there and back, any queue, and the
                               making of that one token are in it, and nothing is taken off

`cache_prompt: false` asks the server to forget the prompt before. All prompts of one question share their beginning,
so a kept one would make whichever comes second look fast. Servers that know no such field ignore it; how many tokens
were taken from a cache all the same is read off the usage, so that a table can say so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import httpx
import orjson

from domain.asking import Message
from domain.errors import GeneratorBadResponse, GeneratorUnreachable
from generation.sse import EventStream
from generation.upstream import refused

BEYOND_WINDOW = "llm_context_length"  # the code of the error for a prompt that the model cannot hold
_SECONDS = httpx.Timeout(600.0, connect=5.0)  # a long prompt on a busy processor: a benchmark waits for it


def connected(base_url: str, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """A client for a server, with a new connection for every request; `transport` stands in for the network.

    Small servers hang up on a connection that was idle for seconds, and do so just when the next request is on its way.
    """
    single = transport or httpx.HTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))
    return httpx.Client(base_url=base_url, timeout=_SECONDS, transport=single, trust_env=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    prompt_tokens: as the server counts them, its chat template included. prompt_ms: milliseconds to read them.
    own_timing: whether those are the server's own, else they are the time to the first token. cached: tokens of the
    prompt that were not read anew. model: the last part of the name that the server gives its model.
    """

    text: str
    prompt_tokens: int
    prompt_ms: float
    own_timing: bool
    cached: int
    model: str


class Server:
    """One model behind an OpenAI-compatible API; `client` holds its base URL, which usually ends in `/v1`."""

    def __init__(self, client: httpx.Client, model: str) -> None:
        self._client, self._model = client, model

    def chat(self, messages: Sequence[Message], most: int) -> Reply:
        """The answer to messages in the model's own chat template, of at most `most` tokens.

        Raises GenerationError, with the code `BEYOND_WINDOW` where the prompt is too long for the model.
        """
        return self._ask("chat/completions", {"messages": [one.to_dict() for one in messages]}, most)

    def complete(self, prompt: str, most: int) -> Reply:
        """The rest of the line that `prompt` begins, of at most `most` tokens. Raises as `chat` does."""
        return self._ask("completions", {"prompt": prompt, "stop": ["\n"]}, most)

    def _ask(self, route: str, prompt: dict[str, Any], most: int) -> Reply:
        body = {
            "model": self._model,
            "max_tokens": most,
            "temperature": 0,
            "cache_prompt": False,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        try:
            return self._read(route, body | prompt)
        except httpx.TransportError as error:
            raise GeneratorUnreachable(
                f"The model server at {self._client.base_url} broke off ({type(error).__name__}); check that it runs, "
                "and --base-url."
            ) from error

    def _read(self, route: str, body: dict[str, Any]) -> Reply:
        arriving, events = _Arriving(), EventStream()
        started = time.perf_counter()
        with self._client.stream("POST", route, json=body) as response:
            if response.status_code != 200:
                said = response.read().decode("utf-8", "replace")
                raise refused(response.status_code, said, str(self._client.base_url), response.headers)
            for chunk in response.iter_bytes():
                for event in events.feed(chunk):
                    arriving.add(event, time.perf_counter() - started)
        for event in events.finish():
            arriving.add(event, time.perf_counter() - started)
        return arriving.reply()


@dataclass(slots=True)
class _Arriving:
    """A stream as far as it has come."""

    text: list[str] = field(default_factory=list)
    first_seconds: float | None = None
    finished: bool = False
    usage: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, Any] = field(default_factory=dict)
    model: str = ""

    def add(self, event: str, seconds: float) -> None:
        if event.strip() == "[DONE]":
            return
        data = orjson.loads(event)
        if "error" in data:
            raise GeneratorBadResponse("The model server broke off its answer with an error; look at its log.")
        self.model = data.get("model") or self.model
        self.usage = data.get("usage") or self.usage
        self.timings = data.get("timings") or self.timings
        for choice in data.get("choices", ()):
            self._say(choice.get("text") or (choice.get("delta") or {}).get("content") or "", choice, seconds)

    def _say(self, part: str, choice: dict[str, Any], seconds: float) -> None:
        self.text.append(part)
        self.finished = self.finished or choice.get("finish_reason") is not None
        if self.first_seconds is None and (part or self.finished):  # a role without text is no token
            self.first_seconds = seconds

    def reply(self) -> Reply:
        """Raises GeneratorBadResponse where the stream was cut off or says nothing of its usage."""
        if self.first_seconds is None or not self.finished:
            raise GeneratorBadResponse("The model server ended its answer without a finish_reason; look at its log.")
        if "prompt_tokens" not in self.usage:
            raise GeneratorBadResponse(
                "The model server reports no usage with its stream, so prompt tokens cannot be counted; take one that "
                "knows stream_options.include_usage."
            )
        own = self.timings.get("prompt_ms")
        details = self.usage.get("prompt_tokens_details") or {}
        return Reply(
            text="".join(self.text),
            prompt_tokens=int(self.usage["prompt_tokens"]),
            prompt_ms=1000 * self.first_seconds if own is None else float(own),
            own_timing=own is not None,
            cached=int(self.timings.get("cache_n") or details.get("cached_tokens") or 0),
            model=PurePath(self.model).name,
        )
