"""From inputs to committed documents.

    read -> known? -> load -> chunk      ahead, in a few threads (preparation.py)
         -> encode                       in full batches that span documents (embedding.py)
         -> store -> announce            one document at a time, in the order of the inputs (commits.py)

A document is stored by one transaction when all its vectors are there; until then its old version stays what it was.
Whatever goes wrong with one input becomes its outcome and the run goes on; only a database that refuses to work, a
collection that was deleted meanwhile, or one that holds another encoder's vectors ends the run.

In memory at any time: the inputs being read ahead (8 a worker, or 64 MB of them), the chunks of the documents in the
encoder's window with their sentence vectors, one batch of token vectors, and up to 32 MB of packed token vectors a
document; what exceeds that waits on disk.
"""

from __future__ import annotations

import operator
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from domain.document_store import DocumentStore
from domain.jobs import DocumentOutcome, DocumentStatus, IngestProgress, IngestReport
from domain.protocols import Chunker, Embedder, TokenCodec
from domain.search import DEFAULT_TENANT
from ingestion.commits import Commit, Committer
from ingestion.embedding import EncodedDocument, EncodingBacklog
from ingestion.preparation import LoadOne, Preparation, Prepared
from ingestion.sources import SourceItem

ReportProgress = Callable[[IngestProgress], None]

_MAX_INPUTS_A_WORKER = 8
_MAX_BYTES_AHEAD = 64 * 2**20
# So long the encoder waits for more chunks to fill its window with. Small documents are prepared within a millisecond
# and fill it; while a parser works for seconds, a small batch now is better than an idle encoder.
_PATIENCE_SECONDS = 0.05
_SILENCE_SECONDS = 1.0  # so often progress is reported at least, while all wait for a parser


class IngestionPipeline:
    """Reads inputs into the collections of one tenant's store.

    `load(data, name, media_type)` parses bytes and is called from `workers` threads at once. With a `codec` and a
    TokenEncoder the token vectors are kept too. `on_commit` is called in the caller's thread after each document's
    transaction; if it fails that is logged, since what is stored is the truth and an index can catch up with it.
    `batch_size` chunks go to the encoder at a time, chosen by length from a window of `window` chunks.
    """

    def __init__(
        self,
        load: LoadOne,
        chunker: Chunker,
        encoder: Embedder,
        store: DocumentStore,
        codec: TokenCodec | None = None,
        on_commit: Callable[[Commit], None] | None = None,
        *,
        tenant: str = DEFAULT_TENANT,
        workers: int = 2,
        batch_size: int = 32,
        window: int = 512,
    ) -> None:
        self._load, self._chunker, self._encoder, self._codec = load, chunker, encoder, codec
        self._store, self._on_commit, self._tenant = store, on_commit, tenant
        self._workers, self._batch_size, self._window = workers, batch_size, window

    def run(self, items: Iterable[SourceItem], collection: str, progress: ReportProgress | None = None) -> IngestReport:
        """Ingest all items and say what became of each, in their order.

        Raises IndexModelMismatch before anything is read; StorageError when the database refuses, NotFound when the
        collection is deleted meanwhile; and what iterating over `items` raises, once everything before it is done.
        KeyboardInterrupt ends the run between two commits; what was committed stays.
        """
        started = time.perf_counter()
        self._store.ensure_collection(collection)
        codec_id = self._codec.codec_id if self._codec else ""
        self._store.check_encoder(collection, self._encoder.model_id, self._encoder.dim, codec_id)
        committer = Committer(self._store, self._tenant, collection, self._on_commit)
        known = _KnownVersions(self._store, collection, self._chunker.recipe)
        backlog = EncodingBacklog(self._encoder, self._codec, self._batch_size, self._window)
        preparation = Preparation(
            items,
            self._load,
            self._chunker,
            known.holds,
            committer.make_id,
            self._workers,
            max_inputs=_MAX_INPUTS_A_WORKER * self._workers,
            max_bytes=_MAX_BYTES_AHEAD,
        )
        run = _Run(preparation, backlog, committer, self._encoder.dim, progress, operator.length_hint(items))
        with preparation:
            outcomes = run.to_the_end()
        return IngestReport(tuple(outcomes), time.perf_counter() - started)


class _KnownVersions:
    """Which versions need no work: those in the store, and those an earlier input of this run brought."""

    def __init__(self, store: DocumentStore, collection: str, recipe: str) -> None:
        self._store, self._collection, self._recipe = store, collection, recipe
        self._seen: dict[str, str] = {}

    def holds(self, source: str, content_hash: str) -> bool:
        # Once this run has brought a version of the source, the store's answer is out of date: the last one counts.
        earlier = self._seen.get(source)
        self._seen[source] = content_hash
        if earlier is not None:
            return earlier == content_hash
        return self._store.content_state(self._collection, source) == (content_hash, self._recipe)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An input that waits for its turn to be committed; `encoded` is there when it has chunks to encode."""

    prepared: Prepared
    encoded: EncodedDocument | None


class _Run:
    """One run: moves inputs from preparation through the encoder to their outcomes."""

    def __init__(
        self,
        preparation: Preparation,
        backlog: EncodingBacklog,
        committer: Committer,
        dim: int,
        progress: ReportProgress | None,
        expected: int,
    ) -> None:
        self._preparation, self._backlog, self._committer, self._dim = preparation, backlog, committer, dim
        self._progress, self._expected = progress, expected
        self._entries: deque[_Entry] = deque()
        self._outcomes: list[DocumentOutcome] = []
        self._by_source: dict[str, DocumentOutcome] = {}
        self._chunks_done = 0

    def to_the_end(self) -> list[DocumentOutcome]:
        try:
            while len(self._backlog) or not self._preparation.exhausted:
                self._step()
        finally:
            for entry in self._entries:
                if entry.encoded is not None:
                    entry.encoded.close()
        return self._outcomes

    def _step(self) -> None:
        prepared = self._next()
        if prepared is not None:
            self._take(prepared)
        if self._backlog.full or prepared is None:
            for encoded in self._backlog.encode_window():
                self._chunks_done += encoded
                self._preparation.advance()
                self._report(self._entries[0].prepared.source if self._entries else self._outcomes[-1].source)
        while self._entries and _is_ready(self._entries[0]):
            self._finish(self._entries.popleft())

    def _next(self) -> Prepared | None:
        if len(self._backlog):
            return self._preparation.poll(_PATIENCE_SECONDS)
        # A parser may take a minute: whoever follows the run hears of it meanwhile, and may end it by an error.
        while not self._preparation.ready(_SILENCE_SECONDS):
            self._report(self._outcomes[-1].source if self._outcomes else "")
        return self._preparation.poll(None)

    def _take(self, prepared: Prepared) -> None:
        encoded = None
        if prepared.document is not None:
            encoded = EncodedDocument(prepared.document, prepared.chunks, self._dim)
            self._backlog.add(encoded)
        self._entries.append(_Entry(prepared, encoded))

    def _finish(self, entry: _Entry) -> None:
        try:
            outcome = self._outcome(entry)
        finally:
            if entry.encoded is not None:
                entry.encoded.close()
        self._outcomes.append(outcome)
        self._by_source[outcome.source] = outcome
        self._report(outcome.source)

    def _outcome(self, entry: _Entry) -> DocumentOutcome:
        prepared, encoded = entry.prepared, entry.encoded
        if prepared.known:
            return self._known_outcome(prepared.source)
        error = prepared.error or (encoded.error if encoded else None)
        if error is not None:
            return self._committer.fail(prepared.source, error)
        assert encoded is not None
        return self._committer.store(encoded)

    def _known_outcome(self, source: str) -> DocumentOutcome:
        earlier = self._by_source.get(source)
        if earlier is None:
            return self._committer.unchanged(source)
        if earlier.status is DocumentStatus.FAILED:
            return earlier  # the same bytes would fail the same way
        return replace(earlier, status=DocumentStatus.UNCHANGED)

    def _report(self, source: str) -> None:
        if self._progress is not None:
            total = max(self._expected, self._preparation.found)
            self._progress(IngestProgress(len(self._outcomes), total, self._chunks_done, source))


def _is_ready(entry: _Entry) -> bool:
    return entry.encoded is None or entry.encoded.complete
