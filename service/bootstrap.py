"""The only wiring place: settings become constructor arguments here, and nowhere else.

Everything dear (the encoder, its tokenizer, the parsers) is built on first use, so that a command which does not need
it does not wait for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from domain.errors import ConfigurationError
from domain.search import DEFAULT_TENANT
from service.assembly import Assembly
from service.bound_engine import PromptCeiling
from service.encoder_queue import EncoderQueue
from service.engine import Engine
from service.factories import Tell
from service.keys import KeyRing
from service.parts import Parts
from service.served import Served
from service.settings import Settings
from service.tenants import TenantEngines, Tenants
from service.worker import Work

if TYPE_CHECKING:
    from service.observability import Metrics
    from service.storage.keys import SqlKeys
    from service.tracing import Traces


def build_engine(settings: Settings, *, on_message: Tell | None = None, **overrides: Any) -> Engine:
    """An engine that owns the data directory until it is closed.

    `overrides` replace built-in parts: encoder, chunker, reranker, generator, vector_index, lexical_index (factories),
    context_builder, codec, counter. Raises ConfigurationError, DataDirectoryInUse, StorageError.
    """
    return Engine(build_parts(settings, on_message=on_message, **overrides))


@contextmanager
def build_server(settings: Settings, *, on_message: Tell | None = None, **overrides: Any) -> Iterator[Served]:
    """The parts of `fovea serve`; all engines are closed when the block ends."""
    from service.storage.jobs import SqlJobQueue

    _check_overrides(overrides)
    with ExitStack() as stack:
        database = _database(settings, stack)
        assembly = Assembly(settings, database, stack, on_message or _say_nothing, overrides)
        engines = TenantEngines(lambda tenant: Engine(assembly.parts(tenant, _do_nothing)))
        stack.callback(engines.close)
        jobs_of = partial(SqlJobQueue, database)
        yield Served(
            engine=engines(DEFAULT_TENANT),
            jobs=jobs_of(DEFAULT_TENANT),
            jobs_of=jobs_of,
            work=_work(settings, database),
            tenants=_tenants(settings, database, engines),
            keys=_key_ring(settings, database),
            metrics=_metrics(assembly, database),
            traces=_traces(settings, stack),
            max_body_bytes=settings.server.max_body_bytes,
        )


def _work(settings: Settings, database: Any) -> Work:
    from service.storage.batches import SqlBatches, SqlBatchWork
    from service.storage.leases import SqlJobSource
    from service.storage.node import node_of

    source = SqlJobSource(database, node_of(settings.data_dir))
    return Work(source, partial(SqlBatches, database), SqlBatchWork(database))


@contextmanager
def open_keys(settings: Settings) -> Iterator[SqlKeys]:
    """The keys and tenants, beside a server that may be running: the data directory is not taken."""
    from service.storage.database import open_database
    from service.storage.keys import SqlKeys

    database = open_database(settings.database_url)
    try:
        yield SqlKeys(database)
    finally:
        database.close()


def build_parts(settings: Settings, *, on_message: Tell | None = None, **overrides: Any) -> Parts:
    """Everything an engine is made of, for those who measure or inspect single stages; see `build_engine`."""
    _check_overrides(overrides)
    stack = ExitStack()
    try:
        database = _database(settings, stack)
        assembly = Assembly(settings, database, stack, on_message or _say_nothing, overrides)
        return assembly.parts(DEFAULT_TENANT, stack.close)
    except BaseException:
        stack.close()
        raise


_OVERRIDES = frozenset(
    "encoder chunker reranker generator vector_index lexical_index context_builder codec counter".split()
)


def _check_overrides(given: dict[str, Any]) -> None:
    if unknown := given.keys() - _OVERRIDES:
        known = ", ".join(sorted(_OVERRIDES))
        raise ConfigurationError(f"There is no part {', '.join(sorted(unknown))}; parts that can be given: {known}.")


def _say_nothing(_: str) -> None:
    return


def _do_nothing() -> None:
    return


def _tenants(settings: Settings, database: Any, engines: TenantEngines) -> Tenants:
    from service.storage.keys import SqlKeys
    from service.storage.usage import SqlUsage

    chosen = settings.context
    ceiling = PromptCeiling(chosen.prompt_limit, chosen.max_tokens, chosen.reserve)
    return Tenants(engines, partial(SqlUsage, database), SqlKeys(database), ceiling)


def _key_ring(settings: Settings, database: Any) -> KeyRing:
    from service.storage.keys import SqlKeys

    key = settings.server.api_key
    return KeyRing(SqlKeys(database), key.get_secret_value() if key else None)


def _traces(settings: Settings, stack: ExitStack) -> Traces | None:
    if settings.server.traces_endpoint is None:
        return None
    from service.tracing import open_traces

    traces = open_traces(settings.server.traces_endpoint)
    stack.callback(traces.close)
    return traces


def _metrics(assembly: Assembly, database: Any) -> Metrics:
    from service.observability import Metrics
    from service.storage.job_states import SqlJobStates

    metrics = Metrics()
    metrics.load.watch_jobs(SqlJobStates(database))
    if isinstance(assembly.encoder, EncoderQueue):
        metrics.load.watch_encoder(assembly.encoder)
    return metrics


def _database(settings: Settings, stack: ExitStack) -> Any:
    from service.storage.database import open_database
    from service.storage.lock import DataDirectoryLock

    stack.enter_context(DataDirectoryLock(settings.data_dir))
    shutil.rmtree(settings.data_dir / "work", ignore_errors=True)
    database = open_database(settings.database_url)
    stack.callback(database.close)
    return database
