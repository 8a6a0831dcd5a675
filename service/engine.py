"""The engine: every verb of the product, written once, synchronous, over parts that are handed in.

    ingest   inputs -> pipeline -> one commit a document -> indexes -> IngestReport
    search   question -> encode once -> dense + lexical -> one SELECT -> one attention pass -> select -> lay out
    ask      search -> generate at most once -> verify citations -> Answer
    stream   the same, text first

The stages do not know each other: they meet here as values.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from domain.answers import Answer, AskOptions, Constraint, Context, Message, SearchResult, Usage
from domain.documents import Document
from domain.errors import FoveaError, GenerationError, NotFound, UsageError
from domain.jobs import CollectionInfo, DocumentInfo, DocumentOutcome, IngestProgress, IngestReport
from domain.protocols import (
    ContextBuilder,
    DocumentStore,
    Embedder,
    Generator,
    Reranker,
    TokenCounter,
    TokenEncoder,
)
from domain.search import DEFAULT_COLLECTION, Candidate, Filters, Query, QueryTerm
from service.stopwatch import Stopwatch

log = logging.getLogger(__name__)

MAX_QUESTION_CHARACTERS = 20_000  # about 5,000 tokens: more is a document, not a question
_BATCH_WORKERS = 4  # questions in flight when answers come from a remote model


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
        self, data: bytes, name: str, collection: str, source: str | None, media_type: str | None
    ) -> DocumentOutcome: ...

    def ingest_text(self, text: str, title: str, collection: str, source: str | None) -> DocumentOutcome: ...


class Indexes(Protocol):
    """What the engine needs of the index manager."""

    def retire(self, collection: str, generation: int, keys: Sequence[int]) -> None: ...

    def drop(self, collection: str) -> None: ...

    def rebuild(self, collection: str) -> None: ...

    def status(self) -> list[dict[str, Any]]: ...

    def close(self) -> None: ...


class Dialogue(Protocol):
    """The rules of conversation and citation that the context stage owns."""

    def standalone_question(self, question: str, history: Sequence[Message]) -> str: ...

    def abstention(self, context: Context) -> str: ...

    def cite(self, text: str, context: Context) -> tuple[str, tuple[Any, ...], bool]:
        """(text without marks that do not exist, citations, whether the text declines to answer)."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything an engine is made of. `bootstrap.build_engine` is the one place that fills it."""

    store: DocumentStore
    indexes: Indexes
    ingestion: Ingestion
    encoder: Embedder
    codec_id: str
    retriever: QuestionRetriever
    reranker: Reranker
    context_builder: ContextBuilder
    dialogue: Dialogue
    generator: Generator
    fallback: Generator | None
    counter: TokenCounter
    clean_text: Callable[[str], str]
    candidates: int
    close: Callable[[], None]


class Engine:
    """Answers from documents with the fewest tokens that still hold the answer.

    Safe to share between threads: questions run side by side, writes one after another.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._write_lock = threading.RLock()
        self._closed = False

    # -- documents ---------------------------------------------------------------------------------------------------

    def ingest(
        self,
        inputs: Sequence[str | Path] | str | Path,
        *,
        collection: str = DEFAULT_COLLECTION,
        progress: Callable[[IngestProgress], None] | None = None,
    ) -> IngestReport:
        """Index files, folders, URLs and CORPUS.jsonl files; a document is searchable once its outcome is reported.

        An input that cannot be read becomes a failed outcome and never stops the run.
        Raises UsageError for a path that does not exist, IndexModelMismatch before anything is read.
        """
        paths = [inputs] if isinstance(inputs, str | Path) else list(inputs)
        if not paths:
            raise UsageError("Nothing to ingest: name at least one file, folder or URL.")
        with self._write_lock:
            self._claim_collection(collection)
            return self._parts.ingestion.ingest(paths, collection, progress)

    def ingest_bytes(
        self,
        data: bytes,
        name: str,
        *,
        collection: str = DEFAULT_COLLECTION,
        source: str | None = None,
        media_type: str | None = None,
    ) -> DocumentOutcome:
        """Index one file that is already in memory, for example an upload; `source` defaults to `name`."""
        with self._write_lock:
            self._claim_collection(collection)
            return self._parts.ingestion.ingest_bytes(data, name, collection, source, media_type)

    def ingest_text(
        self, text: str, *, title: str = "", collection: str = DEFAULT_COLLECTION, source: str | None = None
    ) -> DocumentOutcome:
        """Index a plain text; `source` defaults to an id made from the text."""
        with self._write_lock:
            self._claim_collection(collection)
            return self._parts.ingestion.ingest_text(text, title, collection, source)

    def list_documents(
        self, collection: str | None = None, limit: int = 100, after: str | None = None
    ) -> list[DocumentInfo]:
        """Documents by ascending id, at most `limit`, starting behind the id `after`."""
        return self._parts.store.list_documents(collection, limit, after)

    def get_document(self, document_id: str) -> DocumentInfo:
        """Raises NotFound."""
        return self._parts.store.get_info(document_id)

    def document(self, document_id: str) -> Document:
        """A document with its text: the text that every span counts in. Raises NotFound."""
        return self._parts.store.get_document(document_id)

    def delete(self, document_ids: Sequence[str] | str) -> None:
        """Delete documents: once this returns, nothing of them is found again. Raises NotFound before anything is
        deleted.
        """
        ids = [document_ids] if isinstance(document_ids, str) else list(document_ids)
        with self._write_lock:
            for collection, keys in self._parts.store.delete(ids).items():
                self._parts.indexes.retire(collection, self._parts.store.generation(collection), keys)

    # -- collections -------------------------------------------------------------------------------------------------

    def list_collections(self) -> list[CollectionInfo]:
        return self._parts.store.list_collections()

    def create_collection(self, name: str) -> CollectionInfo:
        """Raises UsageError where the name is taken or unusable."""
        with self._write_lock:
            return self._parts.store.create_collection(name)

    def delete_collection(self, name: str) -> None:
        """Delete a collection with all its documents. Raises NotFound."""
        with self._write_lock:
            self._parts.store.delete_collection(name)
            self._parts.indexes.drop(name)

    def reindex(self, collection: str = DEFAULT_COLLECTION) -> None:
        """Rebuild the indexes of a collection from SQL, without calling the encoder."""
        with self._write_lock:
            self._parts.indexes.rebuild(collection)

    # -- questions ---------------------------------------------------------------------------------------------------

    def search(
        self,
        question: str,
        *,
        max_tokens: int | None = None,
        collection: str = DEFAULT_COLLECTION,
        document_ids: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        history: Sequence[Message] = (),
    ) -> SearchResult:
        """The evidence for a question within `max_tokens` context tokens; nothing is generated."""
        filters = Filters(collection, frozenset(document_ids), dict(metadata or {}))
        return self._search(question, AskOptions(max_tokens=max_tokens, history=tuple(history)), filters, Stopwatch())

    def ask(
        self,
        question: str,
        *,
        max_tokens: int | None = None,
        collection: str = DEFAULT_COLLECTION,
        constraints: Sequence[str] = (),
        role: str | None = None,
        think: bool = False,
        history: Sequence[Message] = (),
        document_ids: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Answer:
        """One answer with verified citations. Raises GenerationError when the model fails and no fallback is
        allowed.
        """
        *_, answer = self.stream(
            question,
            max_tokens=max_tokens,
            collection=collection,
            constraints=constraints,
            role=role,
            think=think,
            history=history,
            document_ids=document_ids,
            metadata=metadata,
        )
        assert isinstance(answer, Answer)  # the last item of a stream
        return answer

    def stream(
        self,
        question: str,
        *,
        max_tokens: int | None = None,
        collection: str = DEFAULT_COLLECTION,
        constraints: Sequence[str] = (),
        role: str | None = None,
        think: bool = False,
        history: Sequence[Message] = (),
        document_ids: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Iterator[str | Answer]:
        """Yield the answer's text in parts, then the Answer. Closing the iterator cancels the model's call."""
        options = AskOptions(max_tokens, tuple(Constraint(text) for text in constraints), role, think, tuple(history))
        filters = Filters(collection, frozenset(document_ids), dict(metadata or {}))
        clock = Stopwatch()
        found = self._search(question, options, filters, clock)
        if not found.evidence:
            text = self._parts.dialogue.abstention(found.context)
            yield text
            yield self._answer(text, found, "none", Usage(0, 0), clock, abstained=True)
            return
        yield from self._generate(found, clock)

    def batch(self, questions: Iterable[str], **options: Any) -> Iterator[Answer | FoveaError]:
        """Answers in the order of the questions; a question that fails gives its error in the answer's place."""

        def one(question: str) -> Answer | FoveaError:
            try:
                return self.ask(question, **options)
            except FoveaError as error:
                return error

        with ThreadPoolExecutor(_BATCH_WORKERS, thread_name_prefix="fovea-batch") as pool:
            pending: list[Any] = []
            for question in questions:
                pending.append(pool.submit(one, question))
                if len(pending) >= 2 * _BATCH_WORKERS:  # bounded: never more answers in memory than in flight
                    yield pending.pop(0).result()
            for future in pending:
                yield future.result()

    # -- life --------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What runs here: encoder, generator, reranker, indexes, for `doctor` and `/readyz`. Loads the encoder."""
        parts = self._parts
        return {
            "encoder": {"model_id": parts.encoder.model_id, "dim": parts.encoder.dim},
            "reranker": parts.reranker.name,
            "generator": parts.generator.model,
            "tokenizer": parts.counter.name,
            "collections": [item.to_dict() for item in self.list_collections()],
            "indexes": parts.indexes.status(),
        }

    @property
    def model(self) -> str:
        """The name of the answering model, as it stands in answers."""
        return self._parts.generator.model

    def close(self) -> None:
        """Save the indexes and let go of the data directory. Calling it twice is harmless."""
        with self._write_lock:
            if not self._closed:
                self._closed = True
                self._parts.indexes.close()
                self._parts.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _claim_collection(self, collection: str) -> None:
        parts = self._parts
        parts.store.ensure_collection(collection)
        parts.store.check_encoder(collection, parts.encoder.model_id, parts.encoder.dim, parts.codec_id)

    def _search(self, question: str, options: AskOptions, filters: Filters, clock: Stopwatch) -> SearchResult:
        parts = self._parts
        text = self._checked_question(question, options)
        with clock.stage("encode"):
            query = self._encode(text, options.history, filters)
        with clock.stage("retrieve"):
            query, candidates = self._retrieve(query)
        with clock.stage("rerank"):
            scored = parts.reranker.rerank(query, candidates)
        with clock.stage("build"):
            # The prompt carries the user's own words; only retrieval and scoring see the standalone form.
            context = parts.context_builder.build(replace(query, text=text), scored, options)
        return SearchResult(context, clock.timings())

    def _checked_question(self, question: str, options: AskOptions) -> str:
        text = self._parts.clean_text(question).strip()
        if not text:
            raise UsageError("The question is empty: ask something.")
        if len(text) > MAX_QUESTION_CHARACTERS:
            raise UsageError(
                f"The question has {len(text):,} characters; at most {MAX_QUESTION_CHARACTERS:,} are read. "
                "Ingest long texts as documents and ask about them.",
                code="question_too_long",
            )
        if options.max_tokens is not None and options.max_tokens < 1:
            raise UsageError(f"max_tokens is {options.max_tokens}; it must be at least 1.")
        return text

    def _encode(self, text: str, history: Sequence[Message], filters: Filters) -> Query:
        parts = self._parts
        standalone = parts.dialogue.standalone_question(text, history) if history else text
        if isinstance(parts.encoder, TokenEncoder):
            encoding = parts.encoder.encode_query(standalone)
            vector, tokens = encoding.vector, encoding.tokens
        else:
            vector, tokens = parts.encoder.embed_query(standalone), None
        return Query(standalone, vector, tokens, filters=filters)

    def _retrieve(self, query: Query) -> tuple[Query, list[Candidate]]:
        """The query with its terms weighted by this collection, and the candidates for it."""
        parts, collection = self._parts, query.filters.collection
        if parts.store.generation(collection) == 0:
            if collection != DEFAULT_COLLECTION and collection not in {c.name for c in self.list_collections()}:
                raise NotFound(f"There is no collection {collection!r}; ingest into it or create it first.")
            return query, []
        parts.store.check_encoder(collection, parts.encoder.model_id, parts.encoder.dim, parts.codec_id)
        query = replace(query, terms=parts.retriever.question_terms(collection, query.text))
        return query, parts.retriever.search(query, parts.candidates)

    def _generate(self, found: SearchResult, clock: Stopwatch) -> Iterator[str | Answer]:
        parts, started = self._parts, False
        collected: list[str] = []
        try:
            with clock.stage("generate"):
                for part in parts.generator.generate(found.context):
                    started = True
                    collected.append(part)
                    yield part
            yield self._finish("".join(collected), found, parts.generator, clock)
        except GenerationError as error:
            if started or parts.fallback is None:
                raise
            log.warning("model_failed code=%s fallback=%s", error.code, parts.fallback.model)
            with clock.stage("generate"):
                text = "".join(parts.fallback.generate(found.context))
            yield text
            yield self._finish(text, found, parts.fallback, clock, degraded=True)

    def _finish(
        self, text: str, found: SearchResult, generator: Generator, clock: Stopwatch, degraded: bool = False
    ) -> Answer:
        usage = Usage(found.bill.total, self._parts.counter.count(text))
        return self._answer(text, found, generator.model, usage, clock, degraded=degraded)

    def _answer(
        self,
        text: str,
        found: SearchResult,
        model: str,
        usage: Usage,
        clock: Stopwatch,
        abstained: bool = False,
        degraded: bool = False,
    ) -> Answer:
        with clock.stage("verify"):
            cleaned, citations, declined = self._parts.dialogue.cite(text, found.context)
        return Answer(
            text=cleaned,
            citations=citations,
            search=found,
            model=model,
            usage=usage,
            timings=clock.timings(total=True),
            abstained=abstained or declined,
            degraded=degraded,
        )
