"""An engine as one caller may use it: within the key's collections, and on the key's account.

Every door goes through it: HTTP routes, MCP, the widget, and the worker that runs a tenant's jobs. A collection that
the key is not bound to answers like one that does not exist; a document in it like one that does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.access import Principal
from domain.answers import Answer, Usage
from domain.documents import Document
from domain.errors import FoveaError, GenerationCancelled, NotFound, UsageError
from domain.explanation import Explanation
from domain.jobs import CollectionInfo, DocumentInfo, DocumentOutcome, IngestProgress, IngestReport
from domain.search import DEFAULT_COLLECTION
from domain.search_result import SearchResult
from service.cancelling import AnswerStream, Cancellation, Course
from service.quotas import NOTHING, Held, TokenMeter

if TYPE_CHECKING:
    from service.engine import Engine

_WORDING_TOKENS = 400  # roles, rules and marks of our own wording, generously
_BYTES_A_TOKEN = 2  # no tokenizer makes more tokens of a text than this, save of noise


@dataclass(frozen=True, slots=True)
class PromptCeiling:
    """What an answer can cost at most: `limit` for a whole prompt with its answer, `context` where a question says
    nothing else, `answer` kept free for the answer.
    """

    limit: int = 8192
    context: int = 500
    answer: int = 512

    def of(self, question: str, options: Mapping[str, Any]) -> int:
        """The most tokens that this question can cost, prompt and answer."""
        texts = [question, options.get("role") or "", *options.get("constraints", ())]
        # Twice: a configured model may be shown the conversation once more, to make the question standalone.
        texts += [turn.content for turn in options.get("history", ())] * 2
        written = sum(len(text.encode("utf-8", "replace")) for text in texts) // _BYTES_A_TOKEN
        context = options.get("max_tokens") or self.context
        return min(2 * self.limit, written + context + _WORDING_TOKENS + self.answer)


class BoundEngine:
    """The verbs of `Engine`, as one principal may call them. Made for every request; it holds nothing of its own."""

    def __init__(
        self,
        engine: Engine,
        principal: Principal,
        meter: TokenMeter,
        ceiling: PromptCeiling,
        patient: bool = False,
    ) -> None:
        """`patient` is who has time to wait for tokens that are held back for others: a batch, and nobody else."""
        self._engine = engine
        self._patient = patient
        self._meter = meter
        self._ceiling = ceiling
        self.principal = principal

    # -- documents ---------------------------------------------------------------------------------------------------

    def ingest(
        self,
        inputs: Sequence[str | Path] | str | Path,
        *,
        collection: str = DEFAULT_COLLECTION,
        progress: Callable[[IngestProgress], None] | None = None,
    ) -> IngestReport:
        return self._engine.ingest(inputs, collection=self.collection(collection), progress=progress)

    def ingest_bytes(
        self, data: bytes, name: str, *, collection: str = DEFAULT_COLLECTION, **more: Any
    ) -> DocumentOutcome:
        return self._engine.ingest_bytes(data, name, collection=self.collection(collection), **more)

    def ingest_text(self, text: str, *, collection: str = DEFAULT_COLLECTION, **more: Any) -> DocumentOutcome:
        return self._engine.ingest_text(text, collection=self.collection(collection), **more)

    def list_documents(
        self, collection: str | None = None, limit: int = 100, after: str | None = None
    ) -> list[DocumentInfo]:
        if collection is not None:
            return self._engine.list_documents(collection, limit, after) if self._sees(collection) else []
        if self.principal.collections is None:
            return self._engine.list_documents(None, limit, after)
        pages = [self._engine.list_documents(name, limit, after) for name in self.principal.collections]
        return sorted((info for page in pages for info in page), key=lambda info: info.id)[:limit]

    def get_document(self, document_id: str) -> DocumentInfo:
        info = self._engine.get_document(document_id)
        if not self._sees(info.collection):  # in the store's own words for an id that nobody has
            raise NotFound(f"There is no document '{document_id}'. 'fovea list' shows those that exist.")
        return info

    def document(self, document_id: str) -> Document:
        self._check_documents([document_id])
        return self._engine.document(document_id)

    def delete(self, document_ids: Sequence[str] | str) -> None:
        ids = [document_ids] if isinstance(document_ids, str) else list(document_ids)
        self._check_documents(ids)
        self._engine.delete(ids)

    # -- collections -------------------------------------------------------------------------------------------------

    def list_collections(self) -> list[CollectionInfo]:
        return [item for item in self._engine.list_collections() if self._sees(item.name)]

    def create_collection(self, name: str) -> CollectionInfo:
        if not self._sees(name):
            raise UsageError("This key is bound to its collections and makes no others.", code="forbidden")
        return self._engine.create_collection(name)

    def delete_collection(self, name: str) -> None:
        self._engine.delete_collection(self._existing(name))

    # -- questions ---------------------------------------------------------------------------------------------------

    def search(self, question: str, *, collection: str = DEFAULT_COLLECTION, **options: Any) -> SearchResult:
        """As the engine's. It costs no tokens, unless a model makes a follow-up standalone."""
        collection = self.collection(collection)
        if not options.get("history"):
            return self._engine.search(question, collection=collection, **options)
        with self._held(question, options) as held:
            found = self._engine.search(question, collection=collection, **options)
            held.usage = Usage(_rewriting(found), 0)
        return found

    def ask(self, question: str, **options: Any) -> Answer:
        *_, answer = self.stream(question, **options)
        assert isinstance(answer, Answer)  # the last item of a stream
        return answer

    def stream(self, question: str, *, collection: str = DEFAULT_COLLECTION, **options: Any) -> AnswerStream:
        """As the engine's. One that is broken off is charged what its prompt could have cost, once it was sent."""
        return AnswerStream(partial(self._metered, question, collection, options))

    def _metered(
        self, question: str, collection: str, options: Mapping[str, Any], cancellation: Cancellation
    ) -> Iterator[str | Answer]:
        with self._held(question, options) as held:
            stream = self._engine.stream(question, collection=self.collection(collection), **options)
            cancellation.stops(getattr(stream, "cancel", lambda: None))
            course = cancellation.course = getattr(stream, "course", Course(model_asked=True))
            try:
                with closing(stream):
                    for part in stream:
                        held.usage = (
                            cost_of(part)
                            if isinstance(part, Answer)
                            else self._so_far(course, held.usage, part, question, options)
                        )
                        yield part
            except GenerationCancelled:
                held.usage = self._so_far(course, held.usage, "", question, options)
                raise
            except FoveaError as error:
                if error.spent_tokens:  # what it took is known, and no more than that is charged
                    held.usage = Usage(error.spent_tokens, 0)
                error.spent_tokens = held.usage.prompt_tokens + held.usage.completion_tokens
                raise

    def explain(
        self, question: str, *, document: str, collection: str = DEFAULT_COLLECTION, **options: Any
    ) -> Explanation:
        collection = self.collection(collection)
        try:
            return self._engine.explain(question, document=document, collection=collection, **options)
        except NotFound:
            if self.principal.collections is None:
                raise
            # The engine's own words name the collection that the document is in.
            message = f"There is no document with the id or source {document!r} in the collection {collection!r}."
            raise NotFound(message) from None

    # -- what it is bound to -----------------------------------------------------------------------------------------

    @property
    def model(self) -> str:
        return self._engine.model

    def status(self) -> dict[str, Any]:
        return self._engine.status()

    def collection(self, name: str) -> str:
        """The collection that a request means. Raises NotFound, as for one that does not exist.

        A key that is bound to one collection means that one where a request leaves the default.
        """
        bound = self.principal.collections
        if bound is not None and len(bound) == 1 and name == DEFAULT_COLLECTION:
            return next(iter(bound))
        return self._existing(name)

    def _sees(self, collection: str) -> bool:
        return self.principal.sees(collection)

    def _existing(self, name: str) -> str:
        if not self._sees(name):
            raise NotFound(f"There is no collection {name!r}; ingest into it or create it first.")
        return name

    def _check_documents(self, ids: Iterable[str]) -> None:
        if self.principal.collections is not None:
            for document_id in ids:
                self.get_document(document_id)

    def _held(self, question: str, options: Mapping[str, Any]) -> AbstractContextManager[Held]:
        return self._meter.hold(self.principal, self._ceiling.of(question, options), self._patient)

    def _so_far(self, course: Course, usage: Usage, part: str, question: str, options: Mapping[str, Any]) -> Usage:
        """What an answer that ends here is charged: what is known, and for a model's call that has begun its most."""
        if not course.model_asked:
            return Usage(course.spent_tokens, 0)
        prompt = usage.prompt_tokens or self._ceiling.of(question, options) - self._ceiling.answer
        return Usage(prompt, usage.completion_tokens + max(1, len(part.encode("utf-8", "replace")) // _BYTES_A_TOKEN))


def cost_of(answer: Answer) -> Usage:
    """What an answer took; nothing where no model was asked."""
    usage = NOTHING if answer.abstained and not answer.search.evidence else answer.usage
    return Usage(usage.prompt_tokens + _rewriting(answer.search), usage.completion_tokens)


def _rewriting(found: SearchResult) -> int:
    return found.rewrite.tokens if found.rewrite else 0
