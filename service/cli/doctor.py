"""fovea doctor: what runs here, and whether it is well."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import typer

from domain.errors import FoveaError
from service.cli.options import DataDir, Json, message, settings_of_index
from service.cli.printing import out, plain, print_json

if TYPE_CHECKING:
    from service.engine import Engine

_PROBE = "Is everything in order?"  # any question: it takes the whole way from the encoder to the evidence


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(data_dir: DataDir = None, json: Json = False) -> None:
    """Check settings, database, encoder and indexes, and say what runs; exit 1 where something is wrong.

    Example: `fovea doctor`
    """
    from service.bootstrap import build_engine
    from service.storage.database import without_password

    settings = settings_of_index(data_dir)
    started = time.perf_counter()
    with build_engine(settings, on_message=message) as engine:
        problems = _search_everywhere(engine)  # opens all indexes
        status = engine.status()
    report: dict[str, Any] = {
        "version": version("fovea-rag"),
        "python": platform.python_version(),
        "data_dir": str(settings.data_dir.resolve()),
        "database": without_password(settings.database_url),
        **status,
        "problems": [*problems, *_differences(status)],
        "seconds": round(time.perf_counter() - started, 2),
    }
    if json:
        print_json(report)
    else:
        for name, value in report.items():
            _print_entry(name, value)
    if report["problems"]:
        raise typer.Exit(1)


def _search_everywhere(engine: Engine) -> list[str]:
    """Ask each collection a question; a sentence for each one that cannot answer."""
    problems = []
    for collection in engine.list_collections():
        try:
            engine.search(_PROBE, collection=collection.name)
        except FoveaError as error:
            problems.append(f"collection {collection.name}: {error.message}")
    return problems


def _differences(status: dict[str, Any]) -> list[str]:
    """Collections whose indexes do not hold what the database holds."""
    chunks = {item["name"]: item["chunks"] for item in status["collections"]}
    return [
        f"collection {item['collection']}: {chunks[item['collection']]} chunks in the database, but {item['vectors']} "
        f"in the vector index and {item['texts']} in the word index; delete {'indexes/'!r} in the data directory to "
        "have them built anew."
        for item in status["indexes"]
        if not item["vectors"] == item["texts"] == chunks[item["collection"]]
    ]


def _print_entry(name: str, value: Any) -> None:
    if isinstance(value, list):
        out.print(f"{name}:" if value else f"{name}: none")
        for item in value:
            out.print("  " + plain(_line(item) if isinstance(item, dict) else str(item)))
    else:
        out.print(f"{name}: " + plain(_line(value) if isinstance(value, dict) else str(value)))


def _line(entries: dict[str, Any]) -> str:
    return ", ".join(f"{key} {entry}" for key, entry in entries.items())
