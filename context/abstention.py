"""What to say beside "I don't know": the nearest passages, marked as no answer, and a word on other languages.

An abstention without a lead is a dead end. The three documents that came nearest to the question are named with their
best sentence each. Where they, or some of the documents looked at, are written in another language than the question,
the text says so: a question finds less across languages, and asking again in theirs often helps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from context.drafts import sentences_of
from context.language import Language, detect_language
from domain.context import Context, NearestPassage
from domain.documents import page_of
from domain.search import Evidence, ScoredChunk

_MOST_PASSAGES = 3
_NEAR = 10  # candidates whose language counts: further ones are among the fifty because the collection is small

NEAREST_TITLES: dict[Language, str] = {
    "en": "Nearest passages, not an answer:",
    "zh-hans": "最接近的内容（不是答案）：",
    "zh-hant": "最接近的內容（不是答案）：",
}
# Language of the question: what to add where all of the nearest, and where some of the documents, are in the other one.
_OTHER_LANGUAGE: dict[Language, tuple[str, str]] = {
    "en": (
        " The nearest documents are in Chinese; the same question in Chinese may find more.",
        " Some of the documents are in Chinese; the same question in Chinese may find more.",
    ),
    "zh-hans": (
        "最接近的文档是英文的，用英文再问一次也许能找到答案。",
        "部分文档是英文的，用英文再问一次也许能找到答案。",
    ),
    "zh-hant": (
        "最接近的文件是英文的，用英文再問一次也許能找到答案。",
        "部分文件是英文的，用英文再問一次也許能找到答案。",
    ),
}


def with_nearest(context: Context, scored: Sequence[ScoredChunk]) -> Context:
    """An abstention with the passages that came nearest; a context that holds evidence comes back unchanged."""
    if not context.abstention or not scored:
        return context
    nearest = nearest_passages(scored)
    hint = other_language(context.question, [one.text for one in nearest], (item.chunk.text for item in scored[:_NEAR]))
    return replace(context, nearest=nearest, abstention=context.abstention + hint)


def nearest_passages(scored: Iterable[ScoredChunk]) -> tuple[NearestPassage, ...]:
    """The best sentence of each of the three best documents, best first; `scored` is best first."""
    found: dict[str, NearestPassage] = {}
    for item in scored:
        sentences = sentences_of(item)
        if item.document.id in found or not sentences:
            continue
        best = max(sentences, key=lambda one: one.score)
        found[item.document.id] = NearestPassage(
            document_id=item.document.id,
            source=item.document.source,
            title=item.document.title,
            page=page_of(item.chunk.pages, best.sentence.span.start),
            span=best.sentence.span,
            text=item.chunk.sentence_text(best.sentence),
            score=best.score,
        )
        if len(found) == _MOST_PASSAGES:
            break
    return tuple(found.values())


def nearest_of_evidence(evidence: Iterable[Evidence]) -> tuple[NearestPassage, ...]:
    """The same out of evidence that was sent, for a model that found no answer in it."""
    found: dict[str, NearestPassage] = {}
    for item in sorted(evidence, key=lambda item: -item.score):
        if not item.sentences or item.document_id in found or len(found) == _MOST_PASSAGES:
            continue
        best = max(item.sentences, key=lambda one: one.score)
        found[item.document_id] = NearestPassage(
            document_id=item.document_id,
            source=item.source,
            title=item.title,
            page=item.page_at(best.span.start),
            span=best.span,
            text=item.part(best.span),
            score=best.score,
        )
    return tuple(found.values())


def other_language(question: str, nearest: Iterable[str], candidates: Iterable[str] = ()) -> str:
    """A sentence for an abstention where all of the nearest texts, or some of the candidates, are in another language
    than the question; else empty.
    """
    asked = detect_language(question)

    def differs(text: str) -> bool:
        return (detect_language(text) == "en") != (asked == "en")

    near = [differs(text) for text in nearest]
    all_of_them, some = _OTHER_LANGUAGE[asked]
    if near and all(near):
        return all_of_them
    return some if any(near) or any(map(differs, candidates)) else ""
