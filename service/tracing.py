"""Traces of requests in OpenTelemetry's form: one span a request, one for each of its stages. Off unless asked for.

    POST /v1/ask                 http.route, http.response.status_code, fovea.request_id
     ├─ encode  retrieve  rerank  build
     └─ generate  verify

A span holds times, codes and sizes; never a word of a question, a document or an answer. Where tracing is off nothing
of OpenTelemetry's SDK is imported and a stage costs one look at a context variable. Spans name their parent instead of
making it current: a streamed answer runs in a different thread, and context, for each of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from domain.errors import ConfigurationError
from domain.extras import install_line

Attributes = Mapping[str, str | int | float | bool]

_EXTRA = f"Traces need an extra; run: {install_line('otel')}"


class Trace(Protocol):
    """The span of one request, or of a part of it."""

    def part(self, name: str) -> Trace:
        """A span inside this one, which starts now."""
        ...

    def end(self, attributes: Attributes | None = None, *, name: str | None = None, failed: bool = False) -> None:
        """End the span; `name` replaces the one that it started with."""
        ...


class Traces(Protocol):
    """Where traces go."""

    def request(self, name: str, headers: Mapping[str, str]) -> Trace:
        """The span of a request that comes now, inside the caller's trace where the headers name one."""
        ...

    def close(self) -> None:
        """Send what was not sent yet."""
        ...


_request: ContextVar[Trace | None] = ContextVar("fovea_trace", default=None)


@contextmanager
def traced(trace: Trace) -> Iterator[None]:
    """A block whose stages, in whatever threads its context is taken to, are parts of `trace`."""
    token = _request.set(trace)
    try:
        yield
    finally:
        _request.reset(token)


def start_part(name: str) -> Callable[[bool], None] | None:
    """Start a part of the request at work, if that is traced: the function ends it and is told whether it failed."""
    trace = _request.get()
    if trace is None:
        return None
    part = trace.part(name)
    return lambda failed: part.end(failed=failed)


def open_traces(endpoint: str) -> Traces:
    """Traces that are sent to `endpoint` by OTLP over HTTP, for example "http://localhost:4318/v1/traces".

    Raises ConfigurationError where the extra is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise ConfigurationError(_EXTRA) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "fovea"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return OpenTelemetryTraces(provider)


class OpenTelemetryTraces:
    """Traces through a tracer provider of OpenTelemetry's SDK."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("fovea")
        self._read = TraceContextTextMapPropagator().extract
        self._kind = SpanKind.SERVER

    def request(self, name: str, headers: Mapping[str, str]) -> Trace:
        caller = self._read(dict(headers))
        return _Span(self._tracer, self._tracer.start_span(name, context=caller, kind=self._kind))

    def close(self) -> None:
        self._provider.shutdown()


class _Span:
    def __init__(self, tracer: Any, span: Any) -> None:
        self._tracer, self._span = tracer, span

    def part(self, name: str) -> Trace:
        from opentelemetry.trace import set_span_in_context

        return _Span(self._tracer, self._tracer.start_span(name, context=set_span_in_context(self._span)))

    def end(self, attributes: Attributes | None = None, *, name: str | None = None, failed: bool = False) -> None:
        from opentelemetry.trace import StatusCode

        if name is not None:
            self._span.update_name(name)
        self._span.set_attributes(dict(attributes or {}))
        if failed:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()
