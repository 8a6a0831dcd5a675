"""A labelled set as every library gets it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.held_out import judging
from benchmarks.labelled import load_set, read_rows
from benchmarks.peers.protocol import SourceDocument
from context.language import detect_language
from domain.documents import Span
from service.labelled_questions import LabelledQuestion, Reference

SENTENCE_ANSWERS = frozenset(("selqa-dev", "selqa-test"))  # sets whose answers are whole sentences, marked by place


@dataclass(frozen=True, slots=True)
class PeerSet:
    """`corpus` is the file that the product ingests, `documents` what stands in it."""

    name: str
    corpus: Path
    documents: tuple[SourceDocument, ...]
    questions: tuple[LabelledQuestion, ...]

    @property
    def language(self) -> str:
        """The language of most documents, "en" or "zh"."""
        found = Counter(detect_language(one.text)[:2] for one in self.documents)  # both Chinese scripts are one
        return max(found, key=found.__getitem__)

    @property
    def clusters(self) -> list[str]:
        return [one.cluster for one in self.questions]


def load(folder: Path, most: int) -> PeerSet:
    """The set in `folder` with at most `most` answerable questions, drawn with seed 0; 0 takes all.

    Of a set that the shipped weights learned from, those about documents that they have not seen.
    """
    labelled = load_set(folder, 0)
    references = {row["id"]: row.get("references") or () for row in read_rows(folder, "questions.jsonl")}
    documents = [SourceDocument(row["id"], row["title"], row["text"]) for row in read_rows(folder, "corpus.jsonl")]
    questions = []
    for one in judging(labelled, most):
        given = tuple(Reference(item["document"], Span(item["start"], item["end"])) for item in references[one.id])
        question = LabelledQuestion(one.id, one.question, one.answers, one.document, one.start, given)
        if folder.name in SENTENCE_ANSWERS:
            question = replace(question, references=question.locations)
        questions.append(question)
    return PeerSet(folder.name, labelled.corpus, tuple(documents), tuple(questions))
