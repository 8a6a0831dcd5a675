"""From labelled questions about a collection to what training reads.

    questions ── retrieval ── candidates ─┬─ gold sentences, chunks that hold an answer's words elsewhere
                                          └─ the chunks that occur ── token states, on disk

Where the same question is asked of several documents ("does this site sell data?"), the right chunk cannot be told
from the question: only the sentences of the gold document are compared, and such questions do not judge.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attention_core.batching import lay_out, rows_under_headers
from attention_core.examples import Example, TrainingChunk, TrainingSet
from attention_core.question import token_weights
from attention_core.reranker import lead_matches, lexical_shares
from domain.search import Candidate, Filters, FloatArray, Query, StoredChunk
from service.answer_strings import find_answer, folded
from service.labelled_questions import LabelledQuestion, gold_sentences
from service.parts import Parts
from service.question_encoding import encode_question
from service.training.split import Split, split_clusters
from service.training.tokens import Step, TokenRow, TokenSource

_PAGE = 1000  # documents listed at once
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Labelled:
    """A collection with questions about it, `self_made` ones where the collection asks itself.

    seed: of the split. share: its part of the training, relative to other sets. beside: the split of the questions
    that people ask; where it is given, this set only teaches, and nothing about documents held out there.
    """

    collection: str
    questions: tuple[LabelledQuestion, ...]
    seed: int
    share: float
    self_made: bool = False
    beside: Split | None = None

    @property
    def name(self) -> str:
        """Tells the two sets of one collection apart."""
        return f"{self.collection}, self-supervised" if self.self_made else self.collection


@dataclass(frozen=True, slots=True)
class Collected:
    """A training set with what led to its rows: chunks by key, questions by their text.

    levelling, comparison: the questions about the two halves of the held-out documents, those without retrieved
    evidence among them.
    """

    labelled: Labelled
    split: Split
    training: TrainingSet
    levelling: tuple[LabelledQuestion, ...]
    comparison: tuple[LabelledQuestion, ...]
    chunk_rows: Mapping[int, int]
    chunk_tokens: Sequence[TokenRow]
    question_rows: Mapping[str, int]
    question_tokens: Sequence[TokenRow]


def known_documents(parts: Parts, collection: str, questions: Sequence[LabelledQuestion]) -> list[LabelledQuestion]:
    """The questions with their documents named by id: some may name them by source, and one must be one."""
    ids: dict[str, str] = {}
    after = None
    while page := parts.store.list_documents(collection, _PAGE, after):
        ids |= {info.source: info.id for info in page} | {info.id: info.id for info in page}
        after = page[-1].id

    def renamed(question: LabelledQuestion) -> LabelledQuestion:
        references = tuple(replace(one, document=ids.get(one.document, one.document)) for one in question.references)
        document = question.document and ids.get(question.document, question.document)
        return replace(question, document=document, references=references)

    return [renamed(question) for question in questions]


def collect(parts: Parts, labelled: Labelled, source: TokenSource, folder: Path, step: Step) -> Collected:
    """The training set of one collection; states are kept in `folder`. `step` is told (what, done, total).

    Questions whose gold evidence retrieval cannot reach teach nothing; unanswerable ones are left to levelling.
    """
    asked = list(_ask_all(parts, labelled, source, step))
    keys = sorted({key for one in asked for key in one.lexical})
    stored = parts.store.get_chunks(labelled.collection, keys, with_tokens=False)
    tokens, states = source.chunks(labelled.collection, [stored[key] for key in keys], folder, step)
    rows, vectors = {key: row for row, key in enumerate(keys)}, _vectors(parts, labelled.collection, keys)
    repeated = _repeated(labelled.questions)
    examples = [(one.cluster, _example(row, one, rows, repeated)) for row, one in enumerate(asked) if one.gold]
    split = split_clusters([one.cluster for one in asked], labelled.seed)
    beside = labelled.beside
    apart = split.held_out | (beside.held_out if beside else frozenset())
    levelling, comparison = (split.levelling, split.comparison) if beside is None else (_NONE, _NONE)
    training = TrainingSet(
        name=labelled.name,
        chunks=[_chunk(stored[key], tokens[row], vectors[key]) for key, row in rows.items()],
        chunk_states=states,
        question_states=source.question_states([one.tokens for one in asked], folder, step),
        examples=[example for cluster, example in examples if cluster not in apart],
        held_out=[example for cluster, example in examples if cluster in levelling],
        held_documents=frozenset(example.document for cluster, example in examples if cluster in apart),
        share=labelled.share,
    )
    return Collected(
        labelled=labelled,
        split=split,
        training=training,
        levelling=_judging(asked, levelling, repeated),
        comparison=_judging(asked, comparison, repeated),
        chunk_rows=rows,
        chunk_tokens=tokens,
        question_rows={one.question.question: row for row, one in enumerate(asked)},
        question_tokens=[one.tokens for one in asked],
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question with what retrieval found, by chunk key; gold: ordinals of gold sentences. No text is kept."""

    question: LabelledQuestion
    tokens: TokenRow
    weights: FloatArray
    vector: FloatArray
    lexical: Mapping[int, float]
    lead: Mapping[int, FloatArray]
    gold: Mapping[int, tuple[int, ...]]
    blocked: frozenset[int]
    document: str

    @property
    def cluster(self) -> str:
        """That of the question; where it names no document, that of the one that was found to answer it."""
        named = self.question.document or self.question.references
        return self.question.cluster if named or not self.document else f"document {self.document}"


def _judging(
    asked: Sequence[_Asked], clusters: frozenset[str], repeated: frozenset[str]
) -> tuple[LabelledQuestion, ...]:
    return tuple(
        one.question for one in asked if one.cluster in clusters and folded(one.question.question) not in repeated
    )


def _ask_all(parts: Parts, labelled: Labelled, source: TokenSource, step: Step) -> Iterator[_Asked]:
    for done, question in enumerate(labelled.questions, start=1):
        query = encode_question(parts, question.question, Filters(labelled.collection))
        tokens = source.question(query)
        candidates = [
            one
            for one in parts.retriever.search(query, parts.candidates)
            if one.chunk.sentences and one.stored.token_blob is not None
        ]
        if len(tokens.take) and candidates:
            yield _asked(question, query, tokens, candidates)
        step("questions asked", done, len(labelled.questions))


def _asked(question: LabelledQuestion, query: Query, tokens: TokenRow, candidates: Sequence[Candidate]) -> _Asked:
    found = {one.chunk.key: gold_sentences(question, one.chunk, one.document) for one in candidates}
    gold = {key: tuple(sorted(sentences)) for key, sentences in found.items() if sentences}
    others = [one.chunk for one in candidates if one.chunk.key not in gold]
    leads = lead_matches(query, tokens.offsets, candidates)
    return _Asked(
        question=question,
        tokens=tokens,
        weights=token_weights(tokens.offsets, query.terms),
        vector=query.vector,
        lexical=dict(zip(found, lexical_shares(query, candidates).tolist(), strict=True)),
        lead={key: lead for key, lead in zip(found, leads, strict=True) if lead.any()},
        gold=gold,
        blocked=frozenset(one.key for one in others if _answers(question, one.text)),
        document=next((one.document.id for one in candidates if one.chunk.key in gold), ""),
    )


def _answers(question: LabelledQuestion, text: str) -> bool:
    return any(find_answer(text, answer) for answer in question.answers)


def _example(row: int, one: _Asked, rows: Mapping[int, int], repeated: frozenset[str]) -> Example:
    return Example(
        row=row,
        take=one.tokens.take,
        weights=one.weights,
        vector=one.vector,
        candidates=tuple(rows[key] for key in one.lexical),
        lexical={rows[key]: share for key, share in one.lexical.items()},
        lead={rows[key]: lead for key, lead in one.lead.items()},
        gold={rows[key]: sentences for key, sentences in one.gold.items()},
        blocked=frozenset(rows[key] for key in one.blocked),
        document=one.document,
        ranked=folded(one.question.question) not in repeated,
    )


def _chunk(stored: StoredChunk, tokens: TokenRow, vector: NDArray[np.float32]) -> TrainingChunk:
    layout = lay_out([stored.chunk], np.array([len(tokens.take)]), tokens.offsets)
    counts = np.bincount(layout.token_sentence, minlength=layout.n_sentences)
    read_with = np.arange(layout.n_sentences)
    table_rows, headers = rows_under_headers([stored.chunk], layout)
    read_with[table_rows] = headers
    lengths = np.maximum(counts, 1).astype(np.float32)
    return TrainingChunk(stored.document.id, tokens.take, layout.token_sentence, lengths, read_with, vector)


def _vectors(parts: Parts, collection: str, keys: Sequence[int]) -> dict[int, NDArray[np.float32]]:
    wanted, found = frozenset(keys), dict[int, NDArray[np.float32]]()
    for some, vectors in parts.store.iter_vectors(collection):
        found |= {key: vectors[at] for at, key in enumerate(some) if key in wanted}
    return found


def _repeated(questions: Sequence[LabelledQuestion]) -> frozenset[str]:
    """Questions, folded, that are asked of more than one document."""
    documents: dict[str, set[str]] = defaultdict(set)
    for question in questions:
        documents[folded(question.question)].add(question.cluster)
    return frozenset(text for text, clusters in documents.items() if len(clusters) > 1)
