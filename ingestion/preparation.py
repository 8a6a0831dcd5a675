"""Reading, parsing and chunking ahead of the encoder.

Two steps run in a small pool of threads: `read` fetches the bytes and hashes them, `load` parses and chunks them.
Between the two the caller's thread looks up whether the version is known already, so the store is only ever used from
that thread. Results come out in the order of the inputs. What is read ahead is bounded twice, by inputs and by bytes.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from domain.documents import Chunk, Document, LoadedDocument
from domain.errors import FoveaError, LoadError
from domain.jobs import ErrorInfo
from domain.protocols import Chunker
from ingestion.sources import SourceItem

log = logging.getLogger(__name__)

LoadOne = Callable[[bytes, str, str | None], LoadedDocument]


@dataclass(frozen=True, slots=True)
class Prepared:
    """One input after preparation: a document with its chunks, or `known`, or an error.

    `known`: its bytes need no work, because the store or an earlier input of the run has them.
    """

    source: str
    document: Document | None = None
    chunks: tuple[Chunk, ...] = ()
    known: bool = False
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class _Content:
    """What reading an input gave; `data` is empty for an input that needs no parser."""

    content_hash: str
    data: bytes = b""


@dataclass(slots=True)
class _Task:
    """An input's way through `reading`, then `loading`, to `result`; each step lets go of the one before it."""

    item: SourceItem
    reading: Future[_Content] | None
    loading: Future[tuple[Document, tuple[Chunk, ...]]] | None = None
    result: Prepared | None = None
    weight: int = 0  # bytes of the input

    def wait(self, seconds: float | None) -> bool:
        """Wait for the step under way, for ever if `seconds` is None; True when it has ended, so the next can begin."""
        steps: list[Future[Any]] = [step for step in (self.reading, self.loading) if step is not None]
        return not futures.wait(steps, seconds).not_done


class Preparation:
    """The inputs of one run on their way to the encoder; a context manager that abandons on exit what is not done.

    `is_known(source, content_hash)` is asked once an input, in input order, from the thread that calls `poll`.
    `make_id(source)` gives the document's id.
    """

    def __init__(
        self,
        items: Iterable[SourceItem],
        load: LoadOne,
        chunker: Chunker,
        is_known: Callable[[str, str], bool],
        make_id: Callable[[str], str],
        workers: int,
        max_inputs: int,
        max_bytes: int,
    ) -> None:
        self._items: Iterator[SourceItem] | None = iter(items)
        self._load_one, self._chunker = load, chunker
        self._is_known, self._make_id = is_known, make_id
        self._max_inputs, self._max_bytes, self._max_reads = max_inputs, max_bytes, workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="ingest")
        self._tasks: deque[_Task] = deque()
        self._fault: Exception | None = None
        self.found = 0

    def __enter__(self) -> Preparation:
        return self

    def __exit__(self, *exception: object) -> None:
        # Without waiting: a parser may have a minute left, and its result is not wanted any more.
        self._pool.shutdown(wait=False, cancel_futures=True)

    def poll(self, patience_seconds: float | None) -> Prepared | None:
        """The next input in order; None when all have been handed out, or when it is not ready within the patience.

        With endless patience (None) an error of the iterable itself is raised, once everything found before it has
        been handed out.
        """
        self.advance()
        if not self._tasks:
            if patience_seconds is None and self._fault is not None:
                raise self._fault
            return None
        head = self._tasks[0]
        while head.result is None:
            if not head.wait(patience_seconds):
                return None
            self.advance()
        self._tasks.popleft()
        return head.result

    def ready(self, seconds: float) -> bool:
        """Wait up to `seconds` for the next input; True when `poll(None)` would not have to wait."""
        self.advance()
        if self._tasks and self._tasks[0].result is None:
            self._tasks[0].wait(seconds)
            self.advance()
        return not self._tasks or self._tasks[0].result is not None

    @property
    def exhausted(self) -> bool:
        return self._items is None and not self._tasks and self._fault is None

    def advance(self) -> None:
        """Start whatever can be started. Cheap; worth calling now and then while the encoder works."""
        self._fill()
        for task in self._tasks:
            if task.reading is not None:
                if not task.reading.done():
                    break  # in input order, so that of two equal inputs the first does the work
                self._after_reading(task, task.reading)
            if task.loading is not None and task.loading.done():
                self._after_loading(task, task.loading)

    def _fill(self) -> None:
        while self._items is not None and self._has_room():
            try:
                item = next(self._items)
            except StopIteration:
                self._items = None
            except Exception as error:
                self._items, self._fault = None, error
            else:
                self.found += 1
                self._tasks.append(_Task(item, self._pool.submit(_read, item)))

    def _has_room(self) -> bool:
        # How large an input is shows when it is read, so only as many are read at a time as there are threads.
        reads = sum(task.reading is not None for task in self._tasks)
        weight = sum(task.weight for task in self._tasks)
        return len(self._tasks) < self._max_inputs and reads < self._max_reads and weight < self._max_bytes

    def _after_reading(self, task: _Task, reading: Future[_Content]) -> None:
        task.reading = None
        source = task.item.source
        error = reading.exception()
        if error is not None:
            task.result = Prepared(printable(source), error=error_info(error, source))
            return
        content = reading.result()
        if self._is_known(source, content.content_hash):
            task.result = Prepared(source, known=True)
            return
        task.weight = len(content.data)
        task.loading = self._pool.submit(self._load, task.item, content)

    def _after_loading(self, task: _Task, loading: Future[tuple[Document, tuple[Chunk, ...]]]) -> None:
        task.loading = None
        source = task.item.source
        error = loading.exception()
        if error is None:
            task.result = Prepared(source, *loading.result())
        else:
            task.result = Prepared(source, error=error_info(error, source))

    def _load(self, item: SourceItem, content: _Content) -> tuple[Document, tuple[Chunk, ...]]:
        loaded = item.loaded or self._load_one(content.data, item.name, item.media_type)
        document = Document(
            id=self._make_id(item.source),
            source=item.source,
            title=loaded.title,
            text=loaded.text,
            media_type=loaded.media_type,
            content_hash=content.content_hash,
            recipe=self._chunker.recipe,
            blocks=loaded.blocks,
            pages=loaded.pages,
            metadata=loaded.metadata,
            warnings=loaded.warnings,
        )
        chunks = self._chunker.split(document)
        if not chunks:
            raise LoadError(f"{item.source!r} holds no text that could be found again.", code="no_text")
        return document, chunks


def error_info(error: BaseException, source: str) -> ErrorInfo:
    """What is reported of a failure. An error nobody raised on purpose is logged with its traceback."""
    if isinstance(error, FoveaError):
        return ErrorInfo(error.code, error.message)
    log.error("Ingesting %r failed unexpectedly.", source, exc_info=error)
    reason = f"{type(error).__name__}: {error}"
    return ErrorInfo(
        FoveaError.code,
        f"{source!r} could not be indexed because of an error in the program ({reason}); "
        "the log has its traceback. Please report it.",
    )


def printable(source: str) -> str:
    """A source that can be stored and shown: bytes of a file name that are no UTF-8 are written out as escapes."""
    return source.encode("utf-8", "backslashreplace").decode()


def _read(item: SourceItem) -> _Content:
    if printable(item.source) != item.source:
        raise LoadError(
            f"The name {printable(item.source)!r} is not valid UTF-8; rename the file and ingest it again.",
            code="unreadable_file",
        )
    if item.loaded is not None:
        return _Content(item.content_hash())
    data = item.read()
    # Hashed here, not by a second reading: a file that changes meanwhile must not be stored under another's hash.
    return _Content(hashlib.sha256(data).hexdigest(), data)
