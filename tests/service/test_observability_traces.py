"""Traces: a span a request with its stages inside, not a word of what was asked or said, nothing unless wanted."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, get_current_span

from domain.errors import ConfigurationError
from service.bootstrap import build_engine, build_server
from service.settings import EncoderSettings, ServerSettings, Settings
from service.stopwatch import Stopwatch
from service.tracing import OpenTelemetryTraces, open_traces, traced
from tests.service.api_fakes import LEASE, FakeEngine, local_client


class Recorded:
    """A Trace that keeps what it was told."""

    def __init__(self, name, headers=None):
        self.name, self.headers = name, headers
        self.parts, self.attributes, self.failed = [], {}, None

    def part(self, name):
        self.parts.append(Recorded(name))
        return self.parts[-1]

    def end(self, attributes=None, *, name=None, failed=False):
        self.name, self.attributes, self.failed = name or self.name, dict(attributes or {}), failed


class RecordedTraces:
    def __init__(self):
        self.requests = []

    def request(self, name, headers):
        self.requests.append(Recorded(name, headers))
        return self.requests[-1]

    def close(self):
        pass


@pytest.fixture
def traces():
    return RecordedTraces()


@pytest.fixture
def engine(tmp_path):
    with build_engine(Settings(data_dir=tmp_path, encoder=EncoderSettings(model="hashing"))) as engine:
        engine.ingest_text("The jetty is closed in winter.", source="secret-name")
        yield engine


ASKED = {"question": "When is the secret jetty closed?"}
CHAT = {"messages": [{"role": "user", "content": ASKED["question"]}]}
SEARCH = ["encode", "retrieve", "rerank", "build"]
ANSWER = [*SEARCH, "generate", "verify"]


@pytest.mark.parametrize(
    ("path", "body", "stages"),
    [
        ("/v1/search", ASKED, SEARCH),
        ("/v1/ask", ASKED, ANSWER),
        ("/v1/ask", {**ASKED, "stream": True}, ANSWER),
        ("/v1/chat/completions", CHAT, ANSWER),
        ("/v1/chat/completions", {**CHAT, "stream": True}, ANSWER),
    ],
)
def test_a_request_is_a_span_with_a_part_for_each_stage(engine, traces, path, body, stages):
    reply = local_client(engine, traces=traces).post(path, json=body, headers={"traceparent": "the caller's"})
    assert reply.status_code == 200
    (span,) = traces.requests
    assert span.name == f"POST {path}"
    assert span.headers["traceparent"] == "the caller's"
    assert [part.name for part in span.parts] == stages
    assert [part.failed for part in span.parts] == [False] * len(stages)
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": path,
        "http.response.status_code": 200,
        "fovea.request_id": reply.headers["x-request-id"],
    }
    assert span.failed is False


def test_no_word_of_content_is_in_a_span(engine, traces):
    local_client(engine, traces=traces).post("/v1/ask", json=ASKED)
    (span,) = traces.requests
    told = str([(one.name, one.attributes) for one in (span, *span.parts)])
    assert "secret" not in told and "jetty" not in told


def test_paths_are_told_as_patterns_and_machines_that_ask_all_day_not_at_all(traces):
    client = local_client(FakeEngine({"lease.txt": LEASE}), traces=traces)
    for path in ("/healthz", "/readyz", "/metrics"):
        client.get(path)
    client.get("/v1/documents/doc-1")
    assert [span.name for span in traces.requests] == ["GET /v1/documents/{document_id}"]


def test_a_request_that_crashes_is_a_failed_span(traces):
    engine = FakeEngine()
    engine.list_collections = lambda: 1 / 0
    assert local_client(engine, traces=traces).get("/v1/collections").status_code == 500
    (span,) = traces.requests
    assert (span.failed, span.attributes["http.response.status_code"]) == (True, 500)


def test_a_stage_that_fails_is_a_failed_part():
    trace = Recorded("request")
    with traced(trace), pytest.raises(ValueError, match="broken"), Stopwatch().stage("rerank"):
        raise ValueError("broken")
    assert [(part.name, part.failed) for part in trace.parts] == [("rerank", True)]


def test_outside_a_traced_request_a_stage_leaves_no_span():
    trace = Recorded("request")
    with traced(trace):
        pass
    with Stopwatch().stage("encode"):
        pass
    assert trace.parts == []


def test_without_an_endpoint_nothing_of_the_sdk_is_loaded(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from service.bootstrap import build_server\nfrom service.settings import EncoderSettings, Settings\n"
        "import service.api.server\n"
        f"settings = Settings(data_dir=Path({str(tmp_path)!r}), encoder=EncoderSettings(model='hashing'))\n"
        "with build_server(settings) as server:\n"
        "    server.engine.ingest_text('The jetty is closed.', source='a')\n"
        "    server.engine.ask('When is the jetty closed?')\n"
        "    assert server.traces is None\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_an_endpoint_without_the_extra_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match=r"fovea-rag\[otel\]"):
        open_traces("http://127.0.0.1:4318/v1/traces")
    server = ServerSettings(traces_endpoint="http://127.0.0.1:4318/v1/traces")
    settings = Settings(data_dir=tmp_path, encoder=EncoderSettings(model="hashing"), server=server)
    with pytest.raises(ConfigurationError, match="otel"), build_server(settings):
        pass


# -- OpenTelemetry's own interfaces ------------------------------------------------------------------------------------


class ApiSpan(NonRecordingSpan):
    """A span of OpenTelemetry's interface that keeps what it was told."""

    def __init__(self, name, context, kind, number):
        caller = get_current_span(context)
        trace_id = caller.get_span_context().trace_id or 0x7
        super().__init__(SpanContext(trace_id, number, is_remote=False, trace_flags=TraceFlags(1)))
        self.name, self.kind, self.parent = name, kind, caller.get_span_context().span_id
        self.attributes, self.status, self.ended = {}, None, 0

    def update_name(self, name):
        self.name = name

    def set_attributes(self, attributes):
        self.attributes |= attributes

    def set_status(self, status, description=None):
        self.status = status

    def end(self, end_time=None):
        self.ended += 1


class ApiProvider:
    """A tracer provider and its tracer."""

    def __init__(self):
        self.spans, self.closed = [], False

    def get_tracer(self, name):
        assert name == "fovea"
        return self

    def start_span(self, name, context=None, kind=None):
        self.spans.append(ApiSpan(name, context, kind, len(self.spans) + 1))
        return self.spans[-1]

    def shutdown(self):
        self.closed = True


def test_spans_of_opentelemetry_hang_on_the_request_and_it_on_its_caller(engine):
    provider = ApiProvider()
    traces = OpenTelemetryTraces(provider)
    trace_id, span_id = 0xABCDEF0123456789ABCDEF0123456789, 0x1234567890ABCDEF
    header = f"00-{trace_id:032x}-{span_id:016x}-01"
    reply = local_client(engine, traces=traces).post("/v1/ask", json=ASKED, headers={"traceparent": header})
    assert reply.status_code == 200
    request, *parts = provider.spans
    assert (request.name, request.kind, request.parent) == ("POST /v1/ask", SpanKind.SERVER, span_id)
    assert [part.name for part in parts] == ANSWER
    assert {part.parent for part in parts} == {request.get_span_context().span_id}
    assert {one.get_span_context().trace_id for one in provider.spans} == {trace_id}
    assert [one.ended for one in provider.spans] == [1] * len(provider.spans)
    assert request.attributes["http.response.status_code"] == 200
    traces.close()
    assert provider.closed


def test_a_failure_is_an_error_to_opentelemetry():
    provider = ApiProvider()
    trace = OpenTelemetryTraces(provider).request("request", {})
    trace.part("encode").end(failed=True)
    trace.end(failed=True)
    assert [one.status for one in provider.spans] == [StatusCode.ERROR, StatusCode.ERROR]
