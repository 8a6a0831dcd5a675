"""The engine: the facade with every verb of the product, written once, synchronous, over parts that are handed in.

    ingest   inputs -> pipeline -> one commit a document -> indexes -> IngestReport
    search   question -> encode once -> dense + lexical -> one SELECT -> one attention pass -> select -> lay out
    ask      search -> generate at most once -> verify citations -> Answer
    stream   the same, text first

The stages do not know each other: they meet as values in the modules that the verbs call (`service/searching.py`,
`service/answering.py`). The engine itself only guards: writes one after another, and one end of life.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from domain.answers import Answer
from domain.asking import AskOptions, Constraint, Message
from domain.calibration import CalibrationReport
from domain.documents import Document
from domain.errors import FoveaError, UsageError
from domain.evaluation import EvaluationReport
from domain.explanation import Explanation
from domain.jobs import CollectionInfo, DocumentInfo, DocumentOutcome, IngestProgress, IngestReport
from domain.maintenance import ReindexReport
from domain.search import DEFAULT_COLLECTION, Filters
from domain.search_result import SearchResult
from domain.training import TrainingReport
from service.answering import stream_answer
from service.calibration.calibrator import DEFAULT_TARGET, Calibrator
from service.cancelling import AnswerStream
from service.explaining import DEFAULT_CHUNKS, explain_document
from service.labelled_questions import QuestionSource, questions_from
from service.maintenance.reindexing import reindex_collection
from service.parts import Parts
from service.question_encoding import checked_question, encode_question
from service.question_pool import ask_all
from service.searching import check_collection, search_evidence
from service.stopwatch import Stopwatch
from service.training.setup import TrainingRequest


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
        progress: Callable[[IngestProgress], None] | None = None,
    ) -> DocumentOutcome:
        """Index one file that is already in memory, for example an upload; `source` defaults to `name`."""
        with self._write_lock:
            return self._parts.ingestion.ingest_bytes(data, name, collection, source, media_type, progress)

    def ingest_text(
        self,
        text: str,
        *,
        title: str = "",
        collection: str = DEFAULT_COLLECTION,
        source: str | None = None,
        progress: Callable[[IngestProgress], None] | None = None,
    ) -> DocumentOutcome:
        """Index a plain text; `source` defaults to an id made from the text."""
        with self._write_lock:
            return self._parts.ingestion.ingest_text(text, title, collection, source, progress)

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
            self._parts.scoring.forget(name)

    def reindex(
        self,
        collection: str = DEFAULT_COLLECTION,
        *,
        embed: bool = False,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> ReindexReport:
        """Rebuild the indexes of a collection from SQL, without calling the encoder; searches go on meanwhile.

        `embed` first gives every chunk a vector of the configured encoder, all of them or none: what a collection
        needs whose encoder was changed. `progress(what, done, total)` counts chunks. Raises NotFound.
        """
        with self._write_lock:
            return reindex_collection(self._parts, collection, embed, progress)

    def calibrate(
        self,
        questions: QuestionSource,
        *,
        collection: str = DEFAULT_COLLECTION,
        target: float = DEFAULT_TARGET,
        dry_run: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> CalibrationReport:
        """Find out on labelled questions whether attention helps on a collection, and fit its thresholds to lose at
        most `target` of the evidence. What is better than before is used from the next question on.

        Raises UsageError for questions that are malformed, too few, or about other documents.
        """
        labelled = questions_from(questions)
        check_collection(self._parts, collection)

        report = Calibrator(self._parts, collection, progress).run(labelled, target)
        if report.outcome == "kept":
            return report
        if dry_run:
            return replace(report, outcome="dry_run")
        with self._write_lock:
            self._parts.scoring.put(collection, report.calibration)
        return report

    def train(
        self,
        questions: QuestionSource | Mapping[str, QuestionSource],
        *,
        progress: Callable[[str, int, int], None] | None = None,
        **request: Any,
    ) -> TrainingReport:
        """Train the reranker on labelled questions about the default collection, or on several sets by collection.

        `request` holds the fields of `TrainingRequest`: adapt, layers, steps, seeds, seed,
        self_supervised, output, dry_run. What is better on held-out documents is saved, and used by engines that are
        opened from then on. Writes wait until the run has ended. Raises UsageError, ConfigurationError, NotFound.
        """
        from service.training.trainer import Trainer  # torch loads with it

        sets = questions if isinstance(questions, Mapping) else {DEFAULT_COLLECTION: questions}
        for collection in sets:
            check_collection(self._parts, collection)
        trainer = Trainer(self._parts, self._parts.training, TrainingRequest(**request), progress)
        with self._write_lock:
            return trainer.run({name: questions_from(source) for name, source in sets.items()})

    def evaluate(
        self,
        questions: QuestionSource,
        *,
        collection: str = DEFAULT_COLLECTION,
        progress: Callable[[int, int], None] | None = None,
        **request: Any,
    ) -> EvaluationReport:
        """Quality per token on labelled questions about a collection; nothing is changed.

        `request` holds the fields of `EvaluationRequest`: budgets, baselines, min_recall, max_context_tokens, price,
        limit, seed. Raises UsageError for questions that are malformed or about other documents, NotFound.
        """
        from service.evaluation.evaluator import Evaluator
        from service.evaluation.request import EvaluationRequest

        labelled = questions_from(questions)
        check_collection(self._parts, collection)
        return Evaluator(self._parts, collection, progress).run(labelled, EvaluationRequest(**request))

    def reset_calibration(self, collection: str = DEFAULT_COLLECTION) -> bool:
        """Forget what `calibrate` found out; False where there was nothing. Raises NotFound."""
        with self._write_lock:
            return self._parts.scoring.reset(collection)

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
        options = AskOptions(max_tokens=max_tokens, history=tuple(history))
        return search_evidence(self._parts, question, options, filters, Stopwatch())

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
        max_output_tokens: int | None = None,
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
            max_output_tokens=max_output_tokens,
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
        max_output_tokens: int | None = None,
    ) -> AnswerStream:
        """Yield the answer's text in parts, then the Answer. Closing the iterator cancels the model's call; its
        `cancel` does so from another thread, while a part is waited for.
        """
        rules = tuple(Constraint(text) for text in constraints)
        options = AskOptions(max_tokens, rules, role, think, tuple(history), max_output_tokens)
        filters = Filters(collection, frozenset(document_ids), dict(metadata or {}))
        return stream_answer(self._parts, question, options, filters)

    def explain(
        self,
        question: str,
        *,
        document: str,
        collection: str = DEFAULT_COLLECTION,
        chunks: int = DEFAULT_CHUNKS,
        full: bool = False,
    ) -> Explanation:
        """Where the question's attention went in one document (id or source): by sentence, token and head.

        Weights are relative to what a search of the collection attends to (`service/explaining.py`). `full` adds the
        weight of every token for every token of the question. Raises NotFound; UsageError where attention is off.
        """
        text = checked_question(self._parts, question)
        check_collection(self._parts, collection)
        query = encode_question(self._parts, text, Filters(collection))
        return explain_document(self._parts, query, document, chunks, full)

    def batch(self, questions: Iterable[str], **options: Any) -> Iterator[Answer | FoveaError]:
        """Answers in the order of the questions; a question that fails gives its error in the answer's place."""
        return ask_all(partial(self.ask, **options), questions)

    # -- life --------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What runs here: encoder, generator, reranker, indexes, for `doctor` and `/readyz`. Loads the encoder."""
        parts, collections = self._parts, self.list_collections()
        return {
            "encoder": {"model_id": parts.encoder.model_id, "dim": parts.encoder.dim},
            "reranker": parts.reranker.name,
            "generator": parts.generator.model,
            "tokenizer": parts.counter.name,
            "collections": [item.to_dict() for item in collections],
            "scoring": [parts.scoring.status(item.name) for item in collections],
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
