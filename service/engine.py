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
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from context.citations import resolve_citations
from context.history import standalone_question
from context.templates import is_abstention
from domain.answers import Answer, AskOptions, Constraint, Message, SearchResult, Usage
from domain.documents import Document
from domain.errors import FoveaError, GenerationError, NotFound, UsageError
from domain.jobs import CollectionInfo, DocumentInfo, DocumentOutcome, IngestProgress, IngestReport
from domain.protocols import (
    TokenEncoder,
)
from domain.search import DEFAULT_COLLECTION, Filters, Query
from service.parts import Parts
from service.question_pool import ask_all
from service.stopwatch import Stopwatch

log = logging.getLogger(__name__)

MAX_QUESTION_CHARACTERS = 20_000  # about 5,000 tokens: more is a document, not a question
MAX_HISTORY_TURNS = 200
MAX_HISTORY_CHARACTERS = 200_000  # ten times what any prompt has room for


def encode_question(parts: Parts, text: str, filters: Filters) -> Query:
    """The question, encoded once, with its terms weighted by the collection that is searched."""
    terms = parts.retriever.question_terms(filters.collection, text)
    if isinstance(parts.encoder, TokenEncoder):
        encoding = parts.encoder.encode_query(text)
        return Query(text, encoding.vector, encoding.tokens, terms, filters)
    return Query(text, parts.encoder.embed_query(text), None, terms, filters)


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
            return self._parts.ingestion.ingest_bytes(data, name, collection, source, media_type)

    def ingest_text(
        self, text: str, *, title: str = "", collection: str = DEFAULT_COLLECTION, source: str | None = None
    ) -> DocumentOutcome:
        """Index a plain text; `source` defaults to an id made from the text."""
        with self._write_lock:
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
        if found.context.abstention:  # no model is asked what the documents do not say
            yield found.context.abstention
            yield self._answer(found.context.abstention, found, self.model, Usage(0, 0), clock)
            return
        yield from self._generate(found, clock)

    def batch(self, questions: Iterable[str], **options: Any) -> Iterator[Answer | FoveaError]:
        """Answers in the order of the questions; a question that fails gives its error in the answer's place."""
        return ask_all(partial(self.ask, **options), questions)

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

    def _search(self, question: str, options: AskOptions, filters: Filters, clock: Stopwatch) -> SearchResult:
        parts = self._parts
        text = self._checked_question(question, options)
        self._check_collection(filters.collection)
        with clock.stage("encode"):
            standalone = standalone_question(text, options.history) if options.history else text
            query = encode_question(parts, standalone, filters)
        with clock.stage("retrieve"):
            candidates = parts.retriever.search(query, parts.candidates)
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
        _check_history(options.history)
        return text

    def _check_collection(self, collection: str) -> None:
        parts = self._parts
        if parts.store.generation(collection) > 0:
            parts.store.check_encoder(collection, parts.encoder.model_id, parts.encoder.dim, parts.codec_id)
        elif collection != DEFAULT_COLLECTION and collection not in {item.name for item in self.list_collections()}:
            raise NotFound(f"There is no collection {collection!r}; ingest into it or create it first.")

    def _generate(self, found: SearchResult, clock: Stopwatch) -> Iterator[str | Answer]:
        parts, collected = self._parts, list[str]()
        try:
            with clock.stage("generate"):
                stream = parts.generator.generate(found.context)
                for part in stream:
                    collected.append(part)
                    yield part
            usage = getattr(stream, "usage", None)  # what the model itself reports outranks our count
            yield self._answer("".join(collected), found, parts.generator.model, usage, clock)
        except GenerationError as error:
            if collected or parts.fallback is None:
                raise
            log.warning("model_failed code=%s fallback=%s", error.code, parts.fallback.model)
            with clock.stage("generate"):
                text = "".join(parts.fallback.generate(found.context))
            yield text
            yield self._answer(text, found, parts.fallback.model, None, clock, degraded=True)

    def _answer(
        self,
        text: str,
        found: SearchResult,
        model: str,
        usage: Usage | None,
        clock: Stopwatch,
        degraded: bool = False,
    ) -> Answer:
        with clock.stage("verify"):
            # Through the gate before marks are read; citations count in the documents' text, which has passed it too.
            cited = resolve_citations(self._parts.clean_text(text), found.evidence)
        return Answer(
            text=cited.text,
            citations=cited.citations,
            search=found,
            model=model,
            usage=usage or Usage(found.bill.total, self._parts.counter.count(text)),
            timings=clock.timings(total=True),
            abstained=bool(found.context.abstention) or is_abstention(cited.text),
            degraded=degraded,
        )


def _check_history(history: Sequence[Message]) -> None:
    characters = sum(len(turn.content) for turn in history)
    if len(history) > MAX_HISTORY_TURNS or characters > MAX_HISTORY_CHARACTERS:
        raise UsageError(
            f"The conversation has {len(history):,} turns with {characters:,} characters; at most "
            f"{MAX_HISTORY_TURNS:,} turns and {MAX_HISTORY_CHARACTERS:,} characters are read. Send the latest ones.",
            code="history_too_long",
        )
