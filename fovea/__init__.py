"""Fovea answers from documents with the fewest tokens that still hold the answer.

    from fovea import open_engine

    with open_engine(data_dir=".fovea") as engine:
        engine.ingest(["docs/"])
        answer = engine.ask("Who signs the contract?")
        print(answer.text, answer.citations)

Everything a program needs is named here; heavy parts load on first use.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.answers import Answer, Citation, Usage
from domain.asking import Constraint, Message
from domain.batches import BatchInfo
from domain.calibration import CalibrationReport
from domain.context import Context, ContextBill, Dropped
from domain.documents import Block, BlockKind, Chunk, Document, LoadedDocument, Page, Passage, Sentence, Span
from domain.errors import (
    ConfigurationError,
    ContextBudgetError,
    DataDirectoryInUse,
    FetchError,
    FoveaError,
    GenerationError,
    GeneratorBadResponse,
    GeneratorTimeout,
    GeneratorUnreachable,
    IndexModelMismatch,
    LoadError,
    NotFound,
    StorageError,
    UsageError,
)
from domain.evaluation import EvaluationReport
from domain.explanation import Explanation
from domain.jobs import CollectionInfo, DocumentInfo, DocumentOutcome, DocumentStatus, IngestProgress, IngestReport
from domain.maintenance import ReindexReport
from domain.search import Encoding, Evidence, Query, ScoredChunk, ScoredSentence, TokenVectors
from domain.search_result import SearchResult
from domain.training import TrainingReport

if TYPE_CHECKING:
    from fovea.client import AsyncClient, Client
    from service.engine import Engine
    from service.evaluation.plot import plot_evaluation
    from service.settings import Settings

_LAZY = {
    "AsyncClient": "fovea.client",
    "Client": "fovea.client",
    "Engine": "service.engine",
    "Settings": "service.settings",
    "plot_evaluation": "service.evaluation.plot",
}

__all__ = [
    "Answer",
    "AsyncClient",
    "BatchInfo",
    "Block",
    "BlockKind",
    "CalibrationReport",
    "Chunk",
    "Citation",
    "Client",
    "CollectionInfo",
    "ConfigurationError",
    "Constraint",
    "Context",
    "ContextBill",
    "ContextBudgetError",
    "DataDirectoryInUse",
    "Document",
    "DocumentInfo",
    "DocumentOutcome",
    "DocumentStatus",
    "Dropped",
    "Encoding",
    "Engine",
    "EvaluationReport",
    "Evidence",
    "Explanation",
    "FetchError",
    "FoveaError",
    "GenerationError",
    "GeneratorBadResponse",
    "GeneratorTimeout",
    "GeneratorUnreachable",
    "IndexModelMismatch",
    "IngestProgress",
    "IngestReport",
    "LoadError",
    "LoadedDocument",
    "Message",
    "NotFound",
    "Page",
    "Passage",
    "Query",
    "ReindexReport",
    "ScoredChunk",
    "ScoredSentence",
    "SearchResult",
    "Sentence",
    "Settings",
    "Span",
    "StorageError",
    "TokenVectors",
    "TrainingReport",
    "Usage",
    "UsageError",
    "open_engine",
    "plot_evaluation",
]


def open_engine(data_dir: str | Path | None = None, *, settings: Settings | None = None, **parts: Any) -> Engine:
    """Open the engine over a data directory: FOVEA_DATA_DIR or ./.fovea where none is given.

    `parts` replace built-in parts by keyword: encoder, chunker, reranker, generator, vector_index, lexical_index,
    context_builder, loaders. Raises ConfigurationError, and DataDirectoryInUse while another process has it open.
    """
    from service.bootstrap import build_engine
    from service.settings import load_settings

    chosen = settings or load_settings(data_dir=Path(data_dir) if data_dir is not None else None)
    if settings is not None and data_dir is not None:
        chosen = settings.model_copy(update={"data_dir": Path(data_dir)})
    return build_engine(chosen, **parts)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'fovea' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
