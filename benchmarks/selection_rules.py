"""Which rule finds the most evidence for an average number of context tokens?

    python -m benchmarks.selection_rules --data FOLDER [--weights FILE] [--sets nq,covidqa] [--questions 200]

Questions about held-out documents; the sentences of all 50 candidates with the reranker's scores. Every rule takes the
best sentence, and the others as long as its value for them reaches a limit; the limit is swept and is the same for all
sets, so that a rule may spend more where questions are harder:

    fixed budget             best first, until the tokens are spent
    score                    the score itself
    share of the best        the score over the question's best one
    mass                     a softmax over log-odds with a null (`context/evidence_mass.py`)
    mass per token           the same over what the sentence costs
    calibrated, the same     scores mapped to chances first; maps fitted on the other half of the held-out documents
    score per token          the score over what the sentence costs

A sentence costs its tokens, the first of a chunk a label of twelve more. Found is a question all of whose needed
sentences are taken. Glue, duplicates and the ceiling of the product's builder are left out: the rules alone differ.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from attention_core.calibration import Numbers
from benchmarks import held_out, machine
from benchmarks.arguments import add_encoder, add_halves, add_sets
from benchmarks.markdown import table
from context.drafts import sentences_of
from context.evidence_mass import evidence_mass, mass_per_token
from domain.calibration import ScoreMap
from domain.search import Filters
from service.calibration.fit import fit_maps
from service.calibration.observed import Observed, observed
from service.labelled_questions import LabelledQuestion
from service.parts import Parts
from service.question_encoding import encode_question

SETS = ("xquad-en", "nq", "covidqa", "drcd-zh", "cmrc-zh", "selqa-test")
TOKENS = (96, 128, 160, 200, 256, 320, 400)
LABEL = 12  # tokens: a mark, a title, a line
_SWEEP = np.geomspace(1e-5, 1.0, 60)
_BUDGETS = (32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 400, 512, 768, 1024)

Rule: TypeAlias = Callable[[Observed], Numbers]  # (S,) values
MASS_PER_TOKEN = "mass per token"


@dataclass(frozen=True, slots=True)
class Listed:
    """One question as the reranker saw it, and the number of the chunk (S,) of each of its sentences."""

    seen: Observed
    chunk: NDArray[np.intp]

    def mapped(self, maps: Mapping[str, ScoreMap]) -> Listed:
        return replace(self, seen=self.seen.mapped(maps))


@dataclass(frozen=True, slots=True)
class Curve:
    """Mean tokens and the share of questions found, one of each for every limit of a rule, over one set."""

    tokens: Numbers
    found: Numbers


def ask(parts: Parts, question: LabelledQuestion) -> Listed:
    """Scores, tokens and chunks of all sentences."""
    query = encode_question(parts, question.question, Filters())
    scored = parts.scoring.default.reranker.rerank(query, parts.retriever.search(query, parts.candidates))
    counts = [len(sentences_of(item)) for item in scored]
    return Listed(observed(question, query, scored, parts.counter), np.repeat(np.arange(len(scored)), counts))


def _per_token(values: Sequence[float], one: Observed) -> Numbers:
    return np.array([mass_per_token(value, int(tokens)) for value, tokens in zip(values, one.tokens, strict=True)])


RULES: Mapping[str, Rule] = {
    "score": lambda one: one.scores,
    "share of the best": lambda one: one.scores / one.scores.max(),
    "mass": lambda one: np.array(evidence_mass(one.scores.tolist())),
    MASS_PER_TOKEN: lambda one: _per_token(evidence_mass(one.scores.tolist()), one),
    "score per token": lambda one: _per_token(one.scores.tolist(), one),
}


def taken_by(rule: Rule, one: Listed, limit: float) -> NDArray[np.bool_]:
    """(S,) the best sentence, and those whose value reaches the limit."""
    taken = rule(one.seen) >= limit
    taken[np.argmax(one.seen.scores)] = True
    return taken


def filled(one: Listed, budget: float) -> NDArray[np.bool_]:
    """(S,) the best sentences that fit the budget; what does not fit is passed over."""
    taken = np.zeros(len(one.seen.scores), dtype=bool)
    left, opened = budget, set[int]()
    for at in np.argsort(-one.seen.scores, kind="stable"):
        price = int(one.seen.tokens[at]) + (0 if int(one.chunk[at]) in opened else LABEL)
        if price <= left:
            taken[at] = True
            left -= price
            opened.add(int(one.chunk[at]))
    return taken


def cost(one: Listed, taken: NDArray[np.bool_]) -> int:
    """Tokens of the sentences taken, and a label for each of their chunks."""
    return int(one.seen.tokens[taken].sum()) + LABEL * len(set(one.chunk[taken].tolist()))


def found(one: Listed, taken: NDArray[np.bool_]) -> bool:
    """Whether everything that the question needs was retrieved and taken."""
    return len(one.seen.needed) > 0 and bool(taken[one.seen.needed].all())


def curve(asked: Sequence[Listed], choices: Sequence[Callable[[Listed], NDArray[np.bool_]]]) -> Curve:
    """Every choice on every question."""
    usable = [one for one in asked if len(one.seen.scores)]
    taken = [[choose(one) for one in usable] for choose in choices]
    pairs = [list(zip(usable, row, strict=True)) for row in taken]
    return Curve(
        np.array([np.mean([cost(one, own) for one, own in row]) for row in pairs]),
        np.array([np.mean([found(one, own) for one, own in row]) for row in pairs]),
    )


def swept(asked: Sequence[Listed], rule: Rule | None) -> Curve:
    """The curve of a rule over its limits; None is the fixed budget."""
    if rule is None:
        return curve(asked, [partial(filled, budget=budget) for budget in _BUDGETS])
    return curve(asked, [partial(taken_by, rule, limit=float(limit)) for limit in _SWEEP])


def found_at(curves: Sequence[Curve], tokens: float) -> float:
    """The mean share found over the sets where one limit spends so many tokens on their mean, by straight lines."""
    spent = np.mean([one.tokens for one in curves], axis=0)
    share = np.mean([one.found for one in curves], axis=0)
    order = np.argsort(spent)
    return float(np.interp(tokens, spent[order], np.maximum.accumulate(share[order])))


def measure(folder: Path, given: argparse.Namespace) -> tuple[list[Listed], list[Listed]]:
    """Both halves of the held-out questions of one set."""
    held = held_out.load(folder, given.questions)
    with held_out.ingested(held.corpus, given.weights, given.cache, given.model) as (parts, _):
        levelling, comparison = ([ask(parts, one) for one in half] for half in (held.levelling, held.comparison))
    print(f"{folder.name}: {len(levelling)} and {len(comparison)} questions", file=sys.stderr, flush=True)
    return levelling, comparison


def report(results: Mapping[str, tuple[list[Listed], list[Listed]]]) -> str:
    """Markdown: a line a rule."""
    sets = [comparison for _, comparison in results.values()]
    maps = [fit_maps([one.seen for one in levelling]) for levelling, _ in results.values()]
    calibrated = [[one.mapped(own) for one in comparison] for own, comparison in zip(maps, sets, strict=True)]
    rules: dict[str, tuple[Sequence[Sequence[Listed]], Rule | None]] = {"fixed budget": (sets, None)}
    rules |= {name: (sets, rule) for name, rule in RULES.items()}
    rules["calibrated, mass per token"] = (calibrated, RULES[MASS_PER_TOKEN])
    rows = []
    for name, (asked, rule) in rules.items():
        curves = [swept(own, rule) for own in asked]
        rows.append([name, *(f"{found_at(curves, tokens):.3f}" for tokens in TOKENS)])
    return table(["rule", *(f"{tokens} tokens" for tokens in TOKENS)], rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selection_rules", description=__doc__)
    add_sets(parser, SETS)
    add_encoder(parser)
    add_halves(parser)
    given = parser.parse_args(argv)
    results = {name: measure(given.data / name, given) for name in given.sets}
    print(report(results))
    count = sum(len(comparison) for _, comparison in results.values())
    print(f"\n{count} questions of {len(results)} sets, each set with equal weight; {machine.describe()}.")


if __name__ == "__main__":
    main()
