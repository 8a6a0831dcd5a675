"""fovea calibrate."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from domain.calibration import CalibrationReport, ScoringQuality
from domain.errors import UsageError
from service.cli.options import DEFAULT, CollectionName, DataDir, Json, message, settings_of_index
from service.cli.printing import out, plain, print_json
from service.cli.progress import ProgressLine

if TYPE_CHECKING:
    from service.engine import Engine

_NAMES = {
    "ndcg": "nDCG@10",
    "evidence_recall": "evidence recall",
    "context_tokens": "context tokens a question",
    "evidence_loss": "evidence lost to the thresholds",
    "abstention": "unanswerable questions turned away",
    "auroc": "abstention AUROC",
    "ece": "ECE, all sentences",
    "best_ece": "ECE, best sentence",
    "log_loss": "log loss",
}
_VERDICTS = {
    "replaced": "Stored, and used from now on",
    "kept": "The stored calibration is kept",
    "dry_run": "Nothing is stored (--dry-run); otherwise it would be",
}


def register(app: typer.Typer) -> None:
    app.command()(calibrate)


def calibrate(
    questions: Annotated[
        Path | None, typer.Argument(metavar="QUESTIONS.jsonl", help="Labelled questions, one a line; .gz is read too.")
    ] = None,
    collection: CollectionName = DEFAULT,
    target: Annotated[
        float, typer.Option("--target", help="The share of the evidence that the thresholds may lose.")
    ] = 0.05,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure and print, store nothing.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Forget the collection's calibration.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Measure on your own questions whether attention helps a collection, and fit its thresholds.

    The new calibration is stored where it is better than the old one on questions that it was not fitted on.

    Example: `fovea calibrate questions.jsonl --target 0.05`
    """
    from service.bootstrap import build_engine

    if (questions is None) != reset:
        raise UsageError("Name a file of questions, or --reset to forget a calibration, and not both.")
    with build_engine(settings_of_index(data_dir), on_message=message) as engine:
        if questions is None:
            _reset(engine, collection, json)
            return
        with ProgressLine("questions") as line:
            report = engine.calibrate(
                questions, collection=collection, target=target, dry_run=dry_run, progress=line.update
            )
    if json:
        print_json(report.to_dict())
    else:
        _print(report)


def _reset(engine: Engine, collection: str, json: bool) -> None:
    forgotten = engine.reset_calibration(collection)
    if json:
        print_json({"collection": collection, "reset": forgotten})
    else:
        state = "its calibration is forgotten" if forgotten else "it had no calibration"
        out.print(f"{plain(collection)}: {state}; the default thresholds apply.")


def _print(report: CalibrationReport) -> None:
    calibration, thresholds = report.calibration, report.calibration.thresholds
    fitted, held_out = calibration.questions
    out.print(_table(calibration.fused, report.before, calibration.attention))
    losses = (f"{float(share):.0%}: {_shown(loss)}" for share, loss in report.losses.items())
    out.print(f"Evidence lost on the held-out questions by thresholds for a target of {', '.join(losses)}")
    if report.loss_interval:
        low, high = map(_shown, report.loss_interval)
        out.print(f"95 % interval of that for {calibration.target:.0%}: {low} to {high}")
    out.print(
        f"Thresholds for {calibration.target:.0%}: {1000 * thresholds.mass_per_token:.3f} of the evidence mass for a "
        f"thousand tokens, an answer from {thresholds.abstain_below:.4f}, fitted on {fitted} questions and measured on "
        f"{held_out} others"
    )
    if report.skipped:
        out.print(f"For {report.skipped} answerable questions retrieval did not find the evidence.")
    out.print(f"Attention is {'on' if calibration.uses_attention else 'off'}: {plain(calibration.reason)}.")
    out.print(f"{_VERDICTS[report.outcome]}: {plain(report.reason)}.")
    for sentence in report.warnings:
        out.print(f"[yellow]Warning:[/] {plain(sentence)}")


def _table(fused: ScoringQuality, before: ScoringQuality, attention: ScoringQuality) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("On the held-out questions")
    for name in ("fused order", "before", "attention, calibrated"):
        table.add_column(name, justify="right")
    for field in fields(ScoringQuality):
        cells = (_shown(getattr(one, field.name)) for one in (fused, before, attention))
        table.add_row(_NAMES[field.name], *cells)
    return table


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 10 else f"{value:.4f}"
