"""From a question to its evidence: encode once, retrieve, score in one pass, select and lay out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from context.abstention import with_nearest
from domain.asking import AskOptions
from domain.errors import FoveaError, NotFound
from domain.search import DEFAULT_COLLECTION, Filters
from domain.search_result import Rewrite, SearchResult
from service.parts import Parts
from service.question_encoding import checked_question, encode_question
from service.stopwatch import Stopwatch


def search_evidence(
    parts: Parts, question: str, options: AskOptions, filters: Filters, clock: Stopwatch
) -> SearchResult:
    """The evidence for a question; `clock` learns what each stage took. Raises UsageError, NotFound,
    IndexModelMismatch.
    """
    text = checked_question(parts, question, options)
    check_collection(parts, filters.collection)
    rewrite = None
    if options.history:
        with clock.stage("rewrite"):
            rewrite = parts.rewriter.rewrite(text, options.history)
    with spent_on(rewrite):
        return _found(parts, text, rewrite, options, filters, clock)


@contextmanager
def spent_on(rewrite: Rewrite | None) -> Iterator[None]:
    """Errors of the block say what the rewriting has cost: a question that fails after it is paid for as well."""
    try:
        yield
    except FoveaError as error:
        error.spent_tokens += rewrite.tokens if rewrite else 0
        raise


def _found(
    parts: Parts, text: str, rewrite: Rewrite | None, options: AskOptions, filters: Filters, clock: Stopwatch
) -> SearchResult:
    with clock.stage("encode"):
        query = encode_question(parts, rewrite.question if rewrite else text, filters)
    with clock.stage("retrieve"):
        candidates = parts.retriever.search(query, parts.candidates)
    scoring = parts.scoring.of(filters.collection)
    with clock.stage("rerank"):
        scored = scoring.rerank(query, candidates)
    with clock.stage("build"):
        # The prompt carries the user's own words; only retrieval and scoring see the standalone form.
        context = scoring.builder.build(replace(query, text=text), scored, options)
        context = with_nearest(parts.sent_once(context), scored)
    return SearchResult(context, clock.timings(), rewrite)


def check_collection(parts: Parts, collection: str) -> None:
    """Raises NotFound for a collection that is not there, IndexModelMismatch for one that another encoder filled."""
    if parts.store.generation(collection) > 0:
        parts.store.check_encoder(collection, parts.encoder.model_id, parts.encoder.dim, parts.codec_id)
    elif collection != DEFAULT_COLLECTION and collection not in {item.name for item in parts.store.list_collections()}:
        raise NotFound(f"There is no collection {collection!r}; ingest into it or create it first.")
