"""The encoder behind one queue: a single thread works on it in small batches, and questions go first.

    questions  ──┐ together, up to 16 in one forward pass
                 ├── one thread ── encoder
    passages   ──┘ 8 at a time, which is one forward pass of chunks

`encoder_turns.py` says who is next. The line of questions is bounded; who finds it full, or has waited for too long,
gets `Overloaded`. An ingest run waits for its turn, which always comes: as it hands over one small batch at a time,
what waits is bounded by the number of runs.

A thread is enough, a process is not needed: the forward pass and the tokenizer release the interpreter's lock.
A vector does not depend on its batch; `retrieval/embedders/encoder.py` says how.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import structlog

from domain.documents import Passage
from domain.errors import Overloaded
from domain.protocols import BatchTokenCounter, TokenEncoder
from domain.search import Encoding, FloatArray
from service.encoder_turns import Kind, Turns
from service.lazy import Once

log = structlog.get_logger("fovea.encoder")

R = TypeVar("R")
_QUESTIONS_A_BATCH = 16
_QUESTION_CHARACTERS = 4_000  # of one batch, so that pasted pages do not hold up short questions
_PASSAGES_A_BATCH = 8  # chunks of about 200 tokens: the encoder's TOKEN_BUDGET of 2,048 for one pass
_CLOSE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """What one turn of the encoder did: `waited` has the seconds from handing over to the start, one a caller."""

    kind: Kind
    texts: int
    seconds: float
    waited: tuple[float, ...]


@dataclass(slots=True)
class _Work:
    """A caller's texts: a question of `size` characters, or a function that encodes passages."""

    payload: Any
    texts: int
    size: int
    since: float
    done: Future[Any] = field(default_factory=Future)


class EncoderQueue:
    """A TokenEncoder over the one that `make()` gives, which is made by whoever needs it first.

    Safe to share between threads. At most `max_questions` wait, each for at most `seconds`; while questions are asked,
    ingest runs get `share` of the time. Closing it refuses what comes later and what still waits.
    """

    def __init__(
        self,
        make: Callable[[], TokenEncoder],
        *,
        max_questions: int = 256,
        seconds: float = 30.0,
        share: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._encoder = Once(make)
        self._max_questions, self._seconds, self._clock = max_questions, seconds, clock
        self._changed = threading.Condition()
        self._questions: deque[_Work] = deque()
        self._passages: deque[_Work] = deque()
        self._turns = Turns(share, clock)
        self._observe: Callable[[EncodedBatch], None] = lambda batch: None
        self._thread: threading.Thread | None = None
        self._closed = False

    # -- the encoder's verbs -----------------------------------------------------------------------------------------

    @property
    def model_id(self) -> str:
        return self._encoder.get().model_id

    @property
    def dim(self) -> int:
        return self._encoder.get().dim

    @property
    def counter(self) -> BatchTokenCounter | None:
        """The counter of the encoder's own tokenizer, where it offers one."""
        return getattr(self._encoder.get(), "counter", None)

    def encode_query(self, text: str) -> Encoding:
        """Raises Overloaded where too many questions wait already, and where this one waited for too long."""
        work = _Work(text, 1, len(text), self._clock())
        with self._changed:
            self._check_open()
            if len(self._questions) >= self._max_questions:
                raise Overloaded("Too many questions wait for the encoder; try again in a few seconds.")
            self._put(self._questions, work)
        encoding: Encoding
        try:
            encoding = work.done.result(self._seconds)
        except TimeoutError:
            if work.done.cancel():
                raise Overloaded(f"The encoder had no time for the question in {self._seconds:g} seconds.") from None
            encoding = work.done.result(self._seconds)  # it is being encoded at this moment
        return encoding

    def embed_query(self, text: str) -> FloatArray:
        return self.encode_query(text).vector

    def encode_documents(self, passages: Sequence[Passage]) -> list[Encoding]:
        """One Encoding a passage, in order, a few at a time. Raises Overloaded once the queue is closed."""
        return self._in_turns(passages, lambda encoder, part: encoder.encode_documents(part))

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        rows = self._in_turns(texts, lambda encoder, part: list(encoder.embed_documents(part)))
        return np.array(rows, dtype=np.float32).reshape(-1, self.dim)

    # -- what operators see ------------------------------------------------------------------------------------------

    def listen(self, observe: Callable[[EncodedBatch], None]) -> None:
        """Tell `observe` of every batch, in the encoder's thread."""
        self._observe = observe

    def depth(self, kind: Kind) -> int:
        """How many calls wait."""
        return len(self._questions if kind == "question" else self._passages)

    def close(self) -> None:
        """End the thread after the batch in hand; callers that wait get Overloaded. Calling it twice is harmless."""
        with self._changed:
            self._closed = True
            left = [*self._questions, *self._passages]
            self._questions.clear()
            self._passages.clear()
            self._changed.notify_all()
        for work in left:
            if work.done.set_running_or_notify_cancel():
                work.done.set_exception(_closing())
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    # -- handing over ------------------------------------------------------------------------------------------------

    def _in_turns(self, items: Sequence[Any], encode: Callable[[TokenEncoder, Sequence[Any]], list[R]]) -> list[R]:
        found: list[R] = []
        for start in range(0, len(items), _PASSAGES_A_BATCH):
            part = items[start : start + _PASSAGES_A_BATCH]
            work = _Work(partial(_encode_part, encode, part), len(part), 0, self._clock())
            with self._changed:
                self._check_open()
                self._put(self._passages, work)
            found += work.done.result()
        return found

    def _put(self, line: deque[_Work], work: _Work) -> None:
        line.append(work)
        if self._thread is None:
            # A daemon: a pass that hangs must not keep the process from ending.
            self._thread = threading.Thread(target=self._run, name="fovea-encoder", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise _closing()

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while turn := self._next():
            kind, works = turn
            works = [work for work in works if work.done.set_running_or_notify_cancel()]
            if works:
                self._encode(kind, works)

    def _encode(self, kind: Kind, works: Sequence[_Work]) -> None:
        started = self._clock()
        if kind == "question":
            self._encode_questions(works)
        else:
            self._encode_passages(works)
        seconds = self._clock() - started
        self._turns.ended(kind, works[0].since, started, bool(self._questions))
        try:
            waited = tuple(started - work.since for work in works)
            self._observe(EncodedBatch(kind, sum(work.texts for work in works), seconds, waited))
        except Exception:  # whoever counts must not end the only thread that encodes
            log.exception("encoder_not_observed")

    def _next(self) -> tuple[Kind, list[_Work]] | None:
        """Whose turn it is, and with what; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                kind = self._turns.next(bool(self._questions), bool(self._passages))
                if kind == "question":
                    return kind, self._together()
                if kind == "passage":
                    return kind, [self._passages.popleft()]
                self._changed.wait(self._turns.rest(questions=False) if self._passages else None)
        return None

    def _together(self) -> list[_Work]:
        works = [self._questions.popleft()]
        characters = works[0].size
        while self._questions and len(works) < _QUESTIONS_A_BATCH:
            characters += self._questions[0].size
            if characters > _QUESTION_CHARACTERS:
                break
            works.append(self._questions.popleft())
        return works

    def _encode_questions(self, works: Sequence[_Work]) -> None:
        """Encode them in one pass; where that fails, each for itself, so that only the one at fault fails."""
        try:
            found = encode_queries(self._encoder.get(), [work.payload for work in works])
        except Exception as error:
            if len(works) == 1:
                works[0].done.set_exception(error)
                return
            for work in works:
                self._encode_questions([work])
            return
        for work, encoding in zip(works, found, strict=True):
            work.done.set_result(encoding)

    def _encode_passages(self, works: Sequence[_Work]) -> None:
        for work in works:
            try:
                work.done.set_result(work.payload(self._encoder.get()))
            except Exception as error:
                work.done.set_exception(error)


def _encode_part(
    encode: Callable[[TokenEncoder, Sequence[Any]], list[R]], part: Sequence[Any], encoder: TokenEncoder
) -> list[R]:
    return encode(encoder, part)


def encode_queries(encoder: TokenEncoder, texts: Sequence[str]) -> list[Encoding]:
    """The encodings of questions, in one pass where the encoder offers that."""
    together = getattr(encoder, "encode_queries", None)
    return together(texts) if together is not None else [encoder.encode_query(text) for text in texts]


def _closing() -> Overloaded:
    return Overloaded("The encoder is being closed; ask again once the server has started anew.")
