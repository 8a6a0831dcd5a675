"""What a server has to do at this moment, as metrics: queues, jobs, encoder batches, the event loop, the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from service.encoder_queue import EncodedBatch, EncoderQueue

JobStates = Callable[[], Mapping[tuple[str, str], int]]
"""How many jobs of a kind are in a state: {("upload", "queued"): 3}."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TEXTS = (1, 2, 4, 8, 16, 32)
_PROBE_SECONDS = 0.05


class LoadMetrics:
    """Gauges and histograms of one server's load, in the registry of its other metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._depth = Gauge("fovea_queue_depth", "Callers that wait, by queue.", ("queue",), registry=registry)
        self._texts = Counter("fovea_encoder_texts", "Texts encoded, by kind.", ("kind",), registry=registry)
        self._batch = Histogram(
            "fovea_encoder_batch_texts", "Texts in one batch.", ("kind",), buckets=_TEXTS, registry=registry
        )
        self._encoding = Histogram(
            "fovea_encoder_batch_seconds", "Time of one batch.", ("kind",), buckets=_SECONDS, registry=registry
        )
        self._waiting = Histogram(
            "fovea_encoder_wait_seconds", "Time until its turn came.", ("kind",), buckets=_SECONDS, registry=registry
        )
        self._jobs = Gauge("fovea_jobs", "Jobs by kind and state.", ("kind", "state"), registry=registry)
        self._lag = Histogram(
            "fovea_event_loop_lag_seconds",
            "How late the event loop comes to work that is due.",
            buckets=_SECONDS,
            registry=registry,
        )
        ProcessCollector(registry=registry)  # memory, processor time, open files
        self._job_states: JobStates = dict

    def watch_encoder(self, encoder: EncoderQueue) -> None:
        """Count the encoder's batches, and show how many callers wait for it."""
        encoder.listen(self.observe_batch)
        self._depth.labels("encoder_questions").set_function(lambda: encoder.depth("question"))
        self._depth.labels("encoder_passages").set_function(lambda: encoder.depth("passage"))

    def watch_jobs(self, states: JobStates) -> None:
        """Show the states of jobs, which `refresh` asks for."""
        self._job_states = states

    def observe_batch(self, batch: EncodedBatch) -> None:
        self._texts.labels(batch.kind).inc(batch.texts)
        self._batch.labels(batch.kind).observe(batch.texts)
        self._encoding.labels(batch.kind).observe(batch.seconds)
        for seconds in batch.waited:
            self._waiting.labels(batch.kind).observe(seconds)

    def observe_queue(self, queue: str, waiting: int) -> None:
        self._depth.labels(queue).set(waiting)

    def refresh(self) -> None:
        """Ask for the states of jobs. Raises StorageError; it is a query, so call it beside the event loop."""
        counted = self._job_states()
        self._jobs.clear()  # what is no longer there is 0, not what it was
        for (kind, state), count in counted.items():
            self._jobs.labels(kind, state).set(count)

    async def probe_loop(self) -> None:
        """Measure the event loop's lag until cancelled: a short sleep that ends late was kept waiting by other work."""
        while True:
            started = time.perf_counter()
            await asyncio.sleep(_PROBE_SECONDS)
            self._lag.observe(max(0.0, time.perf_counter() - started - _PROBE_SECONDS))
