"""The seams: what a part must do to take a built-in's place.

A new part is one file. Name it as "module:attribute" in the settings, register it as an entry point, or hand it
to `open_engine(...)`; prove it by inheriting the matching suite of `fovea.testing`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from domain.asking import AskOptions
from domain.batches import BatchInfo, BatchItem, ItemResult, NewBatch
from domain.context import Context
from domain.documents import Chunk, Document, LoadedDocument, Passage
from domain.jobs import CollectionInfo, DocumentInfo, ErrorInfo, Job, NewJob, Receipt, Turn
from domain.search import (
    Candidate,
    Encoding,
    Filters,
    FloatArray,
    Hit,
    Query,
    QueryTerm,
    ScoredChunk,
    StoredChunk,
    TokenVectors,
)


class DocumentLoader(Protocol):
    """Turns the bytes of one format into text and blocks."""

    extensions: tuple[str, ...]  # lower case, with the dot
    media_types: tuple[str, ...]

    def load(self, data: bytes, name: str) -> LoadedDocument:
        """Read `data`; `name` is the file's name, for the title and for hints. Raises LoadError."""
        ...


class Chunker(Protocol):
    """Cuts a document into chunks on sentence ends. `recipe` changes whenever the cut would."""

    @property
    def recipe(self) -> str: ...

    def split(self, document: Document) -> tuple[Chunk, ...]: ...


class TokenCounter(Protocol):
    """Counts tokens the way one model does. `name` goes on the bill."""

    @property
    def name(self) -> str: ...

    def count(self, text: str) -> int: ...


@runtime_checkable
class Embedder(Protocol):
    """Sentence vectors. All rows are float32 of unit length; equal texts give equal vectors."""

    @property
    def model_id(self) -> str:
        """Model, backend and precision: vectors of two model_ids are never mixed."""
        ...

    @property
    def dim(self) -> int: ...

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Shape (N, D) for N texts; (0, D) for none."""
        ...

    def embed_query(self, text: str) -> FloatArray:
        """Shape (D,)."""
        ...


@runtime_checkable
class TokenEncoder(Embedder, Protocol):
    """An embedder that also gives the token vectors of the same forward pass."""

    def encode_documents(self, passages: Sequence[Passage]) -> list[Encoding]:
        """One Encoding a passage, in order. Token offsets count from the start of `passage.text`; the lead's tokens
        are left out.
        """
        ...

    def encode_query(self, text: str) -> Encoding: ...


class TokenCodec(Protocol):
    """Token vectors to compact bytes and back. `codec_id` names the format; bytes of another format are refused."""

    @property
    def codec_id(self) -> str: ...

    def encode(self, tokens: TokenVectors) -> bytes: ...

    def decode(self, blob: bytes) -> TokenVectors: ...


class VectorIndex(Protocol):
    """Nearest neighbours by inner product. One writer, many readers: a search sees the state before or after a write,
    never between.
    """

    @property
    def dim(self) -> int: ...

    def __len__(self) -> int: ...

    def add(self, keys: Sequence[int], vectors: FloatArray) -> None:
        """Add rows, shape (N, D). A key that is there already is replaced."""
        ...

    def remove(self, keys: Collection[int]) -> None:
        """Remove rows; unknown keys are ignored."""
        ...

    def search(self, vector: FloatArray, k: int, allowed: Collection[int] | None = None) -> list[Hit]:
        """At most `k` hits, best first, ties by ascending key; only keys in `allowed` where it is given."""
        ...

    def save(self, path: Path) -> None:
        """Write one self-contained file."""
        ...

    def load(self, path: Path) -> None:
        """Replace the content by that of a file which `save` wrote. Raises ValueError when it cannot be read."""
        ...


class LexicalIndex(Protocol):
    """BM25 over text, with the same verbs and the same guarantees as VectorIndex."""

    def __len__(self) -> int: ...

    def add(self, keys: Sequence[int], texts: Sequence[str]) -> None: ...

    def remove(self, keys: Collection[int]) -> None: ...

    def search(self, text: str, k: int, allowed: Collection[int] | None = None) -> list[Hit]: ...

    def terms(self, text: str) -> tuple[QueryTerm, ...]:
        """The terms of a question with their IDF in this index: log(1 + (N - df + .5) / (df + .5))."""
        ...

    def save(self, path: Path) -> None: ...

    def load(self, path: Path) -> None: ...


class IndexReader(Protocol):
    """What the retriever sees of a collection: both indexes at one moment."""

    @property
    def vector(self) -> VectorIndex: ...

    @property
    def lexical(self) -> LexicalIndex: ...


class Reranker(Protocol):
    """Scores chunks and their sentences against the question in one pass."""

    @property
    def name(self) -> str: ...

    def rerank(self, query: Query, candidates: Sequence[Candidate]) -> list[ScoredChunk]:
        """All candidates, best first; ties keep the order of `candidates`."""
        ...


class Generator(Protocol):
    """Turns a context into text."""

    @property
    def model(self) -> str: ...

    @property
    def context_window(self) -> int:
        """Tokens, prompt and answer together."""
        ...

    @property
    def max_output_tokens(self) -> int: ...

    def generate(self, context: Context) -> Iterator[str]:
        """Yield the answer's text in parts. Raises GenerationError; after the first part nothing is retried."""
        ...

    def count_tokens(self, text: str) -> int: ...


class ContextBuilder(Protocol):
    def build(self, query: Query, scored: Sequence[ScoredChunk], options: AskOptions) -> Context: ...


class Retriever(Protocol):
    def search(self, query: Query, k: int) -> list[Candidate]: ...


class DocumentStore(Protocol):
    """The only truth: documents, chunks and vectors, in SQL. Bound to one tenant; foreign ids do not exist for it.

    Every write bumps the generation of its collection inside the same transaction and returns the new generation.
    """

    def ensure_collection(self, name: str) -> None: ...

    def create_collection(self, name: str) -> CollectionInfo:
        """Raises UsageError with code "collection_exists"."""
        ...

    def list_collections(self) -> list[CollectionInfo]: ...

    def delete_collection(self, name: str) -> None:
        """Raises NotFound."""
        ...

    def check_encoder(self, collection: str, model_id: str, dim: int, codec_id: str) -> None:
        """Record the encoder on first use; raise IndexModelMismatch when the collection holds vectors of another."""
        ...

    def content_state(self, collection: str, source: str) -> tuple[str, str] | None:
        """(content_hash, recipe) of the live version of a source; None where there is none."""
        ...

    def replace(
        self,
        collection: str,
        document: Document,
        chunks: Sequence[Chunk],
        vectors: FloatArray,
        token_blobs: Sequence[bytes | None],
    ) -> tuple[int, tuple[int, ...]]:
        """Store a complete version and retire the old one in one transaction; (generation, retired keys)."""
        ...

    def record_failure(self, collection: str, document_id: str, source: str, error: ErrorInfo) -> None:
        """Note that the newest version of a source failed; a live older version stays as it is."""
        ...

    def delete(self, document_ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Delete documents; retired chunk keys by collection. Raises NotFound before anything is deleted."""
        ...

    def list_documents(
        self, collection: str | None = None, limit: int = 100, after: str | None = None
    ) -> list[DocumentInfo]:
        """Documents by ascending id, starting behind `after`."""
        ...

    def get_document(self, document_id: str) -> Document:
        """Raises NotFound."""
        ...

    def get_info(self, document_id: str) -> DocumentInfo:
        """Raises NotFound."""
        ...

    def get_chunks(self, collection: str, keys: Sequence[int], with_tokens: bool = True) -> dict[int, StoredChunk]:
        """Live chunks of the collection by key, in one SELECT; keys that are gone or foreign are left out."""
        ...

    def keys_matching(self, filters: Filters) -> frozenset[int]:
        """Keys of the chunks whose documents pass the filters."""
        ...

    def generation(self, collection: str) -> int:
        """0 for a collection that does not exist yet."""
        ...

    def iter_vectors(
        self, collection: str, batch: int = 4096, since: int = 0
    ) -> Iterable[tuple[list[int], FloatArray]]:
        """(keys, vectors of shape (N, D)) of live chunks added after generation `since`."""
        ...

    def iter_texts(self, collection: str, batch: int = 4096, since: int = 0) -> Iterable[tuple[list[int], list[str]]]:
        """(keys, texts to index) of live chunks added after generation `since`."""
        ...

    def retired_since(self, collection: str, generation: int) -> list[int]:
        """Keys retired after `generation`."""
        ...


class JobQueue(Protocol):
    """One tenant's durable jobs: a job that was acknowledged survives a kill of the process."""

    def enqueue(self, kind: str, payload: Mapping[str, Any], blob: bytes | None = None) -> Job: ...

    def submit(self, jobs: Sequence[NewJob], receipt: Receipt | None = None) -> Receipt | None:
        """Commit all jobs together with the receipt, or none of them. Where an equal receipt is there already, nothing
        is committed and that one is returned. Raises UsageError "idempotency_key_reused" where its key was used for
        something else.
        """
        ...

    def get(self, job_id: str) -> Job:
        """Raises NotFound."""
        ...

    def of_document(self, document_id: str) -> list[Job]:
        """The jobs whose payload's "document_id" is this one, newest first, without blobs; empty for an unknown id."""
        ...

    def cancel(self, job_id: str, reason: str) -> Job:
        """Stop a job that is not finished: once this returns, nothing of it is written. Raises NotFound."""
        ...

    def cancel_collection(self, collection: str, reason: str) -> int:
        """`cancel` for all jobs that would write into a collection; how many there were."""
        ...


class JobSource(Protocol):
    """The jobs of all tenants, as workers take them. A worker holds a job by a lease and shows signs of life; where
    they stop, others take the job over, and what the first one still writes is refused.
    """

    def claim(self, takes: Callable[[str], bool]) -> Job | None:
        """The next queued job whose kind is taken, now running, with its blob and a lease; tenants take turns."""
        ...

    def complete(self, job: Job) -> None:
        """Raises JobLost where the job is no longer held; so do `fail` and `release`."""
        ...

    def fail(self, job: Job, error: ErrorInfo) -> None: ...

    def release(self, job: Job, turn: Turn) -> None:
        """Give a job back that is not finished."""
        ...

    def beat(self, jobs: Sequence[Job]) -> list[Job]:
        """Show a sign of life for these; those that are no longer held are returned."""
        ...

    def lost(self, jobs: Sequence[Job]) -> list[Job]:
        """Which of these are no longer held: cancelled, or taken over."""
        ...

    def holding(self, job: Job) -> AbstractContextManager[None]:
        """A block in which everything that this thread writes is written only while the job is held, else JobLost."""
        ...

    def is_awaited(self, job: Job) -> bool:
        """Whether another job of its kind is queued."""
        ...

    def take_over(self) -> int:
        """Put jobs back whose holders showed no sign of life for the time of a lease; a job that has used up its
        attempts fails. Returns how many came back.
        """
        ...

    def requeue_own(self) -> int:
        """At start: put back what an earlier process of this installation left running. As `take_over`, at once."""
        ...


class BatchStore(Protocol):
    """One tenant's batches."""

    def create(self, batch: NewBatch, receipt: Receipt | None = None) -> Receipt | None:
        """Commit the batch as a job. `receipt` as in `JobQueue.submit`."""
        ...

    def info(self, batch_id: str) -> BatchInfo:
        """Raises NotFound."""
        ...

    def list_batches(self, limit: int = 100, before: str | None = None) -> list[BatchInfo]:
        """The newest first, at most `limit`, starting behind the batch `before`."""
        ...

    def results(self, batch_id: str) -> Iterator[tuple[BatchItem, ItemResult | None]]:
        """Every item in order, with its result as far as there is one. Raises NotFound."""
        ...

    def cancel(self, batch_id: str) -> BatchInfo:
        """Stop a batch; what it has answered stays. Raises NotFound."""
        ...

    def remove(self, batch_id: str) -> None:
        """Stop a batch and forget it with its questions and results. Raises NotFound."""
        ...


class BatchWork(Protocol):
    """What a worker needs of the batch that it holds; every write raises JobLost where it no longer does."""

    def waiting(self, job: Job, limit: int) -> list[BatchItem]:
        """The first items without a result that no earlier item will answer; `limit` at most."""
        ...

    def record(self, job: Job, item: BatchItem, result: ItemResult) -> None:
        """Commit the result of an item, and of every item with the same fingerprint."""
        ...

    def close_rest(self, job: Job, error: ErrorInfo) -> int:
        """Give all items without a result this error; how many there were."""
        ...

    def spent(self, job: Job) -> tuple[int, int]:
        """(tokens of all calls so far, tokens of the largest of them)."""
        ...
