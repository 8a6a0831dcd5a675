"""fovea explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domain.errors import UsageError
from domain.explanation import Explanation
from service.cli.options import DEFAULT, CollectionName, DataDir, Json, Url, message, opened
from service.cli.printing import out, print_json
from service.cli.questions import Question


def register(app: typer.Typer) -> None:
    app.command()(explain)


def explain(
    question: Question,
    document: Annotated[str, typer.Option("--document", help="Id or source of the document, as `fovea list` shows.")],
    chunks: Annotated[int, typer.Option("--chunks", min=1, help="How many of its chunks to show, the best first.")] = 3,
    full: Annotated[
        bool,
        typer.Option("--full", help="As text: what each score adds up from. JSON and HTML: weights by question token."),
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the heat maps, one a head, as a page into this file.")
    ] = None,
    collection: CollectionName = DEFAULT,
    data_dir: DataDir = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show where the attention of a question went in one document: by sentence, by token and by head.

    Example: `fovea explain "Who signs the contract?" --document contract.pdf --html attention.html`
    """
    if html is not None and (html.is_dir() or not html.absolute().parent.is_dir()):
        raise UsageError(f"{str(html)!r} cannot be written: name a file in a folder that exists.")
    matrix = full and (json or html is not None)  # it may be megabytes, and the map in a terminal has no place for it
    with opened(data_dir, url) as engine:
        explanation = engine.explain(question, document=document, collection=collection, chunks=chunks, full=matrix)
    if html is not None:
        _write_page(explanation, html)
    if json:
        print_json(explanation.to_dict())
    elif html is None:
        _print_map(explanation, full)


def _write_page(explanation: Explanation, file: Path) -> None:
    from service.cli.heat_page import heat_page

    try:
        file.write_text(heat_page(explanation), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{str(file)!r} cannot be written: {error.strerror}.") from error
    message(f"The heat maps are in {file}.")


def _print_map(explanation: Explanation, full: bool) -> None:
    from service.cli.heat_map import heat_map

    colour = out.is_terminal and out.color_system is not None and not out.no_color
    for part in heat_map(explanation, colour, parts=full):
        out.print(part)
