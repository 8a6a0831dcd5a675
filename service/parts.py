"""What an engine is made of: the parts, as the engine sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from context.token_bounds import LearnedBound
from domain.context import Context
from domain.document_store import DocumentStore
from domain.jobs import DocumentOutcome, IngestProgress, IngestReport
from domain.protocols import ContextBuilder, Embedder, Generator, Reranker, TokenCounter
from domain.search import Candidate, Query, QueryTerm
from service.evaluation.setup import EvaluationSetup
from service.rewriting import QuestionRewriter
from service.scoring import CollectionScoring
from service.training.setup import TrainingSetup


class QuestionRetriever(Protocol):
    """What the engine needs of a retriever: candidates, and the question's terms with their IDF."""

    def search(self, query: Query, k: int) -> list[Candidate]: ...

    def question_terms(self, collection: str, text: str) -> tuple[QueryTerm, ...]: ...


class Ingestion(Protocol):
    """What the engine needs of the ingestion side: whole runs, and single texts that arrive over a wire."""

    def ingest(
        self,
        inputs: Sequence[str | Path],
        collection: str,
        progress: Callable[[IngestProgress], None] | None,
    ) -> IngestReport: ...

    def ingest_bytes(
        self,
        data: bytes,
        name: str,
        collection: str,
        source: str | None,
        media_type: str | None,
        progress: Callable[[IngestProgress], None] | None = None,
    ) -> DocumentOutcome: ...

    def ingest_text(
        self,
        text: str,
        title: str,
        collection: str,
        source: str | None,
        progress: Callable[[IngestProgress], None] | None = None,
    ) -> DocumentOutcome: ...


class Indexes(Protocol):
    """What the engine needs of the index manager."""

    def retire(self, collection: str, generation: int, keys: Sequence[int]) -> None: ...

    def drop(self, collection: str) -> None: ...

    def rebuild(self, collection: str, progress: Callable[[str, int], None] | None = None) -> None: ...

    def status(self) -> list[dict[str, Any]]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything an engine is made of. `bootstrap.build_engine` is the one place that fills it."""

    tenant: str
    store: DocumentStore
    indexes: Indexes
    ingestion: Ingestion
    encoder: Embedder
    codec_id: str
    retriever: QuestionRetriever
    reranker: Reranker
    context_builder: ContextBuilder
    scoring: CollectionScoring
    generator: Generator
    fallback: Generator | None
    counter: TokenCounter
    bound: LearnedBound
    is_abstention: Callable[[str], bool]
    rewriter: QuestionRewriter
    sent_once: Callable[[Context], Context]
    clean_text: Callable[[str], str]
    candidates: int
    close: Callable[[], None]
    training: TrainingSetup
    evaluation: EvaluationSetup
    reembed: Callable[[str, Callable[[int, int], None] | None], int]
