"""From evidence to an answer: the model is asked at most once, and what it cites is checked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from context.abstention import nearest_of_evidence
from context.citations import resolve_citations
from context.mark_stream import MarkStream
from domain.answers import Answer, Usage
from domain.asking import AskOptions
from domain.errors import ContextBudgetError, GenerationCancelled, GenerationError
from domain.protocols import Generator
from domain.search import Filters
from domain.search_result import SearchResult
from service.cancelling import AnswerStream, Cancellation
from service.clean_stream import CleanStream
from service.parts import Parts
from service.searching import search_evidence, spent_on
from service.stopwatch import Stopwatch

log = logging.getLogger(__name__)


def stream_answer(parts: Parts, question: str, options: AskOptions, filters: Filters) -> AnswerStream:
    """Search, then yield the answer's text in parts and the Answer. Closing or cancelling the stream cancels the
    model's call.
    """
    return AnswerStream(partial(_stream, parts, question, options, filters))


def _stream(
    parts: Parts, question: str, options: AskOptions, filters: Filters, cancellation: Cancellation
) -> Iterator[str | Answer]:
    clock = Stopwatch()
    cancellation.check()
    found = _with_answer_length(search_evidence(parts, question, options, filters, clock), options.max_output_tokens)
    cancellation.course.spent_tokens = found.rewrite.tokens if found.rewrite else 0
    cancellation.check()
    abstention = found.context.abstention
    if abstention:  # no model is asked what the documents do not say
        yield abstention
        yield answered(parts, abstention, found, parts.generator.model, Usage(0, 0), clock)
    else:
        with spent_on(found.rewrite):
            yield from generate_answer(parts, found, clock, cancellation)


def generate_answer(
    parts: Parts, found: SearchResult, clock: Stopwatch, cancellation: Cancellation
) -> Iterator[str | Answer]:
    """Yield the model's text in parts, through the gate and its marks checked, then the Answer.

    A model that fails before its first word is replaced by the fallback where there is one; otherwise its
    GenerationError is raised, or ContextBudgetError where the prompt was longer than the model takes.
    """
    collected = list[str]()
    stream: Iterator[str] = iter(())
    gate, marks = CleanStream(parts.clean_text), MarkStream(item.mark for item in found.evidence)
    try:
        with clock.stage("generate"):
            cancellation.course.model_asked = True
            stream = parts.generator.generate(found.context)
            cancellation.stops(getattr(stream, "cancel", lambda: None))
            for part in stream:
                collected.append(part)
                if shown := marks.feed(gate.feed(part)):
                    yield shown
            if shown := marks.feed(gate.finish()) + marks.finish():
                yield shown
        cancellation.check()  # a generator that cannot be cancelled has run to its end
        usage = getattr(stream, "usage", None)  # what the model itself reports outranks our count
        model = getattr(stream, "model", None) or parts.generator.model
        answer = answered(parts, "".join(collected), found, model, usage, clock)
        truncated, filtered = (bool(getattr(stream, name, False)) for name in ("truncated", "filtered"))
        yield replace(answer, truncated=truncated, filtered=filtered)
    except GenerationCancelled:
        raise
    except GenerationError as error:
        paid = _paid(parts, stream, "".join(collected), found)
        error.spent_tokens = paid.prompt_tokens + paid.completion_tokens
        if collected:
            raise
        if parts.fallback is None:
            if error.code == "llm_context_length":
                raise _too_long(error, found) from error
            raise
        log.warning("model_failed code=%s fallback=%s", error.code, parts.fallback.model)
        yield from _stood_in(parts, parts.fallback, found, paid, clock)


def _stood_in(
    parts: Parts, fallback: Generator, found: SearchResult, paid: Usage, clock: Stopwatch
) -> Iterator[str | Answer]:
    """The fallback's text and its Answer. It costs what the model has taken in vain, and what it takes itself."""
    with clock.stage("generate"):
        quoted = fallback.generate(found.context)
        text = "".join(quoted)
    yield text
    own = getattr(quoted, "usage", None) or Usage(0, parts.counter.count(text))
    answer = answered(parts, text, found, fallback.model, own, clock, degraded=True)
    usage = Usage(paid.prompt_tokens + own.prompt_tokens, paid.completion_tokens + own.completion_tokens)
    yield replace(answer, usage=usage)


def _paid(parts: Parts, stream: Iterator[str], text: str, found: SearchResult) -> Usage:
    """What a call took that gave no whole answer: what its server reports, else our count where the model had begun."""
    reported: Usage | None = getattr(stream, "usage", None)
    if reported is not None:
        return reported
    begun = text or getattr(stream, "begun", False)
    return Usage(found.bill.total, parts.counter.count(text)) if begun else Usage(0, 0)


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


def _with_answer_length(found: SearchResult, most: int | None) -> SearchResult:
    """The search with no more kept free for the answer than its caller wants: generators write no longer ones."""
    if most is None or most >= found.bill.reserve:
        return found
    return replace(found, context=replace(found.context, bill=replace(found.bill, reserve=most)))


def _too_long(error: GenerationError, found: SearchResult) -> ContextBudgetError:
    """What a caller can do about a model whose window is smaller than the configured one."""
    return ContextBudgetError(
        f"The model does not take a prompt of about {found.bill.total} tokens. Ask with a lower max_tokens, or lower "
        f"context.prompt_limit ({found.bill.limit}). {error.message}"
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
