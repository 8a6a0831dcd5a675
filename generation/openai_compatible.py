"""Answers from any server that speaks OpenAI's chat completions: streamed, with deadlines, and honest about failure.

The exchange runs as one asyncio task in a thread of its own, because only there deadlines can hold over everything
that a server may do. The caller's thread, whatever it is (an event loop may run in it, as in a notebook), only takes
text from a queue; when it stops listening, the task is cancelled and the connection closed.

A stream counts as an answer only when it says so, with a `finish_reason` or `[DONE]`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from domain.context import Context
from domain.protocols import TokenCounter
from generation.background import BackgroundCall
from generation.endpoint import Endpoint, ModelServer, tls_context
from generation.exchange import Deadlines, Exchange, Line
from generation.stream import Generation, Outcome


class OpenAICompatibleGenerator:
    """One model behind one base URL, and perhaps a second one that stands in for it.

    Safe to share between threads: all state of a call lives in the call, and what is known of a server's health is
    shared on purpose.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        counter: TokenCounter,
        *,
        api_key: str | None = None,
        second: ModelServer | None = None,
        context_window: int = 8_192,
        max_output_tokens: int = 1_024,
        temperature: float = 0.0,
        first_token_seconds: float = 30.0,
        total_seconds: float = 120.0,
        connect_seconds: float = 5.0,
        max_retries: int = 2,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`base_url` ends where `/chat/completions` begins, usually in `/v1`. `second` is asked where the first server
        fails before its first token. `clock` is that of the circuit breakers. Raises ConfigurationError.
        """
        self.model = model
        self.context_window = context_window
        self.max_output_tokens = max_output_tokens
        self._counter = counter
        self._temperature = temperature
        servers = [ModelServer(base_url, model, api_key), *([second] if second else [])]
        self._endpoints = [Endpoint(server, clock) for server in servers]
        deadlines = Deadlines(first_token_seconds, total_seconds, connect_seconds)
        self._line = Line(deadlines, max_retries, tls_context(self._endpoints), transport)

    def generate(self, context: Context) -> Generation:
        """The answer as it arrives. Raises GenerationError, also in the middle. The call starts with the first part."""
        outcome = Outcome()
        body = self._body(context)
        call = BackgroundCall(lambda emit: Exchange(self._endpoints, body, outcome, emit, self._line).run())
        return Generation(call.parts(), outcome, call.cancel)

    def count_tokens(self, text: str) -> int:
        """Tokens in the counter that was given for this model."""
        return self._counter.count(text)

    def _body(self, context: Context) -> dict[str, Any]:
        # Prompt and answer share the window, so the answer may be no longer than what the prompt left free for it.
        longest = min(self.max_output_tokens, context.bill.reserve or self.max_output_tokens)
        return {
            "messages": [message.to_dict() for message in context.messages],
            "max_tokens": longest,
            "temperature": self._temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
