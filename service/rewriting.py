"""A follow-up made standalone: by rule, or by the language model where that is configured.

The model is asked for one line and gets little time. Whatever goes wrong, a refused call, a deadline, a reply that is
no question, the rules take its place: a conversation never fails because of its rewriting. What the call cost stands
on the bill, whether it helped or not.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from context.followup import standalone_question
from context.language import detect_language
from context.marks import without_marks
from domain.asking import Message
from domain.context import Context, ContextBill
from domain.errors import GenerationError
from domain.protocols import Generator, TokenCounter
from domain.search_result import Rewrite

log = logging.getLogger(__name__)

LONGEST_REWRITE = 96  # tokens
_MOST_TURNS = 6
_LONGEST_TURN = 600  # characters of a turn: what a follow-up leans on stands near its beginning
_LONGEST_QUESTION = 400  # characters; a longer "question" is an answer
_INSTRUCTIONS = {
    "en": "Rewrite the last question of the conversation so that it can be understood alone. Keep its language and its "
    "meaning, add only what the conversation says, answer nothing. Reply with the question alone, on one line.",
    "zh": "改写对话中的最后一个问题，使其脱离对话也能看懂。保持原来的语言和意思，只补充对话中说过的内容，不要回答。"
    "只回复改写后的问题，一行。",
}


class QuestionRewriter(Protocol):
    """Makes a question understandable without the conversation before it."""

    def rewrite(self, question: str, history: Sequence[Message]) -> Rewrite: ...


class RuleRewriter:
    """The rules of context/followup.py. Costs nothing."""

    def rewrite(self, question: str, history: Sequence[Message]) -> Rewrite:
        """The question with the terms that it leans on; "none" where it stands alone."""
        standalone = standalone_question(question, history) if history else question
        return Rewrite(standalone, "none" if standalone == question else "rules")


class ModelRewriter:
    """One short call to a language model, and the rules where it fails."""

    def __init__(self, generator: Generator, counter: TokenCounter) -> None:
        self._generator, self._counter, self._rules = generator, counter, RuleRewriter()

    def rewrite(self, question: str, history: Sequence[Message]) -> Rewrite:
        """The model's version; with `failed`, that of the rules. A first question is not rewritten at all."""
        if not history:
            return Rewrite(question, "none")
        messages = _messages(question, history)
        tokens = sum(self._counter.count(message.content) for message in messages)
        try:
            said = "".join(self._generator.generate(self._context(question, messages, tokens)))
        except GenerationError as error:
            log.warning("rewrite_failed code=%s", error.code)
            return self._by_rules(question, history, tokens)
        tokens += self._counter.count(said)
        standalone = _question_in(said)
        if not standalone:
            log.warning("rewrite_failed code=unusable_reply")
            return self._by_rules(question, history, tokens)
        return Rewrite(standalone, "model", tokens)

    def _by_rules(self, question: str, history: Sequence[Message], tokens: int) -> Rewrite:
        rewritten = self._rules.rewrite(question, history)
        return Rewrite(rewritten.question, rewritten.by, tokens, failed=True)

    def _context(self, question: str, messages: tuple[Message, ...], tokens: int) -> Context:
        window = self._generator.context_window
        bill = ContextBill(tokens, 0, 0, 0, 0, LONGEST_REWRITE, window, 0, self._counter.name)
        return Context(question, messages, (), bill, (), 0)


def _messages(question: str, history: Sequence[Message]) -> tuple[Message, ...]:
    turns = [turn for turn in history if turn.role != "system"][-_MOST_TURNS:]
    lines = [f"{turn.role}: {' '.join(without_marks(turn.content).split())[:_LONGEST_TURN]}" for turn in turns]
    instruction = _INSTRUCTIONS["en" if detect_language(question) == "en" else "zh"]
    return Message("system", instruction), Message("user", "\n".join([*lines, f"user: {question}"]))


def _question_in(said: str) -> str:
    """The one line of a reply that is a question; empty where it holds something else."""
    lines = [line.strip(" \t\"'“”*#>") for line in said.strip().splitlines() if line.strip()]
    if len(lines) != 1 or len(lines[0]) > _LONGEST_QUESTION:
        return ""
    return lines[0].removeprefix("user:").strip()
