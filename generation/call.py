"""One call to one model server: what was answered, or why not and what may be done about it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from domain.errors import GenerationError, GeneratorBadResponse, GeneratorTimeout, GeneratorUnreachable
from generation.arriving import ArrivingAnswer, truncated
from generation.endpoint import Endpoint
from generation.reply import limited_text, read_reply
from generation.upstream import RETRYABLE_STATUSES, is_failure, refused, retry_delay

_MAX_ERROR_BYTES = 8 * 1024  # enough to recognise a refusal
_OPENED = "connect_tcp.complete"  # httpcore's names for the moments after TCP, and after TLS
_CONNECTED = "send_request_headers.started"


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that gave no answer.

    again_in: seconds after which the same server may be asked again; None where that is useless.
    up: what the call says of the server's health; None where it says nothing.
    reworded: the server did not know a field of the request, which is left out from now on.
    """

    error: GenerationError
    again_in: float | None = None
    up: bool | None = None
    reworded: bool = False


class Call:
    """`attempt` counts the calls to this server within one request, from 0; `answer` takes what arrives."""

    def __init__(self, endpoint: Endpoint, answer: ArrivingAnswer, attempt: int, give_up_at: float | None) -> None:
        """`give_up_at`: the moment on the loop's clock by which the first token must be there, where it has one."""
        self.connected = False
        self._endpoint = endpoint
        self._answer = answer
        self._attempt = attempt
        self._give_up_at = give_up_at
        self._deadline = asyncio.timeout(None)
        self._opened: Any = None  # a connection that is not yet httpcore's to close

    async def make(self, client: httpx.AsyncClient, body: Mapping[str, Any], connect_seconds: float) -> Failure | None:
        """None when it was answered. Raises GenerationError for what broke after the first token."""
        self._answer.add_listener(self._alive)
        self._deadline = asyncio.timeout(connect_seconds)
        try:
            async with self._deadline:
                failure = await self._post(client, body, httpx.Timeout(None, connect=connect_seconds))
        except TimeoutError:
            failure = Failure(self._no_first_token() if self.connected else self._unreachable(), up=False)
        except (httpx.HTTPError, GenerationError) as error:
            if self._answer.alive:
                raise (error if isinstance(error, GenerationError) else truncated()) from None
            failure = self._failure_of(error)
        finally:
            if self._opened is not None:  # cancelled in the handshake, which httpcore leaves open
                await self._opened.aclose()
        if failure is not None and failure.up is not None:
            (self._endpoint.breaker.success if failure.up else self._endpoint.breaker.failure)()
        return failure

    async def _post(self, client: httpx.AsyncClient, body: Mapping[str, Any], timeout: httpx.Timeout) -> Failure | None:
        endpoint, answer = self._endpoint, self._answer
        said = endpoint.dialect.body({"model": endpoint.model, **body})
        extensions = {"trace": self._trace}
        async with client.stream(
            "POST", endpoint.url, json=said, headers=endpoint.headers, timeout=timeout, extensions=extensions
        ) as reply:
            self._is_connected()
            if reply.status_code != 200:
                return self._refusal(reply, await limited_text(reply, _MAX_ERROR_BYTES))
            answer.begun = True
            await read_reply(reply, answer, endpoint.where)
        if answer.alive or answer.complete:
            return None
        raise truncated()

    async def _trace(self, event: str, details: Mapping[str, Any]) -> None:
        if event.endswith(_OPENED):
            self._opened = details["return_value"]
        elif event.endswith(_CONNECTED):
            self._opened = None
            self._is_connected()

    def _is_connected(self) -> None:
        if not self.connected:
            self.connected = True
            self._deadline.reschedule(self._give_up_at)

    def _alive(self) -> None:
        self._deadline.reschedule(None)
        self._endpoint.breaker.success()

    def _refusal(self, reply: httpx.Response, said: str) -> Failure:
        """What a status other than 200 leads to."""
        status = reply.status_code
        error = refused(status, said, self._endpoint.where, reply.headers)
        if self._endpoint.dialect.learn(status, said):
            return Failure(error, again_in=0.0, up=True, reworded=True)
        again_in = retry_delay(self._attempt, reply.headers) if status in RETRYABLE_STATUSES else None
        return Failure(error, again_in, up=not is_failure(status))  # else it is at work, and minds this request

    def _failure_of(self, error: httpx.HTTPError | GenerationError) -> Failure:
        """What an error before the first token leads to."""
        soon = retry_delay(self._attempt, {})
        if isinstance(error, httpx.ConnectTimeout):  # waited long enough already: a second wait would help nobody
            return Failure(self._unreachable(), up=False)
        if isinstance(error, httpx.ConnectError):
            return Failure(self._unreachable(), soon, up=False)
        if isinstance(error, httpx.TransportError):
            return Failure(truncated() if self._answer.begun else self._broken_off(), soon, up=False)
        if isinstance(error, httpx.HTTPError):
            return Failure(GeneratorBadResponse(f"The reply of the server at {self._endpoint.where} cannot be read."))
        return Failure(error, soon, up=False) if error.retryable else Failure(error)

    def _unreachable(self) -> GeneratorUnreachable:
        return GeneratorUnreachable(
            f"The language model server at {self._endpoint.where} cannot be reached; check that it runs and that "
            "base_url is right."
        )

    def _broken_off(self) -> GeneratorUnreachable:
        return GeneratorUnreachable(
            f"The language model server at {self._endpoint.where} broke the connection before it answered; try again."
        )

    def _no_first_token(self) -> GeneratorTimeout:
        return GeneratorTimeout(f"The language model server at {self._endpoint.where} gave no first token in time.")
