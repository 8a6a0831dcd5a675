"""From evidence to an answer: the model is asked at most once, and what it cites is checked."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from context.citations import resolve_citations
from context.templates import is_abstention
from domain.answers import Answer, SearchResult, Usage
from domain.errors import GenerationError
from service.parts import Parts
from service.stopwatch import Stopwatch

log = logging.getLogger(__name__)


def generate_answer(parts: Parts, found: SearchResult, clock: Stopwatch) -> Iterator[str | Answer]:
    """Yield the model's text in parts, then the Answer. A model that fails before its first word is replaced by the
    fallback where there is one; otherwise its GenerationError is raised.
    """
    collected = list[str]()
    try:
        with clock.stage("generate"):
            stream = parts.generator.generate(found.context)
            for part in stream:
                collected.append(part)
                yield part
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
    return Answer(
        text=cited.text,
        citations=cited.citations,
        search=found,
        model=model,
        usage=usage or Usage(found.bill.total, parts.counter.count(text)),
        timings=clock.timings(total=True),
        abstained=bool(found.context.abstention) or is_abstention(cited.text),
        degraded=degraded,
    )
