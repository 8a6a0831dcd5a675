"""What attention costs: the time from stored bytes to sentence scores, against candidates and against tokens.

    python -m benchmarks.attention_cost [--weights FILE] [--cross-encoder FOLDER] [--output docs/images]

One call of the reranker is timed: unpack the token vectors of all candidates, compare them with the question's, score
every sentence and chunk. Encoding the question and reading the rows from SQL are not in it.

The texts are those of `benchmarks.synthetic`: sentences of 25 tokens, a question of 16. One series varies the number of
candidates at 200 tokens, the other the tokens at 50 candidates, both with the interaction network and without it.

The process is held to two cores. Every round times every shape once, in a new random order, so that a machine that
slows down slows all of them. Shown are median and 95th percentile, and the straight line through the medians: where
the cost is linear, R² is 1. The peak is what one call allocates beyond its arguments.

With `--cross-encoder` the same question and the same 50 chunks of 200 tokens go through a cross-encoder as well, once
in every tenth round. The ratio is its time over the median of the reranker's in the ten rounds around, with a bootstrap
interval over these blocks: load on the machine that slows both leaves it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from attention_core.codec import codec_for
from attention_core.reranker import AttentionReranker
from attention_core.scorer import ScorerWeights, find_scorer, load_scorer
from benchmarks import machine, markdown, plots
from benchmarks.arguments import IMAGES, add_encoder
from benchmarks.rerank_timing import (
    CORES,
    SHAPES,
    USUAL,
    USUAL_CANDIDATES,
    USUAL_TOKENS,
    Rerank,
    Shape,
    Timings,
    measure,
    peak_mebibytes,
    times_faster,
    two_cores,
)
from benchmarks.synthetic import Texts
from retrieval.embedders.factory import build_encoder
from retrieval.embedders.tokenizer import load_tokenizer


@dataclass(frozen=True, slots=True)
class Line:
    """milliseconds = slope * x + intercept, and the share of the variance that it explains."""

    slope: float
    intercept: float
    r2: float

    def at(self, x: float) -> float:
        return self.slope * x + self.intercept


def fitted_line(x: Sequence[float], y: Sequence[float]) -> Line:
    """The least-squares line through at least two points.

    >>> fitted_line([1, 2, 3], [5, 7, 9])
    Line(slope=2.0, intercept=3.0, r2=1.0)
    """
    given, wanted = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    centred = given - given.mean()
    slope = float(centred @ (wanted - wanted.mean()) / (centred @ centred))
    intercept = float(wanted.mean() - slope * given.mean())
    left, whole = np.square(wanted - slope * given - intercept).sum(), np.square(wanted - wanted.mean()).sum()
    return Line(slope, intercept, 1.0 if whole == 0 else float(1 - left / whole))


def cross_line(timings: Timings) -> str:
    """A sentence on the cross-encoder."""
    pairs = f"{USUAL.candidates} pairs of {USUAL.tokens} tokens"
    ratio, middle = times_faster(timings), np.median(timings.cross)
    interval = f"{ratio.mean:.1f} times the reranker's [{ratio.low:.1f}, {ratio.high:.1f}]"
    return f"Cross-encoder, {pairs}: p50 {middle:.0f} ms, {interval}, {len(timings.cross)} blocks."


def table(timings: Timings, variants: Sequence[str], peaks: dict[Shape, float]) -> str:
    """Markdown: a line a shape, p50 and p95 of every variant."""
    rows = []
    for shape in SHAPES:
        times = [f"{timings.median(name, shape):.1f}, {timings.p95(name, shape):.1f}" for name in variants]
        rows.append([str(shape.candidates), str(shape.tokens), *times, f"{peaks[shape]:.0f}"])
    columns = (f"{name}: p50, p95 (ms)" for name in variants)
    return markdown.table(["candidates", "tokens", *columns, "peak MiB"], rows)


def series(timings: Timings, variant: str) -> dict[str, tuple[list[Shape], list[int], Line]]:
    """By what is varied: the shapes, their sizes, and the line through the medians."""
    by_candidates = [shape for shape in SHAPES if shape.tokens == USUAL_TOKENS]
    by_tokens = [shape for shape in SHAPES if shape.candidates == USUAL_CANDIDATES]
    found = {}
    for name, shapes in (("candidates", by_candidates), ("tokens", by_tokens)):
        sizes = [getattr(shape, name) for shape in shapes]
        found[name] = (shapes, sizes, fitted_line(sizes, [timings.median(variant, shape) for shape in shapes]))
    return found


def fits(timings: Timings, variants: Sequence[str]) -> str:
    """Markdown: the lines through the medians."""
    rows = (
        [variant, name, f"{line.slope:.3f}", f"{line.intercept:.1f}", f"{line.r2:.4f}"]
        for variant in variants
        for name, (_, _, line) in series(timings, variant).items()
    )
    return markdown.table(["variant", "against", "ms for each more", "intercept (ms)", "R²"], rows)


def draw(timings: Timings, variants: Sequence[str], path: Path) -> None:
    """Two panels, candidates and tokens: medians with whiskers up to the 95th percentile, and the fitted lines."""
    figure, panels = plots.canvas(2)
    notes = {
        "candidates": f"candidates of {USUAL_TOKENS} tokens",
        "tokens": f"tokens of each of {USUAL_CANDIDATES} candidates",
    }
    for variant, colour in zip(variants, plots.COLOURS, strict=False):
        for (name, (shapes, sizes, line)), axes in zip(series(timings, variant).items(), panels, strict=True):
            medians = [timings.median(variant, shape) for shape in shapes]
            above = [timings.p95(variant, shape) - middle for shape, middle in zip(shapes, medians, strict=True)]
            axes.errorbar(sizes, medians, yerr=[[0.0] * len(sizes), above], fmt="o", color=colour, capsize=3)
            label = f"{variant}: {line.slope:.2f} ms each, R² {line.r2:.3f}"
            axes.plot([0, sizes[-1]], [line.at(0), line.at(sizes[-1])], color=colour, linewidth=1.2, label=label)
            axes.set_xlabel(notes[name], color=plots.INK)
    for axes in panels:
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.legend(frameon=False, loc="upper left")
    panels[0].set_ylabel("ms from stored bytes to scores, p50 and p95", color=plots.INK)
    plots.save(figure, path)


def variants_of(weights: ScorerWeights) -> dict[str, Rerank]:
    """The reranker as it is and, where it has a network, without it; the whole one comes first."""
    codec, bare = codec_for(weights), replace(weights, interaction=None)
    without: dict[str, Rerank] = {"without the network": AttentionReranker(codec, bare).rerank}
    if weights.interaction is None:
        return without
    return {"with the network": AttentionReranker(codec, weights).rerank, **without}


def load_cross_encoder(folder: Path) -> Rerank:
    """The int8 cross-encoder that `python -m benchmarks.cross_encoder` wrote into `folder`."""
    from benchmarks.cross_encoder.reranker import CrossEncoder

    return CrossEncoder(folder, threads=CORES).rerank


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attention_cost", description=__doc__)
    parser.add_argument("--weights", type=Path, help="a .safetensors; the shipped one where it is left out")
    parser.add_argument("--cross-encoder", type=Path, help="folder of a cross-encoder to compare with")
    add_encoder(parser, "models")
    parser.add_argument("--repetitions", type=int, default=100, help="runs of every shape")
    parser.add_argument("--output", type=Path, default=IMAGES, help="where the plot goes")
    given = parser.parse_args(argv)
    weights = load_scorer(given.weights) if given.weights else find_scorer(given.model)
    if weights is None:
        parser.error(f"there are no weights for {given.model}; name a file with --weights")
    with two_cores():
        _run(given, weights)


def _run(given: argparse.Namespace, weights: ScorerWeights) -> None:
    width = build_encoder(given.model, given.cache / "models").dim  # unpacks the tokenizer, too
    tokenizer = load_tokenizer(given.cache / "models" / given.model / "tokenizer.json")
    texts = Texts(tokenizer, codec_for(weights), width)
    pools = {shape: [texts.candidate(at, shape.tokens) for at in range(shape.candidates)] for shape in SHAPES}
    query, rerankers = texts.question(), variants_of(weights)
    cross = load_cross_encoder(given.cross_encoder) if given.cross_encoder else None
    timings = measure(rerankers, query, pools, given.repetitions, cross)
    whole, *_ = variants = list(rerankers)
    peaks = {shape: peak_mebibytes(rerankers[whole], query, pool) for shape, pool in pools.items()}
    print(table(timings, variants, peaks), "", fits(timings, variants), sep="\n")
    if timings.cross:
        print("\n" + cross_line(timings))
    print(f"\n{given.repetitions} runs of each shape, two cores; {machine.describe()}.")
    draw(timings, variants, given.output / "attention-cost.svg")


if __name__ == "__main__":
    main()
