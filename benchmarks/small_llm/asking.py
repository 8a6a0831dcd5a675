"""Puts the prompts of a question to the model, one right after the other and in random order.

With worked examples an arm is two requests: the product's own messages, of which the reading is timed and counted, and
the same with examples before them, which gives the answer. Without, one request gives both.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.small_llm.examples import Completions
from benchmarks.small_llm.prompts import ARMS, Prompts, Sent
from benchmarks.small_llm.scores import answer_f1, holds_answer, without_marks
from benchmarks.small_llm.server import BEYOND_WINDOW, Reply, Server
from domain.asking import Message
from domain.errors import GenerationError
from service.labelled_questions import LabelledQuestion


@dataclass(frozen=True, slots=True)
class Read:
    """What a prompt cost the model: tokens as the server counts them, milliseconds, and tokens from a cache of the
    server's, of all requests of the arm.
    """

    prompt_tokens: int
    prompt_ms: float
    cached: int


@dataclass(frozen=True, slots=True)
class Said:
    """The answer of one arm.

    text: without marks, "" where product or model said that there is no answer. held: the share of the gold evidence
    in the prompt. read: None where the product abstained and asked no model.
    """

    text: str
    f1: float
    holds_answer: bool
    held: float
    read: Read | None


@dataclass(frozen=True, slots=True)
class Trial:
    """A question and the answers of its arms; None where a prompt was beyond the model's window.

    `cluster` is the document, with its set, that intervals draw.
    """

    question: str
    cluster: str
    said: dict[str, Said | None]

    @property
    def answers(self) -> dict[str, Said]:
        """Those of the arms whose prompts the model could hold."""
        return {arm: answer for arm, answer in self.said.items() if answer is not None}

    @property
    def whole(self) -> bool:
        """Whether the model could hold the prompts of all arms."""
        return len(self.answers) == len(self.said)

    @property
    def all_read(self) -> bool:
        """Whether the model read a prompt in every arm."""
        return self.whole and all(answer.read is not None for answer in self.answers.values())


class Asker:
    """Asks the questions of one set."""

    def __init__(
        self,
        server: Server,
        prompts: Prompts,
        completions: Completions | None,
        is_abstention: Callable[[str], bool],
        most: int,
    ) -> None:
        """`completions` None: the model was taught to answer. `most`: tokens of an answer."""
        self._server, self._prompts, self._completions = server, prompts, completions
        self._is_abstention, self._most = is_abstention, most
        self._random = random.Random(0)

    def ask(self, question: LabelledQuestion, name: str) -> Trial | None:
        """All arms of a question of the set `name`; None where the set's documents do not hold its labelled answer.

        Raises GenerationError where the server fails.
        """
        sent = self._prompts.of(question)
        if sent is None:
            return None
        order = self._random.sample(ARMS, len(ARMS))
        said = {arm: self._said(question, sent[arm]) for arm in order}
        return Trial(question.id, f"{name}/{question.cluster}", {arm: said[arm] for arm in ARMS})

    def _said(self, question: LabelledQuestion, sent: Sent) -> Said | None:
        if not sent.messages:
            return Said("", 0.0, False, sent.held, None)
        try:
            timed, answer = self._replies(question, sent.messages)
        except GenerationError as error:
            if error.code != BEYOND_WINDOW:
                raise
            return None
        text = "" if self._is_abstention(answer.text) else without_marks(answer.text)
        cached = timed.cached + (answer.cached if answer is not timed else 0)
        return Said(
            text=text,
            f1=answer_f1(text, question.answers),
            holds_answer=holds_answer(text, question.answers),
            held=sent.held,
            read=Read(timed.prompt_tokens, timed.prompt_ms, cached),
        )

    def _replies(self, question: LabelledQuestion, messages: tuple[Message, ...]) -> tuple[Reply, Reply]:
        if self._completions is None:
            only = self._server.chat(messages, self._most)
            return only, only
        timed = self._server.chat(messages, 1)
        return timed, self._server.complete(self._completions.of(question.question, messages), self._most)
