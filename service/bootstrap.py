"""The only wiring place: settings become constructor arguments here, and nowhere else.

Everything dear (the encoder, its tokenizer, the parsers) is built on first use, so that a command which does not need
it does not wait for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from context.carried import sent_once
from context.selection import SelectionPolicy
from context.templates import is_abstention
from context.token_bounds import LearnedBound
from domain.calibration import ScoringIdentity
from domain.errors import ConfigurationError
from domain.protocols import (
    ContextBuilder,
    Embedder,
    Generator,
    JobQueue,
    Reranker,
    TokenCodec,
    TokenCounter,
)
from domain.search import DEFAULT_TENANT
from service.engine import Engine
from service.factories import (
    Tell,
    encoder_counter,
    levels_of,
    lexical_index_factory,
    make_chunker,
    make_codec,
    make_context_builder,
    make_encoder,
    make_evaluation_setup,
    make_fallback,
    make_generator,
    make_parsers,
    make_policy,
    make_reranker,
    make_rewriter,
    make_sources,
    make_training_setup,
    make_wordings,
    scorer_weights,
    vector_index_factory,
)
from service.indexes import IndexManager
from service.ingester import Ingester
from service.lazy import Once
from service.parts import Parts
from service.scoring import CalibrationStore, CollectionScoring, Scoring, reranker_identity
from service.settings import Settings
from service.token_counting import Counting, GeneratorCounter, make_counting


@dataclass(frozen=True, slots=True)
class Served:
    """What `fovea serve` runs: the engine, its durable jobs, and the server's own settings."""

    engine: Engine
    jobs: JobQueue
    api_key: str | None
    max_body_bytes: int
    tenant: str = DEFAULT_TENANT


def build_engine(settings: Settings, *, on_message: Tell | None = None, **overrides: Any) -> Engine:
    """An engine that owns the data directory until it is closed.

    `overrides` replace built-in parts: encoder, chunker, reranker, generator, vector_index, lexical_index (factories),
    context_builder, codec, counter. Raises ConfigurationError, DataDirectoryInUse, StorageError.
    """
    return Engine(build_parts(settings, on_message=on_message, **overrides))


@contextmanager
def build_server(settings: Settings, *, on_message: Tell | None = None, **overrides: Any) -> Iterator[Served]:
    """The parts of `fovea serve`; the engine is closed when the block ends."""
    from service.storage.jobs import SqlJobQueue

    with ExitStack() as stack:
        database = _database(settings, stack)
        parts = build_parts(settings, on_message=on_message, _stack=stack, _database=database, **overrides)
        key = settings.server.api_key
        with Engine(parts) as engine:
            yield Served(
                engine=engine,
                jobs=SqlJobQueue(database, DEFAULT_TENANT),
                api_key=key.get_secret_value() if key else None,
                max_body_bytes=settings.server.max_body_bytes,
            )


def build_parts(settings: Settings, *, on_message: Tell | None = None, **overrides: Any) -> Parts:
    """Everything an engine is made of, for those who measure or inspect single stages; see `build_engine`."""
    unknown = overrides.keys() - _OVERRIDES
    if unknown:
        known = ", ".join(sorted(name for name in _OVERRIDES if not name.startswith("_")))
        raise ConfigurationError(f"There is no part {', '.join(sorted(unknown))}; parts that can be given: {known}.")
    stack = overrides.get("_stack") or ExitStack()
    try:
        return _assemble(settings, stack, on_message or (lambda message: None), overrides)
    except BaseException:
        stack.close()
        raise


_OVERRIDES = frozenset(
    "encoder chunker reranker generator vector_index lexical_index context_builder codec counter "
    "_stack _database".split()  # the last two are build_server's own
)


def _assemble(settings: Settings, stack: ExitStack, tell: Tell, given: dict[str, Any]) -> Parts:
    from ingestion.text_gate import clean
    from retrieval.retriever import HybridRetriever
    from service.storage.calibrations import SqlCalibrations
    from service.storage.documents import SqlDocumentStore
    from service.storage.snapshots import SqlSnapshotManifest

    database = given.get("_database") or _database(settings, stack)
    store = SqlDocumentStore(database, DEFAULT_TENANT)
    indexes = IndexManager(
        store,
        SqlSnapshotManifest(database, DEFAULT_TENANT),
        settings.data_dir / "indexes",
        given.get("vector_index") or vector_index_factory(settings),
        given.get("lexical_index") or lexical_index_factory(settings),
    )
    weights = scorer_weights(settings)
    adapter = weights.adapter if weights else None
    encoder: Embedder = given.get("encoder") or make_encoder(settings.encoder, settings.models_dir, tell, adapter)
    own_counter = Once(lambda: encoder_counter(encoder))
    own_count: TokenCounter | None = given.get("counter")
    counting = Counting(own_count, own_count) if own_count else make_counting(settings, own_counter)
    wordings = make_wordings(settings)
    codec: TokenCodec = given.get("codec") or make_codec(weights)
    generator: Generator = given.get("generator") or make_generator(settings.generation, settings, counting)
    bound = LearnedBound(GeneratorCounter(generator))
    ingester = Ingester(
        store=store,
        indexes=indexes,
        encoder=encoder,
        codec=codec,
        make_chunker=lambda: given.get("chunker") or make_chunker(settings.ingestion, own_counter.get()),
        make_pool=lambda: make_parsers(settings.ingestion),
        expand=make_sources(settings),
        workers=settings.ingestion.workers,
    )
    stack.callback(ingester.close)
    reranker: Reranker = given.get("reranker") or make_reranker(settings, codec, weights)

    def builder(policy: SelectionPolicy) -> ContextBuilder:
        own: ContextBuilder | None = given.get("context_builder")
        return own or make_context_builder(settings, generator, counting.counter, bound, wordings, policy)

    def identity() -> ScoringIdentity:
        return ScoringIdentity(encoder.model_id, codec.codec_id, reranker_identity(reranker))

    levels = levels_of(weights, reranker)
    policy = make_policy(settings, weights, levels)
    default = Scoring(reranker, builder(policy), policy, levels.maps if levels else {})
    scoring = _scoring(default, builder, SqlCalibrations(database, DEFAULT_TENANT), identity)
    return Parts(
        store=store,
        indexes=indexes,
        ingestion=ingester,
        encoder=encoder,
        codec_id=codec.codec_id,
        retriever=HybridRetriever(
            store, indexes.reader, dense_k=settings.retrieval.dense_k, lexical_k=settings.retrieval.lexical_k
        ),
        reranker=reranker,
        context_builder=scoring.default.builder,
        scoring=scoring,
        generator=generator,
        fallback=make_fallback(settings, generator, counting.counter),
        counter=counting.counter,
        bound=bound,
        is_abstention=partial(is_abstention, wordings=wordings),
        rewriter=make_rewriter(settings, generator, counting.counter),
        sent_once=partial(sent_once, count=counting.counter.count, wordings=wordings),
        clean_text=lambda text: clean(text).text,
        candidates=settings.retrieval.candidates,
        close=stack.close,
        training=make_training_setup(settings, weights, codec, builder, tell),
        evaluation=make_evaluation_setup(settings, generator, wordings, given.get("context_builder")),
    )


def _scoring(
    default: Scoring,
    builder: Callable[[SelectionPolicy], ContextBuilder],
    store: CalibrationStore,
    identity: Callable[[], ScoringIdentity],
) -> CollectionScoring:
    """The default scoring, and the retriever's own order, which has no scale."""
    from retrieval.fused_order import FusedOrder

    ranks = SelectionPolicy(max_chunks_per_document=default.policy.max_chunks_per_document).without_scale()
    fused = Scoring(FusedOrder(), builder(ranks), ranks)
    return CollectionScoring(store, default, fused, builder, identity)


def _database(settings: Settings, stack: ExitStack) -> Any:
    from service.storage.database import open_database
    from service.storage.lock import DataDirectoryLock

    stack.enter_context(DataDirectoryLock(settings.data_dir))
    shutil.rmtree(settings.data_dir / "work", ignore_errors=True)
    database = open_database(settings.database_url)
    stack.callback(database.close)
    return database
