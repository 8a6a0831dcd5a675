"""Questions with known answers, and where in the documents these stand.

A file holds one object a line:

    {"id", "question", "answers": [strings], "document": id or source or null, "start": offset or null,
     "references": [{"document", "start", "end"}]}

`"answers": []` marks an unanswerable question. What counts as the gold evidence is, in this order: the references;
the first answer at `start` of the document; an answer string anywhere in the document; and without a document, an
answer string in any chunk. Strings are compared with case, width and white space folded, as whole words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

from context.drafts import sentences_of
from context.language import normalise
from domain.documents import Chunk, DocumentRef, Span
from domain.errors import UsageError
from domain.search import Evidence, ScoredChunk
from service.answer_strings import find_answer
from service.jsonl import jsonl_rows

_CODE = "invalid_questions"


@dataclass(frozen=True, slots=True)
class Reference:
    """A stretch of a document that a question needs; `document` is an id or a source."""

    document: str
    span: Span


@dataclass(frozen=True, slots=True)
class LabelledQuestion:
    """A question with its answers; without any it is unanswerable."""

    id: str
    question: str
    answers: tuple[str, ...] = ()
    document: str | None = None
    start: int | None = None
    references: tuple[Reference, ...] = ()

    @property
    def answerable(self) -> bool:
        return bool(self.answers)

    @property
    def locations(self) -> tuple[Reference, ...]:
        """Where the evidence stands, as far as it is labelled by place; empty where only strings are known."""
        if self.references or self.document is None or self.start is None or not self.answers:
            return self.references
        return (Reference(self.document, Span(self.start, self.start + len(self.answers[0].rstrip()))),)

    @property
    def cluster(self) -> str:
        """Questions of one cluster are about one document: they are split, and drawn, together."""
        known = self.document or next((item.document for item in self.references), None)
        return f"question {self.id}" if known is None else f"document {known}"


QuestionSource: TypeAlias = str | Path | Sequence[LabelledQuestion]  # a JSONL file, or its questions


# -- reading ---------------------------------------------------------------------------------------------------------


def questions_from(source: QuestionSource) -> Sequence[LabelledQuestion]:
    """The questions of a source. Raises UsageError that names the line and the field."""
    return read_questions(Path(source)) if isinstance(source, str | Path) else source


def read_questions(path: Path) -> tuple[LabelledQuestion, ...]:
    """The questions of a JSONL file, plain or .gz. Raises UsageError that names the line and the field."""
    found: dict[str, int] = {}
    questions = []
    for number, row in jsonl_rows(path, _CODE):
        question = _question(row, f"{path}:{number}")
        if question.id in found:
            raise _wrong(f"{path}:{number}", f"the id {question.id!r} stands in line {found[question.id]} already")
        found[question.id] = number
        questions.append(question)
    if not questions:
        raise _wrong(str(path), "the file holds no question")
    return tuple(questions)


def _question(row: Any, place: str) -> LabelledQuestion:
    if not isinstance(row, dict):
        raise _wrong(place, "the line is not an object")
    answers = row.get("answers")
    if not isinstance(answers, list) or not all(isinstance(item, str) and item.strip() for item in answers):
        raise _wrong(place, '"answers" must be a list of filled strings, [] for an unanswerable question')
    document, start = row.get("document"), row.get("start")
    if document is not None and not (isinstance(document, str) and document):
        raise _wrong(place, '"document" must be the id or the source of a document, or null')
    if start is not None and (not _is_offset(start) or document is None or not answers):
        raise _wrong(place, '"start" must be an offset from 0 into "document", where the first answer stands, or null')
    references = _references(row.get("references"), place)
    if references and not answers:
        raise _wrong(place, '"answers" is [], which marks an unanswerable question, but there are "references"')
    return LabelledQuestion(
        _text(row, "id", place), _text(row, "question", place), tuple(answers), document, start, references
    )


def _references(value: Any, place: str) -> tuple[Reference, ...]:
    if value is not None and not isinstance(value, list):
        raise _wrong(place, '"references" must be a list')
    return tuple(_reference(item, f'{place}: "references" [{at}]') for at, item in enumerate(value or ()))


def _reference(item: Any, place: str) -> Reference:
    start, end = (item.get("start"), item.get("end")) if isinstance(item, dict) else (None, None)
    if not (_is_offset(start) and _is_offset(end) and start < end):
        raise _wrong(place, 'must be an object with "document", "start" and "end", start below end')
    return Reference(_text(item, "document", place), Span(start, end))


def _text(row: dict[str, Any], field: str, place: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        raise _wrong(place, f'"{field}" must be a filled string')
    return value


def _is_offset(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _wrong(place: str, what: str) -> UsageError:
    return UsageError(f"{place}: {what}.", code=_CODE)


# -- gold ------------------------------------------------------------------------------------------------------------


def gold_spans(question: LabelledQuestion, chunk: Chunk, document: DocumentRef) -> tuple[Span, ...]:
    """The parts of a chunk that are gold evidence for the question, in the document's offsets; () for most chunks."""
    if question.locations:
        own = [item.span for item in question.locations if item.document in (document.id, document.source)]
        return tuple(part for span in own if (part := _shared(span, chunk)) is not None)
    if question.document is not None and question.document not in (document.id, document.source):
        return ()
    found = (span for answer in question.answers for span in find_answer(chunk.text, answer))
    return tuple(span.shifted(chunk.span.start) for span in found)


def is_gold_chunk(question: LabelledQuestion, chunk: Chunk, document: DocumentRef) -> bool:
    """Whether a chunk holds gold evidence, or a part of it."""
    return bool(gold_spans(question, chunk, document))


def gold_sentences(question: LabelledQuestion, chunk: Chunk, document: DocumentRef) -> frozenset[int]:
    """The ordinals of the chunk's sentences that hold gold evidence, or a part of it."""
    spans = gold_spans(question, chunk, document)
    return frozenset(
        item.ordinal for item in chunk.sentences if any(_touches(span, item.span, chunk) for span in spans)
    )


def needed_sentences(question: LabelledQuestion, scored: Sequence[ScoredChunk]) -> list[tuple[int, int]]:
    """The sentences that the question needs, as far as they are among `scored`: (chunk, place in `sentences_of` it).

    Evidence labelled by place needs every sentence that it touches. Of several occurrences of an answer string one is
    enough, so the best one counts, by its weakest sentence. [] where no gold evidence was retrieved.
    """
    every: dict[tuple[str, Span], tuple[int, int]] = {}
    weakest: list[tuple[float, tuple[int, int]]] = []
    for at, item in enumerate(scored):
        own = sentences_of(item)
        for span in gold_spans(question, item.chunk, item.document):
            touched = [place for place, one in enumerate(own) if _touches(span, one.sentence.span, item.chunk)]
            if touched:
                every |= {(item.document.id, own[place].sentence.span): (at, place) for place in touched}
                weakest.append(min((own[place].score, (at, place)) for place in touched))
    return list(every.values()) if question.locations else [max(weakest)[1]] if weakest else []


def evidence_recall(question: LabelledQuestion, evidence: Sequence[Evidence]) -> float:
    """The share of the gold evidence that the evidence holds, in 0..1: by place whole spans, by string any answer."""
    if question.locations:
        return sum(_covered(item, evidence) for item in question.locations) / len(question.locations)
    own = [item for item in evidence if question.document in (None, item.document_id, item.source)]
    return float(any(find_answer(item.text, answer) for item in own for answer in question.answers))


def repeated_elsewhere(question: LabelledQuestion, scored: Sequence[ScoredChunk], evidence: Sequence[Evidence]) -> bool:
    """Whether the sentences that the question needs were sent word for word out of another document than the one that
    its label names: of documents that repeat each other one is sent. False for labels of several places.
    """
    named = question.locations[0].document if question.locations else question.document
    if len(question.locations) > 1 or named is None:
        return False
    sent = [normalise(item.text) for item in evidence if named not in (item.document_id, item.source)]
    needed = [
        normalise(scored[at].chunk.sentence_text(sentences_of(scored[at])[place].sentence))
        for at, place in needed_sentences(question, scored)
    ]
    return bool(needed) and all(any(sentence in text for text in sent) for sentence in needed)


def _covered(wanted: Reference, evidence: Sequence[Evidence]) -> bool:
    own = [item for item in evidence if wanted.document in (item.document_id, item.source)]
    at = wanted.span.start
    for span in sorted(span for item in own for span in item.spans):
        # Spans that leave out nothing but white space between two sentences hold what runs across them.
        if span.start <= at + _BLANKS and at < span.end:
            at = span.end
    return at > wanted.span.start and at + _BLANKS >= wanted.span.end


_BLANKS = 2  # characters at a seam or at the end of a label: no sentence is as short, so they are blanks


def _shared(span: Span, chunk: Chunk) -> Span | None:
    """What `span` and the chunk have in common, without blanks at the ends; None where that is nothing."""
    start, end = max(span.start, chunk.span.start), min(span.end, chunk.span.end)
    text = chunk.text[max(0, start - chunk.span.start) : max(0, end - chunk.span.start)]
    if not text.strip():
        return None
    start += len(text) - len(text.lstrip())
    return Span(start, start + len(text.strip()))


def _touches(span: Span, sentence: Span, chunk: Chunk) -> bool:
    start, end = max(span.start, sentence.start), min(span.end, sentence.end)
    return start < end and bool(chunk.text[start - chunk.span.start : end - chunk.span.start].strip())
