"""fovea verify, reindex, backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from domain.maintenance import BackupReport, ReindexReport, VerifyReport
from service.cli.options import DataDir, Json, message, settings_for, settings_of_index
from service.cli.printing import out, plain, print_json
from service.cli.progress import Stages

if TYPE_CHECKING:
    from service.engine import Engine


def register(app: typer.Typer) -> None:
    for command in (verify, reindex, backup, restore):
        app.command()(command)


def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what can be; the data directory must not be in use.")
    ] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Look for damage: rows that belong to nothing, wrong counts and digests, vectors and index files that are not
    what they should be. Changes nothing without --repair; exit 1 where something is wrong and not repaired.

    Example: `fovea verify --json`
    """
    from service.maintenance.wiring import verify_data

    report = verify_data(settings_for(data_dir), repair)
    if json:
        print_json(report.to_dict())
    else:
        _print_findings(report)
    if report.left:
        raise typer.Exit(1)


def reindex(
    collection: Annotated[str | None, typer.Option("--collection", help="Only this collection; else all.")] = None,
    embed: Annotated[
        bool, typer.Option("--embed", help="Give every chunk a vector of the configured encoder first.")
    ] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Make the indexes anew from the database, without the encoder; with --embed also the vectors, after the encoder
    was changed. A run that is interrupted leaves what was there, and the next one goes on.

    Example: `fovea reindex --collection reports --embed`
    """
    from service.bootstrap import build_engine

    with build_engine(settings_of_index(data_dir), on_message=message) as engine:
        names = [collection] if collection is not None else [item.name for item in engine.list_collections()]
        reports = [_reindexed(engine, name, embed) for name in names]
    if json:
        print_json({"collections": [item.to_dict() for item in reports]})
        return
    for item in reports:
        encoded = f", {item.encoded:,} encoded by {plain(str(item.model_id))}" if embed else ""
        out.print(f"{plain(item.collection)}: {item.chunks:,} chunks{encoded}, in {item.seconds:.1f} s")


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write; it must not exist.")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write everything that cannot be made again into one file, while a server may be running: the database with
    documents, vectors, calibrations, keys and jobs, and the weights trained here.

    Example: `fovea backup /backups/fovea-2026-11-23.zip`
    """
    from service.maintenance.wiring import back_up_data

    _print_backup("Backed up", back_up_data(settings_for(data_dir), file), json)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that `fovea backup` wrote.")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Put a backup into an empty data directory, or into the empty PostgreSQL database of the settings. A backup with
    a single wrong byte is refused.

    Example: `fovea restore /backups/fovea-2026-11-23.zip --data-dir fresh/`
    """
    from service.maintenance.wiring import restore_data

    _print_backup("Restored", restore_data(settings_for(data_dir), file), json)


def _reindexed(engine: Engine, collection: str, embed: bool) -> ReindexReport:
    with Stages() as stages:
        return engine.reindex(collection, embed=embed, progress=stages.update)


def _print_findings(report: VerifyReport) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("Kind", "Where", "What", "Repair"):
        table.add_column(name)
    for item in report.findings:
        state = "[green]repaired[/]: " if item.repaired else ""
        repair = plain(item.repair) if item.repair else "[red]none: restore a backup[/]"
        table.add_row(plain(item.kind), plain(item.place), plain(item.detail), state + repair)
    if report.findings:
        out.print(table)
    for sentence in report.unchecked:
        out.print(f"[yellow]not checked[/]  {plain(sentence)}")
    looked = ", ".join(f"{count:,} {name}" for name, count in report.checked.items())
    repaired = len(report.findings) - len(report.left)
    out.print(
        f"{looked or 'nothing'} looked at, {len(report.findings)} wrong, {repaired} repaired, in {report.seconds:.1f} s"
    )
    if any(item.repair for item in report.left):
        out.print("`fovea verify --repair` puts right what can be; make a backup first.")


def _print_backup(verb: str, report: BackupReport, json: bool) -> None:
    if json:
        print_json(report.to_dict())
        return
    documents, chunks = report.tables.get("documents", 0), report.tables.get("chunks", 0)
    weights = f", {report.weights} files of weights" if report.weights else ""
    out.print(
        f"{verb} {documents:,} documents ({chunks:,} chunks){weights}: {plain(report.file)}, {report.size:,} bytes, "
        f"sha256 {report.sha256}, in {report.seconds:.1f} s"
    )
