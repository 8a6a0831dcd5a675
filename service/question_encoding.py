"""From the text of a question to the query that every stage reads."""

from __future__ import annotations

from collections.abc import Sequence

from domain.asking import AskOptions, Message
from domain.errors import UsageError
from domain.protocols import TokenEncoder
from domain.search import Filters, Query
from service.parts import Parts

MAX_QUESTION_CHARACTERS = 20_000  # about 5,000 tokens: more is a document, not a question
MAX_HISTORY_TURNS = 200
MAX_HISTORY_CHARACTERS = 200_000  # ten times what any prompt has room for


def encode_question(parts: Parts, text: str, filters: Filters) -> Query:
    """The question, encoded once, with its terms weighted by the collection that is searched."""
    terms = parts.retriever.question_terms(filters.collection, text)
    if isinstance(parts.encoder, TokenEncoder):
        encoding = parts.encoder.encode_query(text)
        return Query(text, encoding.vector, encoding.tokens, terms, filters)
    return Query(text, parts.encoder.embed_query(text), None, terms, filters)


def checked_question(parts: Parts, question: str, options: AskOptions | None = None) -> str:
    """The question as every stage may read it. Raises UsageError where it or its options cannot be used."""
    text = parts.clean_text(question).strip()
    if not text:
        raise UsageError("The question is empty: ask something.")
    if len(text) > MAX_QUESTION_CHARACTERS:
        raise UsageError(
            f"The question has {len(text):,} characters; at most {MAX_QUESTION_CHARACTERS:,} are read. "
            "Ingest long texts as documents and ask about them.",
            code="question_too_long",
        )
    if options is not None:
        _check_options(options)
    return text


def _check_options(options: AskOptions) -> None:
    if options.max_tokens is not None and options.max_tokens < 1:
        raise UsageError(f"max_tokens is {options.max_tokens}; it must be at least 1.")
    _check_history(options.history)


def _check_history(history: Sequence[Message]) -> None:
    characters = sum(len(turn.content) for turn in history)
    if len(history) > MAX_HISTORY_TURNS or characters > MAX_HISTORY_CHARACTERS:
        raise UsageError(
            f"The conversation has {len(history):,} turns with {characters:,} characters; at most "
            f"{MAX_HISTORY_TURNS:,} turns and {MAX_HISTORY_CHARACTERS:,} characters are read. Send the latest ones.",
            code="history_too_long",
        )
