"""The parts of engines, made of settings: those that all tenants share, and those that each tenant has of its own.

    shared        database, encoder, weights, reranker, generator, counters, parsers     made once, lazily where dear
    of a tenant   document store, indexes, ingestion, retriever, scoring                 bound to it, cheap

What is shared holds no text of anybody: a prompt, a vector or an answer goes through it and is not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from context.carried import sent_once
from context.selection_policy import SelectionPolicy
from context.templates import is_abstention
from context.token_bounds import LearnedBound
from domain.calibration import ScoringIdentity
from domain.protocols import ContextBuilder, Embedder, Generator, Reranker, TokenCodec, TokenCounter
from ingestion.loader_pool import LoaderPool
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
from service.snapshots import index_folder
from service.token_counting import Counting, GeneratorCounter, make_counting


class Assembly:
    """What all engines of an installation share; `parts` adds what one tenant has of its own.

    `given` replaces built-in parts, see `bootstrap.build_engine`. Everything that must be closed is put on `stack`.
    """

    def __init__(self, settings: Settings, database: Any, stack: ExitStack, tell: Tell, given: dict[str, Any]) -> None:
        self._settings, self._database, self._stack, self._tell, self._given = settings, database, stack, tell, given
        self._vector_index = given.get("vector_index") or vector_index_factory(settings)
        self._lexical_index = given.get("lexical_index") or lexical_index_factory(settings)
        self._weights = weights = scorer_weights(settings)
        self.encoder: Embedder = given.get("encoder") or self._make_encoder()
        self._own_counter = Once(lambda: encoder_counter(self.encoder))
        self._counting = self._make_counting()
        self._wordings = make_wordings(settings)
        self._codec: TokenCodec = given.get("codec") or make_codec(weights)
        self._generator: Generator = given.get("generator") or make_generator(
            settings.generation, settings, self._counting
        )
        self._bound = LearnedBound(GeneratorCounter(self._generator))
        self._reranker: Reranker = given.get("reranker") or make_reranker(settings, self._codec, weights)
        self._parsers = Once(self._start_parsers)
        self._chunker = Once(self._make_chunker)

    def parts(self, tenant: str, close: Callable[[], None]) -> Parts:
        """Everything an engine of `tenant` is made of; `close` is called when that engine is closed."""
        from ingestion.text_gate import clean
        from retrieval.retriever import HybridRetriever
        from service.maintenance.reembedding import Reembedder
        from service.storage.limited import LimitedDocumentStore
        from service.storage.reembedding import SqlReembedding

        settings, counter, generator = self._settings, self._counting.counter, self._generator
        store = LimitedDocumentStore(self._database, tenant)
        indexes = self._indexes(tenant, store)
        scoring = self._scoring(tenant)
        return Parts(
            tenant=tenant,
            store=store,
            indexes=indexes,
            ingestion=self._ingester(tenant, store, indexes),
            encoder=self.encoder,
            codec_id=self._codec.codec_id,
            retriever=HybridRetriever(
                store, indexes.reader, dense_k=settings.retrieval.dense_k, lexical_k=settings.retrieval.lexical_k
            ),
            reranker=self._reranker,
            context_builder=scoring.default.builder,
            scoring=scoring,
            generator=generator,
            fallback=make_fallback(settings, generator, counter),
            counter=counter,
            bound=self._bound,
            is_abstention=partial(is_abstention, wordings=self._wordings),
            rewriter=make_rewriter(settings, generator, counter),
            sent_once=partial(sent_once, count=counter.count, wordings=self._wordings),
            clean_text=lambda text: clean(text).text,
            candidates=settings.retrieval.candidates,
            close=close,
            training=make_training_setup(settings, self._weights, self._codec, self._builder, self._tell),
            evaluation=make_evaluation_setup(settings, generator, self._wordings, self._given.get("context_builder")),
            reembed=Reembedder(SqlReembedding(self._database, tenant), self.encoder, self._codec).run,
        )

    # -- shared --------------------------------------------------------------------------------------------------------

    def _make_encoder(self) -> Embedder:
        adapter = self._weights.adapter if self._weights else None
        encoder = make_encoder(self._settings.encoder, self._settings.models_dir, self._tell, adapter)
        if close := getattr(encoder, "close", None):
            self._stack.callback(close)
        return encoder

    def _make_counting(self) -> Counting:
        own: TokenCounter | None = self._given.get("counter")
        return Counting(own, own) if own else make_counting(self._settings, self._own_counter)

    def _start_parsers(self) -> LoaderPool:
        pool = make_parsers(self._settings.ingestion)
        self._stack.callback(pool.close)
        return pool

    def _make_chunker(self) -> Any:
        return self._given.get("chunker") or make_chunker(self._settings.ingestion, self._own_counter.get())

    def _builder(self, policy: SelectionPolicy) -> ContextBuilder:
        own: ContextBuilder | None = self._given.get("context_builder")
        return own or make_context_builder(
            self._settings, self._generator, self._counting.counter, self._bound, self._wordings, policy
        )

    def _identity(self) -> ScoringIdentity:
        return ScoringIdentity(self.encoder.model_id, self._codec.codec_id, reranker_identity(self._reranker))

    # -- of a tenant ---------------------------------------------------------------------------------------------------

    def _indexes(self, tenant: str, store: Any) -> IndexManager:
        from service.storage.snapshots import SqlSnapshotManifest

        manifest = SqlSnapshotManifest(self._database, tenant)
        folder = index_folder(self._settings.data_dir, tenant)
        return IndexManager(store, manifest, folder, self._vector_index, self._lexical_index)

    def _ingester(self, tenant: str, store: Any, indexes: IndexManager) -> Ingester:
        return Ingester(
            store=store,
            indexes=indexes,
            encoder=self.encoder,
            codec=self._codec,
            chunker=self._chunker.get,
            parsers=self._parsers.get,
            expand=make_sources(self._settings),
            workers=self._settings.ingestion.workers,
            tenant=tenant,
        )

    def _scoring(self, tenant: str) -> CollectionScoring:
        from service.storage.calibrations import SqlCalibrations

        levels = levels_of(self._weights, self._reranker)
        policy = make_policy(self._settings, self._weights, levels)
        default = Scoring(self._reranker, self._builder(policy), policy, levels.maps if levels else {})
        return _with_fused(default, self._builder, SqlCalibrations(self._database, tenant), self._identity)


def _with_fused(
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
