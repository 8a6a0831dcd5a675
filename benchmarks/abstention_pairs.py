"""Every question asked twice: of the documents that answer it, and without them, as if they had never been ingested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from domain.calibration import ScoreMap
from domain.protocols import Reranker
from domain.search import DEFAULT_COLLECTION, Candidate, Filters, Query
from service.answer_strings import find_answer
from service.calibration.observed import Observed, observed
from service.labelled_questions import LabelledQuestion
from service.parts import Parts
from service.question_encoding import encode_question

_PAGE = 1000  # documents of a listing


@dataclass(frozen=True, slots=True)
class Pair:
    """One question, asked with the documents that answer it and without them; `cluster` is the document."""

    present: Observed
    absent: Observed
    cluster: str

    def mapped(self, maps: Mapping[str, ScoreMap]) -> Pair:
        return replace(self, present=self.present.mapped(maps), absent=self.absent.mapped(maps))

    @property
    def found(self) -> bool:
        """Whether evidence was retrieved where there is some."""
        return len(self.present.needed) > 0


class Asker:
    """Asks one ingested set. `name` is the set's, so that documents of several sets stay apart."""

    def __init__(self, parts: Parts, reranker: Reranker, name: str) -> None:
        self._parts, self._reranker, self._name = parts, reranker, name
        self._ids: dict[str, str] = {}
        after = None
        while page := parts.store.list_documents(DEFAULT_COLLECTION, _PAGE, after):
            self._ids |= {info.source: info.id for info in page}
            after = page[-1].id

    def ask(self, question: LabelledQuestion) -> Pair:
        """Both lists of one question."""
        query = encode_question(self._parts, question.question, Filters())
        present = self._observed(question, query, self._retrieve(query))
        absent = self._without(question, query)
        return Pair(replace(present, best_elsewhere=absent.best), absent, f"{self._name}/{question.cluster}")

    def _retrieve(self, query: Query) -> list[Candidate]:
        return self._parts.retriever.search(query, self._parts.candidates)

    def _without(self, question: LabelledQuestion, query: Query) -> Observed:
        others = frozenset(own for source, own in self._ids.items() if source != question.document)
        found = self._retrieve(replace(query, filters=Filters(document_ids=others))) if others else []
        silent = [one for one in found if not _says_an_answer(one, question)]
        return self._observed(replace(question, answers=(), references=()), query, silent)

    def _observed(self, question: LabelledQuestion, query: Query, candidates: list[Candidate]) -> Observed:
        return observed(question, query, self._reranker.rerank(query, candidates), self._parts.counter)


def _says_an_answer(candidate: Candidate, question: LabelledQuestion) -> bool:
    return any(find_answer(candidate.chunk.text, answer) for answer in question.answers)
