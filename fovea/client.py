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
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from domain.answers import Answer
from domain.errors import ConfigurationError, FoveaError
from fovea import client_batches, client_plans
from fovea.client_calls import Call, Pause, Plan, Walk
from fovea.client_replies import EventReader, ServiceError, lines_of_result, result_of
from service.question_pool import ask_all

__all__ = ["AsyncClient", "Client", "ServiceError"]

P = ParamSpec("P")
T = TypeVar("T")

_BATCH_WORKERS = 4  # questions in flight


def _options(base_url: str, api_key: str | None, timeout_seconds: float) -> dict[str, Any]:
    if not base_url.startswith(("http://", "https://")):
        raise ConfigurationError(f"The address {base_url!r} must begin with http:// or https://.")
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    # An OpenAI client wants the address with /v1, and who has that one at hand will give it here too.
    return {"base_url": base_url.rstrip("/").removesuffix("/v1"), "headers": headers, "timeout": timeout_seconds}


def _unreachable(error: httpx.TransportError, base_url: Any) -> ServiceError:
    if isinstance(error, httpx.TimeoutException):
        return ServiceError(f"The server at {base_url} did not answer in time.", code="service_timeout")
    return ServiceError(f"The server at {base_url} cannot be reached ({error}); is it running?")


def _read(wanted: Call, response: httpx.Response) -> Any:
    read = lines_of_result if wanted.lines else result_of
    return read(response.status_code, response.content)


def _sync(build: Callable[P, Plan[T]]) -> Callable[Concatenate[Client, P], T]:
    @functools.wraps(build)
    def verb(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client._run(build(*args, **kwargs))

    return verb


def _async(build: Callable[P, Plan[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    @functools.wraps(build)
    async def verb(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client._run(build(*args, **kwargs))

    return verb


def _sync_stream(build: Callable[P, Plan[Answer]]) -> Callable[Concatenate[Client, P], Iterator[str | Answer]]:
    def stream(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[str | Answer]:
        """Yield the answer's text in parts, then the Answer. Closing the iterator cancels the answer on the server."""
        return client._stream(client_plans.stream_arguments(build(*args, **kwargs)))

    return stream


def _async_stream(
    build: Callable[P, Plan[Answer]],
) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[str | Answer]]:
    def stream(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[str | Answer]:
        """Yield the answer's text in parts, then the Answer. Closing the iterator cancels the answer on the server."""
        return client._stream(client_plans.stream_arguments(build(*args, **kwargs)))

    return stream


class Client:
    """The engine's verbs over HTTP. `transport` takes the place of the network, for tests."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 150.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(**_options(base_url, api_key, timeout_seconds), transport=transport)

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
        return ask_all(functools.partial(self.ask, **options), questions)

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
            raise _unreachable(error, self._http.base_url) from error
        return _read(wanted, response)

    def _stream(self, arguments: dict[str, Any]) -> Iterator[str | Answer]:
        reader = EventReader()
        try:
            with self._http.stream(**arguments) as response:
                if not response.is_success:
                    result_of(response.status_code, response.read())
                for data in response.iter_bytes():
                    yield from reader.feed(data)
        except httpx.TransportError as error:
            raise _unreachable(error, self._http.base_url) from error
        reader.finish()


class AsyncClient:
    """`Client` for asyncio: the same verbs, awaited; `stream` is iterated with `async for`."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 150.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(**_options(base_url, api_key, timeout_seconds), transport=transport)

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

        async def one(question: str) -> Answer | FoveaError:
            try:
                return await self.ask(question, **options)
            except FoveaError as error:
                return error

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
            raise _unreachable(error, self._http.base_url) from error
        return _read(wanted, response)

    async def _stream(self, arguments: dict[str, Any]) -> AsyncIterator[str | Answer]:
        reader = EventReader()
        try:
            async with self._http.stream(**arguments) as response:
                if not response.is_success:
                    result_of(response.status_code, await response.aread())
                async for data in response.aiter_bytes():
                    for item in reader.feed(data):
                        yield item
        except httpx.TransportError as error:
            raise _unreachable(error, self._http.base_url) from error
        reader.finish()
