"""The engine's verbs over HTTP: `Client`, and `AsyncClient` for asyncio.

    with Client("http://127.0.0.1:8000", api_key="...") as client:
        answer = client.ask("Who signs the contract?", max_tokens=300)

Names, keyword arguments, result types and errors are the engine's. Each verb is a plan of `client_plans.py`; the two
clients differ only in how they carry a plan out, so they cannot drift apart.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing, closing
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from domain.answers import Answer
from domain.errors import FoveaError
from fovea import client_batches, client_plans
from fovea.client_calls import Call, Pause, Plan, Walk, may_be_repeated
from fovea.client_http import Patient, options, read, refusal, unreachable
from fovea.client_replies import EventReader, ServiceError
from service.question_pool import ask_all

__all__ = ["AsyncClient", "Client", "ServiceError"]

P = ParamSpec("P")
T = TypeVar("T")

_BATCH_WORKERS = 4  # questions in flight


def _sync(build: Callable[P, Plan[T]]) -> Callable[Concatenate[Client, P], T]:
    @functools.wraps(build)
    def verb(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client._run(client._patiently(build(*args, **kwargs)))

    return verb


def _async(build: Callable[P, Plan[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    @functools.wraps(build)
    async def verb(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client._run(client._patiently(build(*args, **kwargs)))

    return verb


def _sync_stream(build: Callable[P, Plan[Answer]]) -> Callable[Concatenate[Client, P], Iterator[str | Answer]]:
    def stream(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[str | Answer]:
        """Yield the answer's text in parts, then the Answer. Closing the iterator cancels the answer on the server."""
        return client._stream(client_plans.stream_call(build(*args, **kwargs)))

    return stream


def _async_stream(
    build: Callable[P, Plan[Answer]],
) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[str | Answer]]:
    def stream(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[str | Answer]:
        """Yield the answer's text in parts, then the Answer. Closing the iterator cancels the answer on the server."""
        return client._stream(client_plans.stream_call(build(*args, **kwargs)))

    return stream


class Client(Patient):
    """The engine's verbs over HTTP. `transport` takes the place of the network, for tests.

    A call that the server puts off (429 or 503 with Retry-After) is made again where it cannot do anything twice, for
    as long as `patience_seconds`; a batch waits ten times that without an answer. 0: never.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 150.0,
        patience_seconds: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._http = httpx.Client(**options(base_url, api_key, timeout_seconds), transport=transport)

    search = _sync(client_plans.search)
    ask = _sync(client_plans.ask)
    stream = _sync_stream(client_plans.ask)
    explain = _sync(client_plans.explain)
    ingest = _sync(client_plans.ingest)
    ingest_bytes = _sync(client_plans.ingest_bytes)
    ingest_text = _sync(client_plans.ingest_text)
    list_documents = _sync(client_plans.list_documents)
    get_document = _sync(client_plans.get_document)
    document = _sync(client_plans.document)
    delete = _sync(client_plans.delete)
    list_collections = _sync(client_plans.list_collections)
    create_collection = _sync(client_plans.create_collection)
    delete_collection = _sync(client_plans.delete_collection)
    create_batch = _sync(client_batches.create_batch)
    get_batch = _sync(client_batches.get_batch)
    wait_for_batch = _sync(client_batches.wait_for_batch)
    list_batches = _sync(client_batches.list_batches)
    batch_results = _sync(client_batches.batch_results)
    cancel_batch = _sync(client_batches.cancel_batch)
    delete_batch = _sync(client_batches.delete_batch)

    def batch(self, questions: Iterable[str], **options: Any) -> Iterator[Answer | FoveaError]:
        """Answers in the order of the questions; a question that fails gives its error in the answer's place."""
        return ask_all(
            lambda question: self._run(client_plans.ask(question, **options)), questions, self._batch_patience()
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, plan: Plan[T]) -> T:
        walk = Walk(plan)
        while walk.wanted is not None:
            try:
                reply = self._do(walk.wanted)
            except (FoveaError, OSError) as error:
                walk.fail(error)
            else:
                walk.reply(reply)
        return walk.result

    def _do(self, wanted: Call | Pause) -> Any:
        if isinstance(wanted, Pause):
            time.sleep(wanted.seconds)
            return None
        try:
            response = self._http.request(**wanted.arguments())
        except httpx.TransportError as error:
            raise unreachable(error, self._http.base_url) from error
        return read(wanted, response)

    def _stream(self, call: Call) -> Iterator[str | Answer]:
        reader = EventReader()
        try:
            with closing(self._begun(call)) as response:
                for data in response.iter_bytes():
                    yield from reader.feed(data)
        except httpx.TransportError as error:
            raise unreachable(error, self._http.base_url) from error
        reader.finish()

    def _begun(self, call: Call) -> httpx.Response:
        """The reply to a stream's request, its head read: nothing was shown yet, so it may be asked for again."""
        patience = self._patience()
        while True:
            response = self._http.send(self._http.build_request(**call.arguments()), stream=True)
            if response.is_success:
                return response
            with closing(response):
                error = refusal(response, response.read())
            wait = patience.wait_for(error) if may_be_repeated(call, error) else None
            if wait is None:
                raise error
            time.sleep(wait)


class AsyncClient(Patient):
    """`Client` for asyncio: the same verbs, awaited; `stream` is iterated with `async for`."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 150.0,
        patience_seconds: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._http = httpx.AsyncClient(**options(base_url, api_key, timeout_seconds), transport=transport)

    search = _async(client_plans.search)
    ask = _async(client_plans.ask)
    stream = _async_stream(client_plans.ask)
    explain = _async(client_plans.explain)
    ingest = _async(client_plans.ingest)
    ingest_bytes = _async(client_plans.ingest_bytes)
    ingest_text = _async(client_plans.ingest_text)
    list_documents = _async(client_plans.list_documents)
    get_document = _async(client_plans.get_document)
    document = _async(client_plans.document)
    delete = _async(client_plans.delete)
    list_collections = _async(client_plans.list_collections)
    create_collection = _async(client_plans.create_collection)
    delete_collection = _async(client_plans.delete_collection)
    create_batch = _async(client_batches.create_batch)
    get_batch = _async(client_batches.get_batch)
    wait_for_batch = _async(client_batches.wait_for_batch)
    list_batches = _async(client_batches.list_batches)
    batch_results = _async(client_batches.batch_results)
    cancel_batch = _async(client_batches.cancel_batch)
    delete_batch = _async(client_batches.delete_batch)

    async def batch(self, questions: Iterable[str], **options: Any) -> AsyncIterator[Answer | FoveaError]:
        """Answers in the order of the questions; a question that fails gives its error in the answer's place."""
        patience = self._batch_patience()

        async def one(question: str) -> Answer | FoveaError:
            while True:
                try:
                    answer = await self._run(client_plans.ask(question, **options))
                except FoveaError as error:
                    wait = patience.wait_for(error)
                    if wait is None:
                        return error
                else:
                    patience.answered()
                    return answer
                await asyncio.sleep(wait)

        pending: deque[asyncio.Task[Answer | FoveaError]] = deque()
        try:
            for question in questions:
                pending.append(asyncio.create_task(one(question)))
                if len(pending) >= _BATCH_WORKERS:
                    yield await pending.popleft()
            while pending:
                yield await pending.popleft()
        finally:
            for task in pending:
                task.cancel()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, plan: Plan[T]) -> T:
        walk = Walk(plan)
        while walk.wanted is not None:
            try:
                reply = await self._do(walk.wanted)
            except (FoveaError, OSError) as error:
                walk.fail(error)
            else:
                walk.reply(reply)
        return walk.result

    async def _do(self, wanted: Call | Pause) -> Any:
        if isinstance(wanted, Pause):
            await asyncio.sleep(wanted.seconds)
            return None
        arguments = await asyncio.to_thread(wanted.arguments)  # reads the file to upload
        try:
            response = await self._http.request(**arguments)
        except httpx.TransportError as error:
            raise unreachable(error, self._http.base_url) from error
        return read(wanted, response)

    async def _stream(self, call: Call) -> AsyncIterator[str | Answer]:
        reader = EventReader()
        try:
            async with aclosing(await self._begun(call)) as response:
                async for data in response.aiter_bytes():
                    for item in reader.feed(data):
                        yield item
        except httpx.TransportError as error:
            raise unreachable(error, self._http.base_url) from error
        reader.finish()

    async def _begun(self, call: Call) -> httpx.Response:
        """The reply to a stream's request, its head read: nothing was shown yet, so it may be asked for again."""
        patience = self._patience()
        while True:
            response = await self._http.send(self._http.build_request(**call.arguments()), stream=True)
            if response.is_success:
                return response
            async with aclosing(response):
                error = refusal(response, await response.aread())
            wait = patience.wait_for(error) if may_be_repeated(call, error) else None
            if wait is None:
                raise error
            await asyncio.sleep(wait)
