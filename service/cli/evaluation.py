"""fovea eval."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from domain.errors import UsageError
from domain.evaluation import Curve, Estimate, EvaluationReport, Limit, SpanQuality
from service.cli.options import DEFAULT, CollectionName, DataDir, Json, message, settings_of_index
from service.cli.printing import out, plain, print_json
from service.cli.progress import ProgressLine

_LIMIT_NAMES = {"min_recall": "answer recall", "max_context_tokens": "context tokens a question"}


def register(app: typer.Typer) -> None:
    app.command("eval")(evaluate)


def evaluate(
    questions: Annotated[
        Path, typer.Argument(metavar="QUESTIONS.jsonl", help="Labelled questions, one a line; .gz is read too.")
    ],
    collection: CollectionName = DEFAULT,
    budgets: Annotated[
        str | None, typer.Option("--budgets", metavar="N,N,...", help="Ceilings of context tokens; else 64 to 1536.")
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also run other ways of choosing evidence, over the same candidates.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png|.svg", help="Draw recall against tokens.")
    ] = None,
    min_recall: Annotated[
        float | None, typer.Option("--min-recall", help="Exit 1 where the answer recall is lower, for example 0.9.")
    ] = None,
    max_context_tokens: Annotated[
        float | None, typer.Option("--max-context-tokens", help="Exit 1 where the mean a question is higher.")
    ] = None,
    price: Annotated[
        float | None, typer.Option("--price", help="US dollars per million prompt tokens, to show what prompts cost.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Ask at most so many questions, drawn.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Draws the questions of --limit.")] = 0,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Measure quality per token on your own labelled questions: what is found, and how many tokens it takes.

    With limits it is a gate for continuous integration: exit 1 where one is missed.

    Example: `fovea eval questions.jsonl --baselines --min-recall 0.9 --max-context-tokens 250`
    """
    from service.bootstrap import build_engine
    from service.evaluation.plot import check_plot, plot_evaluation
    from service.evaluation.request import DEFAULT_BUDGETS

    if plot is not None:
        check_plot(plot)
    ceilings = DEFAULT_BUDGETS if budgets is None else _budgets(budgets)
    with build_engine(settings_of_index(data_dir), on_message=message) as engine, ProgressLine("questions") as line:
        report = engine.evaluate(
            questions,
            collection=collection,
            progress=line.update,
            budgets=ceilings,
            baselines=baselines,
            min_recall=min_recall,
            max_context_tokens=max_context_tokens,
            price=price,
            limit=limit,
            seed=seed,
        )
    if plot is not None:
        plot_evaluation(report, plot)
        message(f"Plot: {plot}")
    if json:
        print_json(report.to_dict())
    else:
        _print(report)
    if not report.passed:
        raise typer.Exit(1)


def _budgets(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--budgets is {text!r}; give token counts with commas between, like 64,128,256.") from None


# -- output ----------------------------------------------------------------------------------------------------------


def _print(report: EvaluationReport) -> None:
    asked = report.asked
    counts = f"{asked.answerable:,} answerable and {asked.unanswerable:,} unanswerable questions"
    out.print(f"{plain(report.collection)}: {counts} about {asked.documents:,} documents, {report.seconds:.1f} s\n")
    out.print(_curves(report), "")
    out.print(_measures(report), "")
    for line in _notes(report):
        out.print(plain(line))
    for limit in report.limits:
        out.print(_verdict(limit))


def _curves(report: EvaluationReport) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("Answer recall in at most ... tokens")
    for point in report.curve.points:
        table.add_column(f"{point.budget:,}", justify="right")
    table.add_column("T95", justify="right")
    table.add_column("CF95", justify="right")
    table.add_row("fovea", *_cells(report.curve))
    for one in report.baselines:
        table.add_row(one.name, *_cells(one.curve))
    return table


def _cells(curve: Curve) -> list[str]:
    recall = [f"{point.answer_recall.value:.3f}" for point in curve.points]
    reached = curve.t95.value <= curve.points[-1].budget
    return [*recall, *((f"{curve.t95.value:,.0f}", f"{curve.cf95.value:.1f}") if reached else ("-", "-"))]


def _measures(report: EvaluationReport) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("At the default settings")
    table.add_column("value", justify="right")
    table.add_column("95 % interval")
    for name, value, digits in _rows(report):
        table.add_row(name, *_shown(value, digits))
    for name, text in _plain_rows(report):
        table.add_row(name, text, "")
    return table


def _rows(report: EvaluationReport) -> Iterator[tuple[str, Estimate | None, int]]:
    """Measures with an interval: name, value, digits behind the point."""
    plain_top, against = report.plain.plain, report.plain
    yield "context tokens a question", report.point.context_tokens, 0
    yield "answer recall", report.point.answer_recall, 3
    yield "  above the curve at as many tokens", report.above_curve, 3
    yield "plain top-10: context tokens", plain_top.context_tokens, 0
    yield "  answer recall", plain_top.answer_recall, 3
    yield "  times as many tokens as sent", against.token_factor, 1
    yield "  recall of what is sent less its own", against.recall_difference, 3
    yield "T95, tokens for 95 % of its recall", report.curve.t95, 0
    yield "CF95, its tokens over T95", report.curve.cf95, 1
    yield "nDCG@10 of the chunks", report.ndcg, 3
    yield from _span_rows("references", report.spans)
    yield from _span_rows("references, plain top-10", against.spans)
    yield "answerable, but nothing sent", report.abstention.false_abstentions, 3
    yield "unanswerable, but something sent", report.abstention.false_answers, 3
    yield "abstention AUROC", report.abstention.auroc, 3


def _span_rows(what: str, spans: SpanQuality | None) -> Iterator[tuple[str, Estimate | None, int]]:
    if spans is not None:
        yield f"{what}: recall", spans.recall, 3
        yield "  precision", spans.precision, 3
        yield "  IoU", spans.iou, 3


def _plain_rows(report: EvaluationReport) -> Iterator[tuple[str, str]]:
    prompt = report.prompt
    yield "whole prompt, median tokens", f"{prompt.median:,.0f}"
    ours, theirs = prompt.dollars(prompt.mean), prompt.dollars(prompt.plain)
    if ours is not None and theirs is not None:
        yield "1,000 prompts, dollars", f"{ours:,.2f}"
        yield "  with plain top-10", f"{theirs:,.2f}"
    for stage, one in report.latency.items():
        yield f"{stage}, ms: median / p95", f"{one.median:,.0f} / {one.p95:,.0f}"


def _shown(value: Estimate | None, digits: int) -> tuple[str, str]:
    if value is None:
        return "-", ""
    low, high = (f"{end:,.{digits}f}" for end in (value.low, value.high))
    return f"{value.value:,.{digits}f}", f"{low} to {high}"


def _notes(report: EvaluationReport) -> Iterator[str]:
    asked = report.asked
    if asked.without_candidate:
        yield f"For {asked.without_candidate:,} answerable questions no candidate holds the evidence; they are missed."
    if asked.unknown_documents:
        yield f"{asked.unknown_documents:,} questions name a document that the collection does not hold (`fovea list`)."
    if asked.repeated_elsewhere:
        yield (
            f"{asked.repeated_elsewhere:,} questions count as missed although their evidence was sent word for word, "
            "out of another document that says the same."
        )
    if not asked.unanswerable:
        yield 'No question is labelled unanswerable ("answers": []), so abstention is only half measured.'
    for name, why in report.left_out.items():
        yield f"{name} was not run: {why}."


def _verdict(limit: Limit) -> str:
    """One line a limit, for the log of a gate.

    >>> from domain.evaluation import Limit
    >>> _verdict(Limit("min_recall", 0.9, 0.85, least=True))
    '[red]missed[/]  answer recall 0.85 is below the limit of 0.9'
    """
    value, bound = f"{limit.value:,.4g}", f"{limit.bound:,.4g}"
    if limit.met:
        return f"[green]met[/]     {_LIMIT_NAMES[limit.name]} {value}, limit {bound}"
    side = "below" if limit.least else "above"
    return f"[red]missed[/]  {_LIMIT_NAMES[limit.name]} {value} is {side} the limit of {bound}"
