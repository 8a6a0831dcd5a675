"""Does the product know when it has no answer, and do its thresholds keep their promise?

    python -m benchmarks.abstention --data FOLDER [--weights FILE] [--sets nq,covidqa] [--questions 200]

Every question about held-out documents is asked twice: of the whole corpus, and of the corpus without the documents
that answer it, as if they had never been ingested. In the second list, chunks that hold an answer's words are left out,
because another document may answer as well; what is left has nothing to find.

First table, on the half of the held-out documents that fitted nothing, with the default maps and thresholds of the
weights:

    dropped       share of the sentences of a list without an answer that are not sent
    refused       share of such lists of which nothing is sent
    turned away   share of the questions whose evidence was retrieved, and of which nothing is sent
    AUROC         how well the score of the best sentence tells retrieved evidence from a list without an answer
    ECE           of sentence scores as chances, lists with an answer: 15 bins of equal mass (as `fovea calibrate`
                  prints it), 15 of equal width, and of each question's best sentence alone, 15 of equal mass
    loss          share of the retrieved evidence that the thresholds give up

Second table: maps and thresholds are fitted as `fovea calibrate` fits them, for several targets, on the levelling half,
and their loss is counted on the other half. Each set has its own fit; in the last line all sets share one. Intervals
are bootstrapped over documents.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from attention_core.calibration import Numbers, auroc, expected_calibration_error
from benchmarks import held_out, machine
from benchmarks.abstention_pairs import Asker, Pair
from benchmarks.arguments import add_encoder, add_halves, add_sets
from benchmarks.markdown import header, row
from benchmarks.metrics import Estimate, between, estimate
from context.selection_policy import SelectionPolicy
from service.calibration.fit import cross_mapped, fit_maps, fit_thresholds
from service.calibration.observed import Observed

SETS = ("xquad-en", "nq", "covidqa", "drcd-zh", "cmrc-zh", "selqa-test")
TARGETS = (0.02, 0.05, 0.10)
_BINS, _DRAWS = 15, 1000

Losses: TypeAlias = tuple[list[float], list[str]]  # of questions, with their clusters


def kept(one: Observed, policy: SelectionPolicy) -> NDArray[np.bool_]:
    """Which sentences of a list are worth sending: (S,)."""
    return np.array(policy.of(one.language).worth(one.scores.tolist(), lambda at: int(one.tokens[at])), dtype=bool)


def losses(pairs: Sequence[Pair], policy: SelectionPolicy) -> Losses:
    """For each question whose evidence was retrieved the share of it that is not sent, and its cluster."""
    own = [one for one in pairs if one.found]
    shares = [1 - float(np.mean(kept(one.present, policy)[one.present.needed])) for one in own]
    return shares, [one.cluster for one in own]


def separation(pairs: Sequence[Pair], seed: int = 0) -> Estimate | None:
    """AUROC of the best sentence's score, found evidence against lists without any, with a bootstrap interval.

    None where there are no two sides to compare.
    """
    clusters = sorted({one.cluster for one in pairs})
    sides: list[tuple[list[float], list[float]]] = [([], []) for _ in clusters]
    place = {name: at for at, name in enumerate(clusters)}
    for one in pairs:
        answered, empty = sides[place[one.cluster]]
        answered += [one.present.best] if one.found and one.present.best is not None else []
        empty += [one.absent.best] if one.absent.best is not None else []
    everything = _area([*range(len(sides))], sides)
    if everything is None:
        return None
    random = np.random.default_rng(seed)
    drawn = (_area(random.integers(0, len(sides), len(sides)).tolist(), sides) for _ in range(_DRAWS))
    return between(everything, [value for value in drawn if value is not None])


def _area(drawn: Sequence[int], sides: Sequence[tuple[list[float], list[float]]]) -> float | None:
    answered = [score for at in drawn for score in sides[at][0]]
    empty = [score for at in drawn for score in sides[at][1]]
    return auroc(answered, empty) if answered and empty else None


def equal_width_error(chances: Numbers, labels: NDArray[np.bool_]) -> float:
    """Expected calibration error over 15 bins of equal width (Guo et al. 2017).

    >>> equal_width_error(np.array([0.9, 0.9, 0.1]), np.array([True, False, False]))   # (|1.8 - 1| + .1) / 3
    0.3
    """
    member = np.minimum((chances * _BINS).astype(int), _BINS - 1)
    gaps = np.abs(np.bincount(member, weights=chances) - np.bincount(member, weights=labels.astype(float)))
    return round(float(gaps.sum() / len(chances)), 12)


def _calibration(pairs: Sequence[Pair]) -> list[str]:
    own = [one.present for one in pairs if len(one.present.scores)]
    scores, gold = (np.concatenate([getattr(one, name) for one in own]) for name in ("scores", "gold"))
    tops = np.array([one.scores.max() for one in own])
    hits = np.array([one.gold[np.argmax(one.scores)] for one in own], dtype=np.float64)
    errors = (
        expected_calibration_error(scores, gold, _BINS),
        equal_width_error(scores, gold),
        expected_calibration_error(tops, hits, _BINS),
    )
    return [f"{error:.3f}" for error in errors]


def default_line(name: str, pairs: Sequence[Pair], policy: SelectionPolicy) -> str:
    """A line of the first table; `pairs` mapped."""
    lists = [one for one in pairs if len(one.absent.scores)]
    empty = [kept(one.absent, policy) for one in lists]
    clusters = [one.cluster for one in lists]
    dropped = estimate([1 - float(np.mean(sent)) for sent in empty], clusters)
    refused = estimate([float(not sent.any()) for sent in empty], clusters)
    found = [one for one in pairs if one.found]
    away = [float((one.present.best or 0.0) < policy.of(one.present.language).abstain_below) for one in found]
    turned = estimate(away, [one.cluster for one in found])
    area, loss = separation(pairs), estimate(*losses(pairs, policy))
    cells = [name, str(len(pairs)), *map(_shown, (dropped, refused, turned, area)), *_calibration(pairs), _shown(loss)]
    return row(cells)


def _shown(value: Estimate | None) -> str:
    return "" if value is None else str(value)


_DEFAULT_HEAD = ("set", "questions", "dropped", "refused", "turned away", "AUROC",
                 "ECE", "ECE, equal width", "ECE, best", "loss")  # fmt: skip


def realised(fitting: Sequence[Pair], checking: Sequence[Pair], policy: SelectionPolicy) -> list[Losses | None]:
    """For every target the losses of `checking` under what was fitted on `fitting`, None where nothing can be."""
    seen = [one.present for one in fitting]
    maps, here = fit_maps(seen), cross_mapped(seen)
    there = [one.mapped(maps) for one in checking]
    found: list[Losses | None] = []
    for target in TARGETS:
        thresholds = fit_thresholds(here, target)
        found.append(losses(there, replace(policy, by_language={}, **asdict(thresholds))) if thresholds else None)
    return found


def target_line(name: str, lost: Sequence[Losses | None]) -> str:
    """A line of the second table."""
    cells = ["too few questions" if one is None else str(estimate(*one)) for one in lost]
    return row([name, *cells])


@dataclass(frozen=True, slots=True)
class SetPairs:
    """Both halves of a set as the reranker scores them, and what the default maps make of the comparison half."""

    levelling: list[Pair]
    comparison: list[Pair]
    mapped: list[Pair]
    policy: SelectionPolicy


def measure(folder: Path, given: argparse.Namespace, step: Callable[[str], None]) -> SetPairs:
    """Ask the questions of one set."""
    held = held_out.load(folder, given.questions)
    with held_out.ingested(held.corpus, given.weights, given.cache, given.model) as (parts, _):
        default = parts.scoring.default
        asker = Asker(parts, default.reranker, folder.name)
        levelling, comparison = ([asker.ask(one) for one in half] for half in (held.levelling, held.comparison))
        step(f"{folder.name}: {len(levelling)} and {len(comparison)} questions")
        return SetPairs(levelling, comparison, [one.mapped(default.maps) for one in comparison], default.policy)


def report(results: Mapping[str, SetPairs]) -> str:
    """Both tables."""
    policy = next(iter(results.values())).policy
    lines = [header(_DEFAULT_HEAD)]
    lines += [default_line(name, one.mapped, one.policy) for name, one in results.items()]
    lines.append(default_line("all", [pair for one in results.values() for pair in one.mapped], policy))
    lines += ["", header(["set", *(f"loss at target {target:g}" for target in TARGETS)])]
    each = {name: realised(one.levelling, one.comparison, policy) for name, one in results.items()}
    lines += [target_line(name, lost) for name, lost in each.items()]
    lines.append(target_line("all, each its own fit", [_joined(column) for column in zip(*each.values(), strict=True)]))
    fitting, checking = (
        [pair for one in results.values() for pair in getattr(one, half)] for half in ("levelling", "comparison")
    )
    lines.append(target_line("all, one fit", realised(fitting, checking, policy)))
    return "\n".join(lines)


def _joined(several: Sequence[Losses | None]) -> Losses | None:
    known = [one for one in several if one is not None]
    if not known:
        return None
    return [loss for one in known for loss in one[0]], [cluster for one in known for cluster in one[1]]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.abstention", description=__doc__)
    add_sets(parser, SETS)
    add_encoder(parser)
    add_halves(parser)
    given = parser.parse_args(argv)

    def step(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    results = {name: measure(given.data / name, given, step) for name in given.sets}
    print(report(results))
    kind = given.weights.stem if given.weights else "untrained weights"
    print(f"\nHeld-out documents, at most {given.questions or 'all'} questions a half, {kind}; {machine.describe()}.")


if __name__ == "__main__":
    main()
