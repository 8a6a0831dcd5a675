"""Fits the levels of trained weights anew: maps from scores to chances, and the thresholds on these.

    python -m benchmarks.levels --data FOLDER --weights FILE [--sets nq,covidqa]

What `fovea train` does last, on the same questions, those about the half of the held-out documents that levels
(`benchmarks/held_out.py`), but over ingested copies and without training: for a change of the rules that read the
levels. The file is written anew; the weights stay what they are, to the bit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from attention_core.scorer import load_scorer, save_scorer
from benchmarks import held_out
from benchmarks.arguments import add_encoder, add_sets
from domain.search import Filters
from service.calibration.observed import Observed, observe
from service.question_encoding import encode_question
from service.training.levels import fit_levels

SETS = ("nq", "covidqa", "drcd-zh", "cmrc-zh", "selqa-dev", "selqa-test")


def ask(folder: Path, given: argparse.Namespace) -> list[Observed]:
    """The levelling questions of one set, their scores without any map."""
    held = held_out.load(folder, given.questions)
    with held_out.ingested(held.corpus, given.weights, given.cache, given.model) as (parts, _):
        reranker = parts.scoring.default.reranker
        seen = [
            observe(
                question,
                lambda text: encode_question(parts, text, Filters()),
                lambda query: parts.retriever.search(query, parts.candidates),
                reranker,
                parts.counter,
            )
            for question in held.levelling
        ]
    print(f"{folder.name}: {len(seen)} questions", file=sys.stderr, flush=True)
    return seen


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.levels", description=__doc__)
    add_sets(parser, SETS)
    add_encoder(parser)
    parser.add_argument("--questions", type=int, default=200, help="of a set; 0 takes all")
    parser.add_argument("--weights", type=Path, required=True, help="the trained .safetensors, written anew")
    given = parser.parse_args(argv)
    seen = [one for name in given.sets for one in ask(given.data / name, given)]
    levels = fit_levels(seen)
    if levels is None:
        parser.error("none of the questions found its evidence, so there is nothing to fit")
    weights = load_scorer(given.weights)
    save_scorer(replace(weights, levels=levels), given.weights, weights.about)
    for language, one in levels.thresholds.items():
        print(f"{language}: {one} for a loss of {levels.targets[language]:g}")
    print(f"fitted on {levels.questions} questions")


if __name__ == "__main__":
    main()
