"""Worked examples, for models that complete text and were never taught to answer.

Such a model repeats a question or goes on with the document. After a few answered questions in the very form of the
prompt it answers the next one. The examples are invented, stand behind the rules and are the same in every arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.small_llm.prompts import Layouts
from context.language import Language, detect_language
from domain.asking import Message
from domain.documents import Span
from domain.search import Evidence


@dataclass(frozen=True, slots=True)
class Example:
    """Passages as (title, text), a question about them, and its answer."""

    passages: tuple[tuple[str, str], ...]
    question: str
    answer: str


_ENGLISH = (
    Example(
        (("Cape Orlen Light", "Its lamp was first lit in 1874. The keeper, Ada Moran, lived there for thirty years."),),
        "Who kept the lighthouse at Cape Orlen?",
        "Ada Moran [1]",
    ),
    Example(
        (
            ("River Tesna", "The Tesna rises in the Karst hills and flows into Lake Amber."),
            ("Velim", "Velim lies on the river Tesna and has 12,400 inhabitants."),
        ),
        "how many people live in velim",
        "12,400 [2]",
    ),
    Example(
        (("Ferries", "There are no ferries in January because the channel freezes."),),
        "Why does no ferry run in January?",
        "because the channel freezes [1]",
    ),
)
_SIMPLIFIED = (
    Example(
        (("奥伦角灯塔", "灯塔于1874年首次点亮。守塔人林海生在那里住了三十年。"),), "谁看守奥伦角灯塔？", "林海生[1]"
    ),
    Example(
        (("泰斯河", "泰斯河发源于石岭，流入琥珀湖。"), ("维林镇", "维林镇位于泰斯河边，有12400名居民。")),
        "维林镇有多少居民？",
        "12400名[2]",
    ),
    Example((("渡船", "由于航道结冰，一月份没有渡船。"),), "为什么一月份没有渡船？", "由于航道结冰[1]"),
)
_TRADITIONAL = (
    Example(
        (("奧倫角燈塔", "燈塔於1874年首次點亮。守塔人林海生在那裡住了三十年。"),), "誰看守奧倫角燈塔？", "林海生[1]"
    ),
    Example(
        (("泰斯河", "泰斯河發源於石嶺，流入琥珀湖。"), ("維林鎮", "維林鎮位於泰斯河邊，有12400名居民。")),
        "這個維林鎮有多少居民？",
        "12400名[2]",
    ),
    Example((("渡船", "由於航道結冰，一月份沒有渡船。"),), "為什麼一月份沒有渡船？", "由於航道結冰[1]"),
)
EXAMPLES: Mapping[Language, tuple[Example, ...]] = {
    "en": _ENGLISH,
    "zh-hans": _SIMPLIFIED,
    "zh-hant": _TRADITIONAL,
}
_ANSWER: Mapping[Language, str] = {"en": "## Answer", "zh-hans": "## 回答", "zh-hant": "## 回答"}


class Completions:
    """Turns the messages of a prompt into one text that ends where the answer begins."""

    def __init__(self, layouts: Layouts, count: int) -> None:
        """`count`: examples before the question, as many as there are at most."""
        self._answered = {
            language: [_answered(layouts, language, example) for example in examples[:count]]
            for language, examples in EXAMPLES.items()
        }

    def of(self, question: str, messages: Sequence[Message]) -> str:
        """`messages`: the system part, and the user's with the evidence and the question."""
        language = detect_language(question)
        system, user = (message.content for message in messages)
        return "\n\n".join([system, *self._answered[language], f"{user}\n\n{_ANSWER[language]}\n"])


def _answered(layouts: Layouts, language: Language, example: Example) -> str:
    evidence = [_evidence(*passage) for passage in example.passages]
    _, user = layouts.of(example.question, evidence, {item.chunk_id: 0 for item in evidence})
    return f"{user.content}\n\n{_ANSWER[language]}\n{example.answer}"


def _evidence(title: str, text: str) -> Evidence:
    return Evidence(
        mark=1,
        document_id=title,
        source=title,
        title=title,
        page=None,
        heading_path=(),
        chunk_id=title,
        text=text,
        spans=(Span(0, len(text)),),
        score=1.0,
        scores={},
        sentences=(),
        tokens=0,
    )
