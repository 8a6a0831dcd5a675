"""Sentences that are true of their evidence: of the sample documents and the labelled samples, English and Chinese."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from context.citations import resolve_citations
from domain.search import Evidence
from ingestion.sentences import split_sentences
from tests.context.attack_texts import MARINA, TEAHOUSE
from tests.context.context_examples import evidence

ROOT = Path(__file__).parents[2]
SHORTEST, LONGEST = 16, 260
HAN = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Case:
    """A true sentence in its evidence [1], between its neighbours, beside the evidence [2] of another document."""

    sentence: str
    language: str
    own: Evidence
    other: Evidence

    @property
    def evidence(self) -> list[Evidence]:
        return [self.own, self.other]

    @property
    def neighbours(self) -> list[str]:
        """The other sentences of the own evidence."""
        return [line for line in self.own.text.split("\n") if line != self.sentence]

    @property
    def is_chinese(self) -> bool:
        return self.language == "zh"


def documents() -> list[tuple[str, str, str]]:
    """(title, text, language) of every text that the tests have."""
    found = [("Marina", MARINA.replace("\n", " ")), ("茶馆", TEAHOUSE.replace("\n", ""))]
    found += [(path.stem, path.read_text("utf-8")) for path in sorted((ROOT / "samples").iterdir())]
    for name in ("xquad-en", "cmrc-zh"):
        lines = (ROOT / "tests" / "data" / name / "corpus.jsonl").read_text("utf-8").splitlines()
        found += [(row["title"], row["text"]) for row in map(json.loads, lines)]
    return [(title, text, "zh" if len(HAN.findall(text)) > len(text) / 4 else "en") for title, text in found]


def sentences_of(text: str) -> list[str]:
    """The usable sentences of a document: no headings, no table rows, no brackets that look like marks."""
    parts = [span.of(text).strip() for span in split_sentences(text)]
    return [
        part
        for part in parts
        if SHORTEST <= len(part) <= LONGEST
        and part[-1] in ".!?。！？"
        and not set(part) & set("[|#\n")
        and is_one(part)
    ]


def is_one(sentence: str) -> bool:
    """No second sentence inside it, which an answer would cite apart."""
    return not re.search(r"[。！？]|[.!?][\"”)]*\s+[^a-z]", sentence[:-1])


@cache
def cases() -> tuple[Case, ...]:
    """Every sentence with at least one neighbour, in a fixed order."""
    read = [(title, sentences_of(text), language) for title, text, language in documents()]
    pieces = [
        (title, sentences[at : at + 3], language)
        for title, sentences, language in read
        for at in range(0, len(sentences), 3)
        if len(sentences[at : at + 3]) >= 2
    ]
    found = []
    for place, (title, sentences, language) in enumerate(pieces):
        away = next(
            (name, lines)
            for name, lines, spoken in (*pieces[place + 1 :], *pieces)
            if spoken == language and name != title
        )
        own = evidence("\n".join(sentences), title=title)
        other = evidence("\n".join(away[1]), mark=2, name="b", title=away[0])
        found += [Case(sentence, language, own, other) for sentence in dict.fromkeys(sentences)]
    return tuple(found)


def is_verified(case: Case, answer: str) -> bool:
    """Shown as verified: one of its citations is, or one of its sentences is marked as supported."""
    cited = resolve_citations(answer, case.evidence)
    return any(citation.verified for citation in cited.citations) or any(part.supported for part in cited.sentences)
