"""The built-in parts by name: each function turns a section of the settings into one part of an engine.

Imports stand inside the functions: a command pays only for the parts that it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.errors import ConfigurationError
from domain.protocols import (
    BatchTokenCounter,
    Chunker,
    ContextBuilder,
    Embedder,
    Generator,
    LexicalIndex,
    Reranker,
    TokenCodec,
    TokenCounter,
    TokenEncoder,
    VectorIndex,
)
from service.encoder_queue import EncoderQueue
from service.ingester import Expand
from service.lazy import Once
from service.plugins import resolve
from service.settings import EncoderSettings, GenerationSettings, IngestionSettings, Settings

if TYPE_CHECKING:
    from attention_core.codec import QuantizedTokenCodec
    from attention_core.scorer import ScorerWeights
    from context.builder import ContextBuilder as Builder
    from context.selection_policy import SelectionPolicy
    from context.templates import Wordings
    from domain.training import Levels
    from generation.endpoint import ModelServer
    from ingestion.loader_pool import LoaderPool
    from ingestion.sources import SourceItem
    from retrieval.embedders.split import SplitEncoder
    from service.evaluation.setup import EvaluationSetup
    from service.rewriting import QuestionRewriter
    from service.token_counting import Counting
    from service.training.setup import TrainingSetup

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

        return MemoryLexicalIndex(analyzer.get())

    return resolve("lexical_index", settings.retrieval.lexical_index, {"tantivy": tantivy, "memory": memory})


def _analyzer() -> Any:
    from retrieval.lexical.analyzer import Analyzer

    return Analyzer()  # one for all collections: it keeps a large cache of words


def scorer_weights(settings: Settings) -> ScorerWeights | None:
    """The reranker's weights for the encoder: those trained in this data directory, else those that are shipped."""
    from attention_core.scorer import find_scorer, load_scorer

    model, choice = settings.encoder.model, settings.encoder.weights
    if choice not in ("auto", "untrained"):
        return load_scorer(Path(choice))
    own = find_scorer(model, settings.data_dir / "weights") if choice == "auto" else None
    return own or find_scorer(model, trained=choice == "auto")


def make_encoder(settings: EncoderSettings, models_dir: Path, tell: Tell, adapter: Path | None = None) -> Embedder:
    if settings.backend == "openai":
        from retrieval.embedders.openai_compatible import OpenAICompatibleEmbedder

        if settings.dim is None:
            raise ConfigurationError("encoder.backend is openai: set encoder.dim to the width of the model's vectors.")
        key = settings.api_key.get_secret_value() if settings.api_key else None
        return OpenAICompatibleEmbedder(settings.base_url, settings.model, settings.dim, api_key=key)
    backend = settings.backend

    def make() -> TokenEncoder:
        from retrieval.embedders.factory import build_encoder

        return build_encoder(settings.model, models_dir, backend, settings.threads, adapter=adapter, on_message=tell)

    return EncoderQueue(make)


def encoder_counter(encoder: Embedder) -> BatchTokenCounter:
    from retrieval.embedders.tokenizer import WordTokenCounter

    own: BatchTokenCounter | None = getattr(encoder, "counter", None)
    return own or WordTokenCounter()


def make_codec(weights: ScorerWeights | None) -> QuantizedTokenCodec:
    from attention_core.codec import codec_for

    return codec_for(weights)


def make_chunker(settings: IngestionSettings, counter: BatchTokenCounter) -> Chunker:
    from ingestion.chunking import StructureChunker

    ceiling = settings.chunk_tokens + settings.chunk_tokens // 4  # room for the sentence that ends the chunk
    return StructureChunker(counter.count_batch, settings.chunk_tokens, ceiling, counter.name)


def make_reranker(settings: Settings, codec: Any, weights: ScorerWeights | None) -> Reranker:
    def attention() -> Reranker:
        from attention_core.reranker import AttentionReranker

        return AttentionReranker(codec, weights)

    def none() -> Reranker:
        from retrieval.fused_order import FusedOrder

        return FusedOrder()

    reranker: Reranker = resolve("reranker", settings.retrieval.reranker, {"attention": attention, "none": none})()
    return reranker


def levels_of(weights: ScorerWeights | None, reranker: Reranker) -> Levels | None:
    """What the scores of these weights mean; None where it is not known, or where another reranker gives scores."""
    known = weights is not None and getattr(reranker, "weights_digest", None) == weights.digest
    return weights.levels if weights is not None and known else None


def make_policy(settings: Settings, weights: ScorerWeights | None, levels: Levels | None) -> SelectionPolicy:
    """What is sent of a collection that was not calibrated."""
    from context.selection_policy import SelectionPolicy

    policy = SelectionPolicy(max_chunks_per_document=settings.context.max_chunks_per_document)
    if levels is not None:
        return replace(policy, by_language=levels.thresholds)
    # Only encoders with weights have a fitted scale; elsewhere the order of the scores holds, their level does not.
    return policy if weights is not None and weights.scaled else policy.without_scale()


def make_training_setup(
    settings: Settings,
    weights: ScorerWeights | None,
    codec: TokenCodec,
    builder: Callable[[SelectionPolicy], ContextBuilder],
    tell: Tell,
) -> TrainingSetup:
    from service.training.setup import TrainingSetup

    model = settings.encoder.model

    def split(layers: int) -> SplitEncoder:
        from retrieval.embedders.factory import build_split_encoder

        if model == "hashing" or settings.encoder.backend == "openai":
            raise ConfigurationError(f"The encoder {model!r} has no layers that could be trained; leave out --adapt.")
        adapter = weights.adapter if weights else None
        return build_split_encoder(model, settings.models_dir, layers, adapter, on_message=tell)

    return TrainingSetup(
        encoder=Path(model).name,
        weights=weights,
        codec=codec,
        data_dir=settings.data_dir,
        split=split,
        builder=builder,
    )


def make_wordings(settings: Settings) -> Wordings:
    from context.templates import WORDINGS
    from context.templates_file import read_wordings

    return read_wordings(settings.context.templates) if settings.context.templates else WORDINGS


def make_context_builder(
    settings: Settings,
    generator: Generator,
    counter: TokenCounter,
    bound: TokenCounter,
    wordings: Wordings,
    policy: SelectionPolicy,
) -> Builder:
    from context.builder import ContextBuilder as Builder
    from context.layout import LayoutPolicy

    chosen = settings.context
    return Builder(
        counter,
        limit=min(generator.context_window, chosen.prompt_limit),
        reserve=min(generator.max_output_tokens, chosen.reserve),
        max_tokens=chosen.max_tokens,
        policy=policy,
        bound=bound,
        layout=LayoutPolicy(chosen.restate_from, chosen.edges_from),
        wordings=wordings,
    )


def make_evaluation_setup(
    settings: Settings, generator: Generator, wordings: Wordings, own: ContextBuilder | None
) -> EvaluationSetup:
    """`own` is a context builder that was handed in: it is measured as it is."""
    from domain.asking import AskOptions
    from service.evaluation.setup import EvaluationSetup, Fill

    def filling(counter: TokenCounter, bound: TokenCounter) -> Fill:
        from context.selection_policy import SelectionPolicy

        if own is not None:
            return lambda query, scored, ceilings: [
                own.build(query, scored, AskOptions(max_tokens=ceiling)) for ceiling in ceilings
            ]
        return make_context_builder(settings, generator, counter, bound, wordings, SelectionPolicy.fill()).build_each

    return EvaluationSetup(filling, wordings)


def make_generator(settings: GenerationSettings, whole: Settings, counting: Counting) -> Generator:
    def extractive() -> Generator:
        from generation.extractive import ExtractiveGenerator

        return ExtractiveGenerator(counting.counter)

    def openai() -> Generator:
        from generation.openai_compatible import OpenAICompatibleGenerator

        return OpenAICompatibleGenerator(
            settings.base_url,
            settings.model,
            counting.bound,
            api_key=settings.api_key.get_secret_value() if settings.api_key else None,
            second=second_model_server(settings),
            context_window=whole.context.prompt_limit,
            max_output_tokens=whole.context.reserve,
            first_token_seconds=settings.first_token_seconds,
            total_seconds=settings.total_seconds,
        )

    generator: Generator = resolve("generator", settings.generator, {"extractive": extractive, "openai": openai})()
    return generator


def second_model_server(settings: GenerationSettings) -> ModelServer | None:
    """The API that stands in for the first one, where there is one."""
    from generation.endpoint import ModelServer

    if settings.second_base_url is None:
        if settings.second_model or settings.second_api_key:
            raise ConfigurationError("generation.second_base_url is not set; the other second_* settings need it.")
        return None
    key = settings.second_api_key.get_secret_value() if settings.second_api_key else None
    return ModelServer(settings.second_base_url, settings.second_model or settings.model, key)


def make_fallback(settings: Settings, generator: Generator, counter: TokenCounter) -> Generator | None:
    from generation.extractive import ExtractiveGenerator

    if not settings.generation.fallback or isinstance(generator, ExtractiveGenerator):
        return None
    return ExtractiveGenerator(counter)


def make_rewriter(settings: Settings, generator: Generator, counter: TokenCounter) -> QuestionRewriter:
    from generation.extractive import ExtractiveGenerator
    from service.rewriting import LONGEST_REWRITE, ModelRewriter, RuleRewriter

    if settings.conversation.rewrite == "rules":
        return RuleRewriter()
    if isinstance(generator, ExtractiveGenerator):
        raise ConfigurationError(
            'conversation.rewrite is "model", but the extractive generator is none; set generation.generator too.'
        )
    if settings.generation.generator != "openai":
        return ModelRewriter(generator, counter)
    seconds = settings.conversation.rewrite_seconds
    hasty = settings.generation.model_copy(update={"first_token_seconds": seconds, "total_seconds": seconds})
    short = settings.model_copy(
        update={"context": settings.context.model_copy(update={"reserve": LONGEST_REWRITE}), "generation": hasty}
    )
    from service.token_counting import Counting

    return ModelRewriter(make_generator(hasty, short, Counting(counter, counter)), counter)


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
