"""The built-in parts by name: each function turns a section of the settings into one part of an engine.

Imports stand inside the functions: a command pays only for the parts that it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.errors import ConfigurationError
from domain.protocols import (
    Chunker,
    ContextBuilder,
    Embedder,
    Generator,
    LexicalIndex,
    Reranker,
    TokenCounter,
    TokenEncoder,
    VectorIndex,
)
from service.ingester import Expand
from service.lazy import LazyCounter, LazyEncoder, Once
from service.plugins import resolve
from service.settings import EncoderSettings, GenerationSettings, IngestionSettings, Settings

if TYPE_CHECKING:
    from attention_core.codec import QuantizedTokenCodec
    from ingestion.loader_pool import LoaderPool
    from ingestion.sources import SourceItem

Tell = Callable[[str], None]

_WEB_PORTS = frozenset((80, 443))
_ALL_PORTS = frozenset(range(1, 65536))  # an intranet's services listen anywhere


def vector_index_factory(settings: Settings) -> Callable[[int], VectorIndex]:
    def faiss(dim: int) -> VectorIndex:
        from retrieval.vector.faiss_index import FaissVectorIndex

        return FaissVectorIndex(dim)

    def exact(dim: int) -> VectorIndex:
        from retrieval.vector.exact import ExactVectorIndex

        return ExactVectorIndex(dim)

    return resolve("vector_index", settings.retrieval.vector_index, {"faiss": faiss, "exact": exact})


def lexical_index_factory(settings: Settings) -> Callable[[], LexicalIndex]:
    work_dir = settings.data_dir / "work"  # ours alone while the directory is locked: what a kill left there is waste
    analyzer = Once(_analyzer)

    def tantivy() -> LexicalIndex:
        from retrieval.lexical.tantivy_index import TantivyLexicalIndex

        return TantivyLexicalIndex(work_dir, analyzer.get())

    def memory() -> LexicalIndex:
        from retrieval.lexical.memory import MemoryLexicalIndex

        return MemoryLexicalIndex()

    return resolve("lexical_index", settings.retrieval.lexical_index, {"tantivy": tantivy, "memory": memory})


def _analyzer() -> Any:
    from retrieval.lexical.analyzer import Analyzer

    return Analyzer()  # one for all collections: it keeps a large cache of words


def make_encoder(settings: EncoderSettings, models_dir: Path, tell: Tell) -> Embedder:
    if settings.backend == "openai":
        from retrieval.embedders.openai_compatible import OpenAICompatibleEmbedder

        if settings.dim is None:
            raise ConfigurationError("encoder.backend is openai: set encoder.dim to the width of the model's vectors.")
        key = settings.api_key.get_secret_value() if settings.api_key else None
        return OpenAICompatibleEmbedder(settings.base_url, settings.model, settings.dim, api_key=key)
    backend = settings.backend

    def make() -> TokenEncoder:
        from retrieval.embedders.factory import build_encoder

        return build_encoder(settings.model, models_dir, backend, settings.threads, on_message=tell)

    return LazyEncoder(make)


def encoder_counter(encoder: Embedder) -> Any:
    from retrieval.embedders.tokenizer import WordTokenCounter

    return getattr(encoder, "counter", None) or WordTokenCounter()


def make_counter(settings: Settings, encoder_counter: Once[Any]) -> TokenCounter:
    file = settings.context.tokenizer
    if file is None:
        return LazyCounter(encoder_counter.get)
    if not file.is_file():
        raise ConfigurationError(f"context.tokenizer names {str(file)!r}, which is not a file; give a tokenizer.json.")

    def make() -> TokenCounter:
        from retrieval.embedders.tokenizer import EncoderTokenCounter

        return EncoderTokenCounter(file)

    return LazyCounter(make)


def make_codec(settings: Settings) -> QuantizedTokenCodec:
    from attention_core.codec import codec_for

    return codec_for(settings.encoder.model)


def make_chunker(settings: IngestionSettings, counter: Any) -> Chunker:
    from ingestion.chunking import StructureChunker

    ceiling = settings.chunk_tokens + settings.chunk_tokens // 4  # room for the sentence that ends the chunk
    return StructureChunker(counter.count_batch, settings.chunk_tokens, ceiling, counter.name)


def make_reranker(settings: Settings, codec: Any) -> Reranker:
    def attention() -> Reranker:
        from attention_core.projection import shipped_dense_floor
        from attention_core.reranker import AttentionReranker

        return AttentionReranker(codec, shipped_dense_floor(settings.encoder.model))

    def none() -> Reranker:
        from retrieval.fused_order import FusedOrder

        return FusedOrder()

    reranker: Reranker = resolve("reranker", settings.retrieval.reranker, {"attention": attention, "none": none})()
    return reranker


def make_context_builder(settings: Settings, generator: Generator, counter: TokenCounter) -> ContextBuilder:
    from attention_core.projection import shipped_dense_floor
    from context.builder import ContextBuilder as Builder
    from context.selection import SelectionPolicy

    # Only the shipped encoders have a fitted scale; elsewhere the order of the scores holds, their level does not.
    policy = SelectionPolicy()
    if shipped_dense_floor(settings.encoder.model) is None:
        policy = policy.without_scale()
    limit = min(generator.context_window, settings.context.prompt_limit)
    reserve = min(generator.max_output_tokens, settings.context.reserve)
    return Builder(counter, limit=limit, reserve=reserve, max_tokens=settings.context.max_tokens, policy=policy)


def make_generator(settings: GenerationSettings, whole: Settings, counter: TokenCounter) -> Generator:
    def extractive() -> Generator:
        from generation.extractive import ExtractiveGenerator

        return ExtractiveGenerator(counter)

    def openai() -> Generator:
        from generation.openai_compatible import OpenAICompatibleGenerator

        return OpenAICompatibleGenerator(
            settings.base_url,
            settings.model,
            counter,
            api_key=settings.api_key.get_secret_value() if settings.api_key else None,
            context_window=whole.context.prompt_limit,
            max_output_tokens=whole.context.reserve,
            first_token_seconds=settings.first_token_seconds,
            total_seconds=settings.total_seconds,
        )

    generator: Generator = resolve("generator", settings.generator, {"extractive": extractive, "openai": openai})()
    return generator


def make_fallback(settings: Settings, generator: Generator, counter: TokenCounter) -> Generator | None:
    from generation.extractive import ExtractiveGenerator

    if not settings.generation.fallback or isinstance(generator, ExtractiveGenerator):
        return None
    return ExtractiveGenerator(counter)


def make_parsers(settings: IngestionSettings) -> LoaderPool:
    from ingestion.loader_pool import LoaderPool
    from ingestion.sandbox import Sandbox

    def sandbox() -> Sandbox:
        return Sandbox(
            memory_bytes=settings.parser_memory_bytes,
            cpu_seconds=settings.parser_seconds,
            wall_seconds=settings.parser_seconds,
            loaders=settings.loaders,
        )

    return LoaderPool(sandbox, settings.workers)


def make_sources(settings: Settings) -> Expand:
    def expand(inputs: Sequence[str | Path]) -> Iterable[SourceItem]:
        from ingestion.fetcher import Fetcher
        from ingestion.sources import SourceExpander

        private = settings.ingestion.allow_private_urls
        fetcher = Fetcher(allow_private=private, ports=_ALL_PORTS if private else _WEB_PORTS)
        expander = SourceExpander(fetcher, max_bytes=settings.ingestion.max_file_bytes, excluded=(settings.data_dir,))
        return expander.expand(inputs)

    return expand
