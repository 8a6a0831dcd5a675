"""What is sent by default, beside plain dense top-10 and beside budgets that are simply filled.

    python -m benchmarks.operating_point --data FOLDER [--weights FILE] [--sets nq,covidqa] [--questions 200]
                                         [--max-tokens 320,1000] [--output docs/images]

Questions about documents that taught no weights, each asked once with the settings as they come (`fovea eval` does the
same for one collection). By set, and over the questions of all sets as one:

    tokens           context tokens a question, mean; plain: the bare text of the ten chunks of the highest cosine
    times fewer      plain's tokens over ours
    recall           share of the labelled evidence that is sent; less plain's, with its interval
    above the curve  recall less that of filled budgets at as many tokens: what adapting to the question brings
    prompt           tokens of the whole prompt, median, of those that are sent

A promise is kept on a set where tokens are at most an eighth and the interval of the recall difference lies above -2
points. Several ceilings are asked side by side. Intervals are bootstrapped over
documents, ratios and differences in each draw.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import held_out, machine, plots
from benchmarks.arguments import IMAGES, add_encoder, add_sets
from benchmarks.labelled import load_set
from benchmarks.markdown import table
from benchmarks.metrics import Estimate as Points
from benchmarks.metrics import points
from domain.asking import AskOptions
from domain.evaluation import Estimate
from service.evaluation.asking import Asker, Outcome
from service.evaluation.request import DEFAULT_BUDGETS
from service.evaluation.summary import Summary
from service.parts import Parts

SETS = ("xquad-en", "nq", "covidqa", "drcd-zh", "cmrc-zh", "selqa-test")
POOLED = "all"
_FEWER, _LOSS = 8.0, -0.02
_HEAD = ("set", "questions", "tokens", "plain", "times fewer", "recall", "less plain's, points",
         "above the curve, points", "prompt", "kept")  # fmt: skip
_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Measured:
    """The outcomes of one set, or of all, at one ceiling of context tokens."""

    name: str
    outcomes: Sequence[Outcome]

    def summary(self) -> Summary:
        return Summary(self.outcomes, DEFAULT_BUDGETS, [])


def measure(parts: Parts, folder: Path, questions: int, ceilings: Sequence[int | None]) -> dict[int | None, Measured]:
    """Every ceiling on one ingested set; None is the default's."""
    asked = held_out.judging(load_set(folder, 0), questions)
    found: dict[int | None, list[Outcome]] = {ceiling: [] for ceiling in ceilings}
    askers = {ceiling: _asker(parts, ceiling) for ceiling in ceilings}
    for done, question in enumerate(asked, start=1):
        for ceiling, asker in askers.items():
            found[ceiling].append(asker.ask(question))
        if done % 50 == 0:
            print(f"{folder.name}: {done} of {len(asked)} questions", file=sys.stderr, flush=True)
    return {ceiling: Measured(folder.name, outcomes) for ceiling, outcomes in found.items()}


def _asker(parts: Parts, ceiling: int | None) -> Asker:
    return Asker(parts, "default", DEFAULT_BUDGETS, [], AskOptions(max_tokens=ceiling))


def line(measured: Measured) -> list[str]:
    """The cells of one row."""
    summary = measured.summary()
    point, plain, prompt = summary.point(), summary.plain(), summary.prompt(None)
    kept = plain.token_factor.value >= _FEWER and plain.recall_difference.low > _LOSS
    return [
        measured.name,
        str(len(measured.outcomes)),
        f"{point.context_tokens.value:.0f}",
        f"{plain.plain.context_tokens.value:,.0f}",
        _factor(plain.token_factor),
        f"{point.answer_recall.value:.3f}",
        _points(plain.recall_difference),
        _points(summary.above_curve()),
        f"{prompt.median:.0f}",
        "yes" if kept else "no",
    ]


def _factor(value: Estimate) -> str:
    return f"{value.value:.1f} [{value.low:.1f}, {value.high:.1f}]"


def _points(value: Estimate) -> str:
    return points(Points(value.value, value.low, value.high))


def pooled(measured: Sequence[Measured]) -> Measured:
    """All questions as one; documents of different sets stay different."""
    return Measured(POOLED, [_named(one.name, outcome) for one in measured for outcome in one.outcomes])


def _named(name: str, outcome: Outcome) -> Outcome:
    question = outcome.question
    return replace(outcome, question=replace(question, document=f"{name}/{question.document}", references=()))


def draw(measured: Sequence[Measured], path: Path) -> None:
    """Recall against tokens really sent, the default's point and plain top-10, a panel a set."""
    rows = -(-len(measured) // _COLUMNS)
    figure, panels = plots.canvas(min(len(measured), _COLUMNS), width=12.0, height=3.2 * rows, rows=rows)
    for axes, one in zip(panels, measured, strict=False):
        summary = one.summary()
        curve, point, plain = summary.curve(), summary.point(), summary.plain().plain
        tokens = [at.context_tokens for at in curve.points]
        axes.plot(
            tokens, [at.answer_recall.value for at in curve.points], color=plots.COLOURS[4], label="filled budgets"
        )
        for at, colour, name in ((point, plots.COLOURS[0], "default"), (plain, plots.COLOURS[1], "plain dense top-10")):
            recall = at.answer_recall
            spread = [[recall.value - recall.low], [recall.high - recall.value]]
            axes.errorbar([at.context_tokens.value], [recall.value], spread, fmt="o", color=colour, label=name)
        axes.set_xscale("log", base=2)
        axes.set_xticks([64, 128, 256, 512, 1024, 2048], ["64", "128", "256", "512", "1k", "2k"])
        axes.set_title(one.name, color=plots.INK)
        axes.set_xlabel("context tokens")
    for left in panels[::_COLUMNS]:
        left.set_ylabel("answer recall")
    for empty in panels[len(measured) :]:
        empty.set_visible(False)
    panels[0].legend(frameon=False, loc="lower right")
    plots.save(figure, path)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.operating_point",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_sets(parser, SETS)
    add_encoder(parser)
    parser.add_argument("--questions", type=int, default=200, help="questions a set, drawn with seed 0; 0 takes all")
    parser.add_argument("--weights", type=Path, help="the trained .safetensors; the untrained ones where left out")
    parser.add_argument("--max-tokens", default="", help="other ceilings than the default's, comma-separated")
    parser.add_argument("--output", type=Path, default=IMAGES, help="folder for the picture")
    given = parser.parse_args(argv)
    ceilings: list[int | None] = [None, *(int(one) for one in given.max_tokens.split(",") if one)]
    by_ceiling: Mapping[int | None, list[Measured]] = {ceiling: [] for ceiling in ceilings}
    for name in given.sets:
        folder = given.data / name
        with held_out.ingested(load_set(folder, 1).corpus, given.weights, given.cache, given.model) as (parts, _):
            for ceiling, measured in measure(parts, folder, given.questions, ceilings).items():
                by_ceiling[ceiling].append(measured)
    for ceiling, found in by_ceiling.items():
        print(f"### {'default ceiling' if ceiling is None else f'ceiling {ceiling}'}\n")
        print(table(_HEAD, [line(one) for one in (*found, pooled(found))]), "", sep="\n", flush=True)
    draw([*by_ceiling[None], pooled(by_ceiling[None])], given.output / "operating-point.svg")
    print(f"At most {given.questions or 'all'} questions a set; {machine.describe()}.")


if __name__ == "__main__":
    main()
