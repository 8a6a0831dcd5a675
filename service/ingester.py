"""The engine's ingestion side: inputs to the pipeline, commits to the indexes, snapshots at the end of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from domain.document_store import DocumentStore
from domain.documents import LoadedDocument, text_source
from domain.jobs import DocumentOutcome, IngestProgress, IngestReport
from domain.protocols import Chunker, Embedder, TokenCodec
from ingestion.commits import Commit
from ingestion.loader_pool import LoaderPool
from ingestion.pipeline import IngestionPipeline
from ingestion.sources import SourceItem
from ingestion.text_gate import clean
from service.indexed_text import indexed_text
from service.indexes import IndexManager

Expand = Callable[[Sequence[str | Path]], Iterable[SourceItem]]
Tell = Callable[[IngestProgress], None]


class ReceivedItem(SourceItem):
    """One input that came over a wire."""

    def __init__(
        self,
        source: str,
        name: str,
        data: bytes,
        media_type: str | None = None,
        loaded: LoadedDocument | None = None,
    ) -> None:
        super().__init__(source, name)
        self.media_type = media_type
        self.loaded = loaded
        self._data = data

    def read(self) -> bytes:
        return self._data


class Ingester:
    """Runs the pipeline over files, folders, URLs and bytes; parsers start with the first run."""

    def __init__(
        self,
        store: DocumentStore,
        indexes: IndexManager,
        encoder: Embedder,
        codec: TokenCodec,
        chunker: Callable[[], Chunker],
        parsers: Callable[[], LoaderPool],
        expand: Expand,
        workers: int,
        tenant: str,
    ) -> None:
        """`chunker` and `parsers` are asked for with the first run; whoever gives them closes them."""
        self._store, self._indexes, self._encoder, self._codec = store, indexes, encoder, codec
        self._chunker, self._parsers, self._expand = chunker, parsers, expand
        self._workers, self._tenant = workers, tenant
        self._lock = threading.Lock()
        self._pipeline: IngestionPipeline | None = None

    def ingest(
        self,
        inputs: Sequence[str | Path],
        collection: str,
        progress: Tell | None,
    ) -> IngestReport:
        """Raises UsageError for a path that does not exist, before anything is read."""
        return self._run(self._expand(inputs), collection, progress)

    def ingest_bytes(
        self,
        data: bytes,
        name: str,
        collection: str,
        source: str | None,
        media_type: str | None,
        progress: Tell | None = None,
    ) -> DocumentOutcome:
        item = ReceivedItem(source or name, name, data, media_type)
        return self._run([item], collection, progress).documents[0]

    def ingest_text(
        self, text: str, title: str, collection: str, source: str | None, progress: Tell | None = None
    ) -> DocumentOutcome:
        """Plain text needs no parser, only the text gate."""
        name = source or text_source(title, text)
        cleaned, title = clean(text).text, clean(title).text
        data = f"{title}\n{cleaned}".encode()
        loaded = LoadedDocument(title=title, text=cleaned, media_type="text/plain")
        item = ReceivedItem(name, title or name, data, "text/plain", loaded)
        return self._run([item], collection, progress).documents[0]

    def _run(self, items: Iterable[SourceItem], collection: str, progress: Tell | None) -> IngestReport:
        pipeline = self._opened()
        with self._indexes.batch(collection):  # when it ends, all that was stored is found
            return pipeline.run(items, collection, progress)

    def _opened(self) -> IngestionPipeline:
        with self._lock:
            if self._pipeline is None:
                self._pipeline = IngestionPipeline(
                    self._parsers().load,
                    self._chunker(),
                    self._encoder,
                    self._store,
                    self._codec,
                    self._follow,
                    workers=self._workers,
                    tenant=self._tenant,
                )
            return self._pipeline

    def _follow(self, commit: Commit) -> None:
        texts = [indexed_text(chunk, commit.document.title) for chunk in commit.chunks]
        self._indexes.apply(commit.collection, commit.generation, commit.keys, commit.vectors, texts, commit.retired)
