"""Logs, request ids and metrics. Neither holds a word of a document, a question or an answer."""

from __future__ import annotations

import logging
import sys
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from domain.answers import Answer
from domain.context import ContextBill
from domain.jobs import CollectionInfo
from domain.search_result import SearchResult
from service.load_metrics import LoadMetrics

log = structlog.get_logger("fovea.questions")

METRICS_MEDIA_TYPE = CONTENT_TYPE_LATEST
_TELL_URLS = ("httpx", "httpcore")  # their INFO lines hold whole URLs, and with them keys and questions
_SUPPORT = {True: "supported", False: "unsupported", None: "uncited"}
_PARTS = ("system", "constraints", "history", "evidence", "question")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The counters of one server, in a registry of their own. A question that is counted leaves a line in the log."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "fovea_requests", "Requests by route, method and status.", ("route", "method", "status"), registry=registry
        )
        self._request_seconds = Histogram(
            "fovea_request_seconds", "Time to the end of the response.", ("route",), buckets=_SECONDS, registry=registry
        )
        self._stage_seconds = Histogram(
            "fovea_stage_seconds", "Time of each stage of a question.", ("stage",), buckets=_SECONDS, registry=registry
        )
        self._sent = Counter("fovea_context_tokens_sent", "Evidence tokens in prompts.", registry=registry)
        self._avoided = Counter(
            "fovea_context_tokens_avoided",
            "Tokens that plain top-10 chunks would have cost beyond those.",
            registry=registry,
        )
        self._prompt = Counter("fovea_prompt_tokens", "Tokens of prompts by part.", ("part",), registry=registry)
        self._margin = Counter(
            "fovea_prompt_margin_tokens",
            "Tokens kept free beside prompts for what their model may count beyond them.",
            registry=registry,
        )
        self._reported = Counter(
            "fovea_reported_prompt_tokens", "Prompt tokens by the models' own count.", registry=registry
        )
        self._reconciled = Counter(
            "fovea_reconciled_prompt_tokens", "Our count of the prompts that models reported on.", registry=registry
        )
        self._beyond = Counter(
            "fovea_prompts_beyond_bound", "Prompts whose model counted more than total and margin.", registry=registry
        )
        self._dropped = Counter(
            "fovea_dropped_chunks", "Candidates that were not sent, by reason.", ("reason",), registry=registry
        )
        self._searches = Counter(
            "fovea_searches", "Searches by outcome: found, nothing.", ("outcome",), registry=registry
        )
        self._answers = Counter("fovea_answers", "Answers by outcome.", ("outcome",), registry=registry)
        self._sentences = Counter(
            "fovea_answer_sentences",
            "Sentences of answers by what their evidence says of them: supported, unsupported, uncited.",
            ("support",),
            registry=registry,
        )
        self._removed_marks = Counter(
            "fovea_removed_marks", "Citation marks that no evidence has, taken out of answers.", registry=registry
        )
        self._rewrites = Counter(
            "fovea_rewrites", "Questions in conversations by who made them standalone.", ("by",), registry=registry
        )
        self._rewrite_tokens = Counter(
            "fovea_rewrite_tokens", "Tokens of calls to a model to make questions standalone.", registry=registry
        )
        self._jobs = Counter(
            "fovea_finished_jobs", "Finished jobs by kind and result.", ("kind", "result"), registry=registry
        )
        self._documents = Gauge("fovea_documents", "Documents in all collections.", registry=registry)
        self._chunks = Gauge("fovea_chunks", "Chunks in all collections.", registry=registry)
        self.load = LoadMetrics(registry)

    def observe_request(self, route: str, method: str, status: int, seconds: float) -> None:
        self._requests.labels(route, method, status).inc()
        self._request_seconds.labels(route).observe(seconds)

    def observe_search(self, found: SearchResult) -> None:
        outcome = "found" if found.evidence else "nothing"
        self._searches.labels(outcome).inc()
        self._observe_evidence(found, found.timings)
        log.info("searched", outcome=outcome, **_account(found, found.timings))

    def observe_answer(self, answer: Answer) -> None:
        outcome = "abstained" if answer.abstained else "degraded" if answer.degraded else "answered"
        self._answers.labels(outcome).inc()
        for sentence in answer.sentences:
            self._sentences.labels(_SUPPORT[sentence.supported]).inc()
        self._removed_marks.inc(answer.removed_marks)
        if rewrite := answer.search.rewrite:
            self._rewrites.labels("failed" if rewrite.failed else rewrite.by).inc()
            self._rewrite_tokens.inc(rewrite.tokens)
        self._observe_evidence(answer.search, answer.timings)
        if answer.search.evidence:  # without any, there is no prompt
            self._observe_prompt(answer.search.bill)
        log.info("answered", outcome=outcome, model=answer.model, **_account(answer.search, answer.timings))

    def _observe_evidence(self, found: SearchResult, timings: Mapping[str, float]) -> None:
        self._sent.inc(found.bill.evidence)
        self._avoided.inc(found.bill.avoided)
        for item in found.context.dropped:
            self._dropped.labels(item.reason).inc()
        for stage, milliseconds in timings.items():
            self._stage_seconds.labels(stage).observe(milliseconds / 1000)

    def _observe_prompt(self, bill: ContextBill) -> None:
        for part in _PARTS:
            self._prompt.labels(part).inc(getattr(bill, part))
        self._margin.inc(bill.margin)
        if bill.reported is not None:
            self._reported.inc(bill.reported)
            self._reconciled.inc(bill.total)
            self._beyond.inc(bill.reported > bill.total + bill.margin)

    def observe_job(self, kind: str, result: str) -> None:
        self._jobs.labels(kind, result).inc()

    def render(self, collections: Iterable[CollectionInfo]) -> bytes:
        """The exposition text, with the sizes of the collections and the states of jobs as they are now.

        Raises StorageError.
        """
        self.load.refresh()
        listed = list(collections)
        self._documents.set(sum(item.documents for item in listed))
        self._chunks.set(sum(item.chunks for item in listed))
        return generate_latest(self._registry)


def _account(found: SearchResult, timings: Mapping[str, float]) -> dict[str, Any]:
    """What a line of the log tells of a question: its bill, how many candidates were left out and why, and the time
    of each stage.
    """
    dropped = Tally(item.reason for item in found.context.dropped)
    return {"bill": found.bill.to_dict(), "dropped": dict(dropped), "milliseconds": dict(timings)}


def configure_logging(level: str = "INFO", as_json: bool | None = None) -> None:
    """Send structlog and the standard logging to stderr in one form: lines of JSON, or columns on a terminal."""
    as_json = not sys.stderr.isatty() if as_json is None else as_json
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # A plain traceback: the pretty one prints the values of variables, and with them what users wrote.
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    last = structlog.processors.JSONRenderer(ensure_ascii=False) if as_json else console
    tail: list[structlog.typing.Processor] = [structlog.processors.format_exc_info] if as_json else []
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _TELL_URLS:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
