"""fovea train."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from domain.errors import UsageError
from domain.training import CollectionGain, EvidenceQuality, Gain, TrainingReport
from service.cli.options import DEFAULT, DataDir, Json, message, settings_of_index
from service.cli.printing import out, plain, print_json
from service.cli.progress import Stages
from service.labelled_questions import LabelledQuestion

_MEASURES = (("ndcg", "nDCG@10"), ("recall_128", "evidence in 128 tokens"), ("recall_256", "in 256"), ("mean", "mean"))
_VERDICTS = {
    "replaced": "The new weights are saved",
    "kept": "The old weights are kept",
    "dry_run": "Nothing is saved (--dry-run); otherwise the new weights would be",
}


def register(app: typer.Typer) -> None:
    app.command()(train)


def train(
    questions: Annotated[
        list[Path] | None,
        typer.Argument(metavar="QUESTIONS.jsonl", help="Labelled questions, a file for each --collection."),
    ] = None,
    collection: Annotated[
        list[str] | None,
        typer.Option("--collection", help="The collections that the files are about, in the same order."),
    ] = None,
    self_supervised: Annotated[
        bool, typer.Option("--self-supervised", help="Also train on questions made from the documents themselves.")
    ] = False,
    made: Annotated[int, typer.Option("--made", min=1, help="How many of these a collection, at most.")] = 2000,
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Train the encoder's top layers too; documents must be ingested anew.")
    ] = False,
    layers: Annotated[int, typer.Option("--layers", min=1, help="How many layers --adapt trains.")] = 3,
    steps: Annotated[int | None, typer.Option("--steps", min=0, help="Steps at most; else 500.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Train so often; the best is kept, or the mean.")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="The first seed; it also chooses the held-out documents.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", help="Where the weights go, instead of the data directory.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Train and compare, save nothing.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Train the reranker on questions about your documents. What is not better on held-out documents is not used.

    A killed run goes on where it was when it is started again.

    Example: `fovea train questions.jsonl --seeds 3`
    """
    from service.bootstrap import build_engine

    sets = _sets(questions or [], collection or [], self_supervised)
    settings = settings_of_index(data_dir)
    with build_engine(settings, on_message=message) as engine, Stages() as stages:
        report = engine.train(
            sets,
            progress=stages.update,
            adapt=adapt,
            layers=layers,
            steps=steps,
            seeds=seeds,
            seed=seed,
            self_supervised=made if self_supervised else 0,
            output=output,
            dry_run=dry_run,
            command=shlex.join(["fovea", *sys.argv[1:]]),
        )
    if json:
        print_json(report.to_dict())
        return
    _print(report)
    if report.outcome == "replaced" and output is None and settings.encoder.weights != "auto":
        out.print(
            f"encoder.weights is {plain(repr(settings.encoder.weights))}: set it to auto, and the new ones are used."
        )


def _sets(
    files: Sequence[Path], collections: Sequence[str], self_supervised: bool
) -> dict[str, Path | Sequence[LabelledQuestion]]:
    """The files by collection; a collection without a file only asks itself."""
    names = collections or [DEFAULT]
    if len(set(names)) < len(names):
        raise UsageError("A collection is named twice; put all questions about it into one file.")
    if len(files) > len(names) or (len(files) < len(names) and not self_supervised):
        raise UsageError(
            f"There are {len(files)} files of questions and {len(names)} collections: name one --collection a file, in "
            "the same order. Collections without a file need --self-supervised."
        )
    return {name: files[at] if at < len(files) else [] for at, name in enumerate(names)}


# -- output ----------------------------------------------------------------------------------------------------------


def _print(report: TrainingReport) -> None:
    taught, levelled, judged = report.questions
    made = f"; {report.self_supervised:,} were made from the documents" if report.self_supervised else ""
    out.print(_table(report))
    out.print(f"Questions: {taught:,} to learn from, {levelled:,} to stop and level by, {judged:,} to judge by{made}")
    for one in report.seeds:
        out.print(
            f"Seed {one.seed}: loss on held-out documents {one.loss_before:.4f} before, {one.loss_after:.4f} after "
            f"{one.best_step} steps; mean {one.quality.mean:.4f}"
        )
    if len(report.seeds) > 1:
        mean = sum(one.quality.mean for one in report.seeds) / len(report.seeds)
        out.print(f"{len(report.seeds)} seeds: mean {mean:.4f}, worst {report.worst:.4f}")
    if report.average:
        one = report.average
        out.print(f"The mean of their weights: loss {one.loss_after:.4f}; mean {one.quality.mean:.4f}")
        best = "the mean of the seeds" if report.best_seed is None else f"seed {report.best_seed}"
        out.print(f"Best by that loss: {best}")
    out.print(f"{_VERDICTS[report.outcome]}: {plain(report.reason)}.")
    if report.weights:
        out.print(f"Weights: {plain(report.weights)}")
    if report.ingest_again:
        names = ", ".join(report.ingest_again)
        out.print(
            f"The encoder has changed: stored vectors do not suit it any more. Delete these collections and ingest "
            f"their documents anew before you ask again: {plain(names)}."
        )


def _table(report: TrainingReport) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("On held-out documents")
    for name in (*(name for _, name in _MEASURES), "gain (95 % interval)"):
        table.add_column(name, justify="right")
    rows: list[tuple[str, CollectionGain | TrainingReport]] = [
        (f"{plain(one.collection)} ({one.questions} questions)", one) for one in report.collections
    ]
    if len(rows) > 1:
        rows.append(("all collections", report))
    for name, one in rows:
        table.add_row(f"{name}, before", *_cells(one.before), "")
        table.add_row(f"{name}, after", *_cells(one.after), _shown(one.gain))
    return table


def _cells(quality: EvidenceQuality) -> list[str]:
    return [f"{getattr(quality, name):.4f}" for name, _ in _MEASURES]


def _shown(gain: Gain) -> str:
    return f"{100 * gain.mean:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
