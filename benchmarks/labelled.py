"""Labelled sets: `corpus.jsonl[.gz]` (id, title, text) beside `questions.jsonl[.gz]` (id, question, answers,
document, start)."""

from __future__ import annotations

import gzip
import random
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class LabelledQuestion:
    """A question with its gold answer; `start` is the answer's offset in the gold document's text, None where
    unknown."""

    id: str
    question: str
    answers: tuple[str, ...]
    document: str
    start: int | None

    @property
    def answer_end(self) -> int | None:
        return None if self.start is None else self.start + len(self.answers[0])


@dataclass(frozen=True, slots=True)
class LabelledSet:
    name: str
    corpus: Path
    questions: tuple[LabelledQuestion, ...]


def load_set(folder: Path, limit: int, seed: int = 0) -> LabelledSet:
    """The set in `folder` with at most `limit` answerable questions, drawn by `seed`; 0 takes all."""
    questions = [
        LabelledQuestion(row["id"], row["question"], tuple(row["answers"]), row["document"], row["start"])
        for row in _lines(_existing(folder, "questions.jsonl"))
        if row["answers"] and row["document"] is not None
    ]
    if 0 < limit < len(questions):
        questions = random.Random(seed).sample(questions, limit)
    return LabelledSet(folder.name, _existing(folder, "corpus.jsonl"), tuple(questions))


def holds(question: LabelledQuestion, source: str, spans: list[tuple[int, int]], text: str) -> bool:
    """Whether evidence (spans of the document `source`, with their text) holds the answer at its gold location.

    Where the location is not labelled, an answer string inside the gold document's evidence counts.
    """
    if source != question.document:
        return False
    if question.start is not None and question.answer_end is not None:
        covered = question.start
        for start, end in sorted(spans):
            # Spans that leave out nothing but white space between two sentences hold what runs across them.
            if start <= covered + 2 and covered < end:
                covered = end
            if covered >= question.answer_end:
                return True
        # An answer label may begin or end with white space that no sentence includes.
        return covered >= question.start + len(question.answers[0].rstrip()) > question.start
    return any(normalised(answer) in normalised(text) for answer in question.answers)


def normalised(text: str) -> str:
    """Case, width and white space folded, for comparing an answer with a text."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _existing(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder} holds no {name}[.gz]; name a folder of labelled sets with --data.")


def read_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a JSONL file of a set, plain or .gz."""
    return list(_lines(_existing(folder, name)))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    opened = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    with opened as file:
        yield from (orjson.loads(line) for line in file if line.strip())
