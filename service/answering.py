"""From evidence to an answer: the model is asked at most once, and what it cites is checked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from context.abstention import nearest_of_evidence
from context.citations import resolve_citations
from context.mark_stream import MarkStream
from domain.answers import Answer, Usage
from domain.asking import AskOptions
from domain.errors import GenerationError
from domain.search import Filters
from domain.search_result import SearchResult
from service.parts import Parts
from service.searching import search_evidence
from service.stopwatch import Stopwatch

log = logging.getLogger(__name__)


def stream_answer(parts: Parts, question: str, options: AskOptions, filters: Filters) -> Iterator[str | Answer]:
    """Search, then yield the answer's text in parts and the Answer. Closing the iterator cancels the model's call."""
    clock = Stopwatch()
    found = search_evidence(parts, question, options, filters, clock)
    abstention = found.context.abstention
    if abstention:  # no model is asked what the documents do not say
        yield abstention
        yield answered(parts, abstention, found, parts.generator.model, Usage(0, 0), clock)
    else:
        yield from generate_answer(parts, found, clock)


def generate_answer(parts: Parts, found: SearchResult, clock: Stopwatch) -> Iterator[str | Answer]:
    """Yield the model's text in parts, its marks checked, then the Answer.

    A model that fails before its first word is replaced by the fallback where there is one; otherwise its
    GenerationError is raised.
    """
    collected = list[str]()
    marks = MarkStream(item.mark for item in found.evidence)
    try:
        with clock.stage("generate"):
            stream = parts.generator.generate(found.context)
            for part in stream:
                collected.append(part)
                if shown := marks.feed(part):
                    yield shown
            if shown := marks.finish():
                yield shown
        usage = getattr(stream, "usage", None)  # what the model itself reports outranks our count
        yield answered(parts, "".join(collected), found, parts.generator.model, usage, clock)
    except GenerationError as error:
        if collected or parts.fallback is None:
            raise
        log.warning("model_failed code=%s fallback=%s", error.code, parts.fallback.model)
        with clock.stage("generate"):
            text = "".join(parts.fallback.generate(found.context))
        yield text
        yield answered(parts, text, found, parts.fallback.model, None, clock, degraded=True)


def answered(
    parts: Parts,
    text: str,
    found: SearchResult,
    model: str,
    usage: Usage | None,
    clock: Stopwatch,
    degraded: bool = False,
) -> Answer:
    """The Answer that a text makes, its citations resolved; without `usage` the tokens are counted here."""
    with clock.stage("verify"):
        # Through the gate before marks are read; citations count in the documents' text, which has passed it too.
        cited = resolve_citations(parts.clean_text(text), found.evidence)
    abstained = bool(found.context.abstention) or parts.is_abstention(cited.text)
    return Answer(
        text=cited.text,
        citations=cited.citations,
        search=_with_lead(_reconciled(parts, found, usage), abstained),
        model=model,
        usage=usage or Usage(found.bill.total, parts.counter.count(text)),
        timings=clock.timings(total=True),
        abstained=abstained,
        degraded=degraded,
        sentences=cited.sentences,
        removed_marks=cited.removed_marks,
    )


def _with_lead(found: SearchResult, abstained: bool) -> SearchResult:
    """The search of an abstention with what came nearest: a model may find no answer in what it was sent."""
    if not abstained or found.nearest:
        return found
    return replace(found, context=replace(found.context, nearest=nearest_of_evidence(found.evidence)))


def _reconciled(parts: Parts, found: SearchResult, usage: Usage | None) -> SearchResult:
    """The search with the prompt tokens that the model reported on its bill; later budgets learn from them."""
    if usage is None or usage.prompt_tokens <= 0:  # no model has read the prompt, or it did not say
        return found
    parts.bound.observe(found.context.messages, usage.prompt_tokens)
    bill = replace(found.bill, reported=usage.prompt_tokens)
    return replace(found, context=replace(found.context, bill=bill))
