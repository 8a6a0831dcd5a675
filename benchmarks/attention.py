"""What each part of the reranker is worth, in quality and in milliseconds: the tables of docs/attention.md.

    python -m benchmarks.attention --data FOLDER --weights FILE [--sets nq,covidqa] [--questions 300]
                                   [--cross-encoder FOLDER [--cross-encoder-questions 60]]

Only questions about held-out documents are asked (the split of `benchmarks.weights`), over the whole corpus, and all of
a set that nothing was trained on. All methods see the same 50 candidates of the hybrid retriever, in one run:

    dense, bm25, rrf      the retriever's scores
    maxsim                frozen token vectors, plain mean of each question token's best match (ColBERT's sum)
    untrained             the reranker with hand-fitted forms over frozen token vectors
    linear                trained encoder layers, projection, gate and forms, without the interaction network
    trained               the whole reranker
    cross-encoder (int8)  `benchmarks.cross_encoder`, trained on the same questions; seconds a question, so only the
                          first ones are put to it, and differences from it are over these

nDCG@10 ranks chunks. AR@B: share of questions whose answer lies in at most B context tokens, as the product's own
builder fills them. CF95: the context tokens of plain dense top-10 over those at which a method reaches 95 % of its
recall. ms: median time of one rerank, from stored bytes to sentence scores.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from attention_core.calibration import paired_difference
from benchmarks import machine, markdown
from benchmarks.arguments import add_encoder, add_sets
from benchmarks.attention_arms import BUDGETS, CROSS_ENCODER, CrossEncoding, Outcome, frozen_arm, trained_arm
from benchmarks.held_out import UNSEEN, ingested, judging
from benchmarks.labelled import load_set
from benchmarks.metrics import points
from service.evaluation.measures import SHARE, tokens_for_recall

SETS = ("xquad-en", "nq", "covidqa", "drcd-zh", "cmrc-zh", "selqa-dev", "selqa-test")
SHOWN = (100, 128, 200, 256, 400)


@dataclass(frozen=True, slots=True)
class SetResult:
    """All methods on one set; `clusters` is the document of each question."""

    outcomes: dict[str, Outcome]
    clusters: list[str]
    plain: list[tuple[int, bool]]

    def cf95(self, method: str) -> float:
        """Context compression at 95 % of the recall of plain dense top-10, over the questions that the method saw."""
        outcome = self.outcomes[method]
        tokens, held = (float(np.mean(column)) for column in zip(*self.plain[: outcome.questions], strict=True))
        curve = np.mean(np.asarray(outcome.found), axis=0)
        return tokens / tokens_for_recall(BUDGETS, curve, SHARE * held)


def measure(
    folder: Path, questions: int, cache: Path, model: str, weights: Path, cross: CrossEncoding | None
) -> SetResult:
    """Ingest the set twice, with frozen and with trained layers, and ask both the questions that judge."""
    everything = load_set(folder, 0)
    asked = judging(everything, questions)
    outcomes: dict[str, Outcome] = {}
    plain: list[tuple[int, bool]] = []
    for choice in (None, weights):
        with ingested(everything.corpus, choice, cache, model) as (parts, own):
            arm = trained_arm(parts, own) if choice else frozen_arm(parts, own, cross)
            for question in asked:
                arm.ask(question)
            plain = plain or [arm.plain_top(question) for question in asked]
        outcomes |= arm.outcomes
    return SetResult(outcomes, [one.cluster for one in asked], plain)


def table(results: dict[str, SetResult]) -> str:
    """Markdown: means of every method over the questions that it saw, set by set."""
    rows = []
    for name, result in results.items():
        for method, outcome in result.outcomes.items():
            recall = [f"{np.mean(outcome.column(budget)):.3f}" for budget in SHOWN]
            known = [_shown(name), method, str(outcome.questions)]
            quality = [f"{np.mean(outcome.gain):.3f}", *recall, f"{result.cf95(method):.1f}"]
            rows.append([*known, *quality, f"{np.median(outcome.milliseconds):.1f}"])
    budgets = (f"AR@{budget}" for budget in SHOWN)
    return markdown.table(["set", "method", "questions", "nDCG@10", *budgets, "CF95", "ms"], rows)


def _shown(name: str) -> str:
    return f"{name} (never trained on)" if name in UNSEEN else name


def differences(results: dict[str, SetResult], against: Sequence[str]) -> str:
    """Markdown: the whole reranker against others, paired by question, intervals by document.

    Only questions count that the other method saw too.
    """
    head = ["set", "against", "questions", "nDCG@10", "AR@128", "AR@256", "missed at 128", "missed at 256"]
    rows = []
    for name, result in results.items():
        mine = result.outcomes["trained"]
        for other in against:
            theirs = result.outcomes[other]
            seen = theirs.questions
            found = [(mine.column(at)[:seen], theirs.column(at)) for at in (128, 256)]
            pairs = [(mine.gain[:seen], theirs.gain), *found]
            gains = [paired_difference(ours, base, result.clusters[:seen]) for ours, base in pairs]
            missed = [_missed(ours, base) for ours, base in found]
            rows.append([_shown(name), other, str(seen), *map(points, gains), *missed])
    return markdown.table(head, rows)


def _missed(ours: Sequence[float], base: Sequence[float]) -> str:
    """How the share of missed answers changes."""
    before, after = 1 - float(np.mean(base)), 1 - float(np.mean(ours))
    return (
        f"{before:.3f} -> {after:.3f} ({(after - before) / before:+.0%})" if before else f"{before:.3f} -> {after:.3f}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attention", description=__doc__)
    add_sets(parser, SETS)
    add_encoder(parser)
    parser.add_argument("--questions", type=int, default=300, help="questions a set; 0 takes all held-out ones")
    parser.add_argument("--weights", type=Path, required=True, help="the trained .safetensors")
    parser.add_argument("--cross-encoder", type=Path, help="what `benchmarks.cross_encoder train` wrote")
    parser.add_argument("--cross-encoder-questions", type=int, default=60, help="of a set; it takes seconds for each")
    given = parser.parse_args(argv)
    cross = given.cross_encoder and CrossEncoding(given.cross_encoder, given.cross_encoder_questions)
    results = {
        name: measure(given.data / name, given.questions, given.cache, given.model, given.weights, cross)
        for name in given.sets
    }
    against = ("rrf", "dense", "maxsim", "untrained", *([CROSS_ENCODER] if cross else []))
    print(table(results), "", differences(results, against), sep="\n")
    print(f"\nHeld-out documents, at most {given.questions or 'all'} questions a set; {machine.describe()}.")
    (given.cache / "attention.json").write_bytes(
        orjson.dumps({name: {m: [o.gain, o.found] for m, o in r.outcomes.items()} for name, r in results.items()})
    )


if __name__ == "__main__":
    main()
