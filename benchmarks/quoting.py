"""How often a quoted answer holds the answer, and how long it is: what the extractive generator quotes.

    python -m benchmarks.quoting --data FOLDER [--weights FILE] [--sets nq,covidqa] [--questions 150]

Questions about documents that taught no weights, each with what the default settings send for it. From that evidence
sentences are quoted, at most three: the best one, and others whose score is at least a share of its. By share:

    answered    share of the questions of whose labelled answers one stands in a quote, by set
    words       of all quotes of a question, mean over the sets; a Han character counts as a word
    quotes      of a question, mean over the sets

The last line is all evidence that was sent: what a model would have read.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import held_out, machine
from benchmarks.arguments import add_encoder, add_sets
from benchmarks.labelled import load_set
from benchmarks.markdown import table
from domain.asking import AskOptions
from domain.search import DEFAULT_COLLECTION, Filters
from generation.extractive import FAIR_CHANCE, choose_quotes
from generation.quoting import Quote, quotable
from service.answer_strings import find_answer
from service.labelled_questions import LabelledQuestion
from service.parts import Parts
from service.question_encoding import encode_question

SETS = ("xquad-en", "nq", "covidqa", "drcd-zh", "cmrc-zh", "selqa-test")
SHARES = (1.0, 0.8, 0.4, 0.2, FAIR_CHANCE, 0.05)
_MOST = 3


@dataclass(frozen=True, slots=True)
class Quoted:
    """What could be quoted for a question: every sentence of the evidence that can answer."""

    answers: tuple[str, ...]
    quotes: Sequence[Quote]

    def answered(self, chosen: Sequence[Quote]) -> bool:
        return any(find_answer(quote.text, answer) for quote in chosen for answer in self.answers)


def ask(parts: Parts, question: LabelledQuestion) -> Quoted:
    """What is sent for a question at the default settings, as quotes."""
    scoring = parts.scoring.of(DEFAULT_COLLECTION)
    query = encode_question(parts, question.question, Filters(DEFAULT_COLLECTION))
    scored = scoring.rerank(query, parts.retriever.search(query, parts.candidates))
    context = scoring.builder.build(query, scored, AskOptions())
    return Quoted(question.answers, quotable(context.evidence, context.question))


def line(name: str, choices: Sequence[Sequence[tuple[Quoted, Sequence[Quote]]]]) -> list[str]:
    """One row: for every set its questions with what was chosen for each."""
    answered = [np.mean([one.answered(chosen) for one, chosen in own]) for own in choices]
    words = [np.mean([sum(len(quote.words) for quote in chosen) for _, chosen in own]) for own in choices]
    counts = [np.mean([len(chosen) for _, chosen in own]) for own in choices]
    shown = [f"{value:.3f}" for value in (*answered, np.mean(answered))]
    return [name, *shown, f"{np.mean(words):.0f}", f"{np.mean(counts):.1f}"]


def report(names: Sequence[str], found: Sequence[Sequence[Quoted]]) -> str:
    """Markdown: a row a share, and one of all that was sent."""
    rows = []
    for share in SHARES:
        chosen = [[(one, choose_quotes(one.quotes, _MOST, share)) for one in own] for own in found]
        rows.append(line(f"{share:g}", chosen))
    rows.append(line("all that is sent", [[(one, one.quotes) for one in own] for own in found]))
    return table(("share of the best score", *names, "mean", "words", "quotes"), rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quoting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_sets(parser, SETS)
    add_encoder(parser)
    parser.add_argument("--questions", type=int, default=150, help="questions a set, drawn with seed 0; 0 takes all")
    parser.add_argument("--weights", type=Path, help="the trained .safetensors; the untrained ones where left out")
    given = parser.parse_args(argv)
    found = []
    for name in given.sets:
        asked = held_out.judging(whole := load_set(given.data / name, 0), given.questions)
        with held_out.ingested(whole.corpus, given.weights, given.cache, given.model) as (parts, _):
            found.append([ask(parts, question) for question in asked])
    print(report(given.sets, found))
    print(f"\nAt most {given.questions or 'all'} questions a set; {machine.describe()}.")


if __name__ == "__main__":
    main()
