"""Labelled sets: `corpus.jsonl[.gz]` (id, title, text) beside `questions.jsonl[.gz]` (id, question, answers,
document, start)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.jsonl import jsonl_rows
from service.labelled_questions import LabelledQuestion


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """A corpus with its answerable questions; every one names its document."""

    name: str
    corpus: Path
    questions: tuple[LabelledQuestion, ...]

    @property
    def filled(self) -> tuple[LabelledQuestion, ...]:
        """The questions that ask something: a few are empty."""
        return tuple(one for one in self.questions if one.question.strip())


def load_set(folder: Path, limit: int, seed: int = 0) -> LabelledSet:
    """The set in `folder` with at most `limit` answerable questions, drawn by `seed`; 0 takes all."""
    questions = [
        LabelledQuestion(row["id"], row["question"], tuple(row["answers"]), row["document"], row["start"])
        for row in read_rows(folder, "questions.jsonl")
        if row["answers"] and row["document"]
    ]
    return LabelledSet(folder.name, corpus_of(folder), drawn(questions, limit, seed))


def drawn(questions: Sequence[LabelledQuestion], most: int, seed: int = 0) -> tuple[LabelledQuestion, ...]:
    """At most `most` of the questions, drawn by `seed` where there are more; 0 takes all."""
    return tuple(random.Random(seed).sample(questions, most) if 0 < most < len(questions) else questions)


def corpus_of(folder: Path) -> Path:
    """The documents of a set."""
    return _existing(folder, "corpus.jsonl")


def read_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a JSONL file of a set, plain or .gz."""
    return [row for _, row in jsonl_rows(_existing(folder, name))]


def _existing(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder} holds no {name}[.gz]; name a folder of labelled sets with --data.")
