"""fovea ingest, list, delete."""

from __future__ import annotations

from typing import Annotated

import typer

from domain.jobs import DocumentInfo
from service.cli.options import DEFAULT, CollectionName, DataDir, Json, Url, opened
from service.cli.printing import out, print_documents, print_json, print_report
from service.cli.progress import ProgressLine

_PAGE = 500


def register(app: typer.Typer) -> None:
    app.command()(ingest)
    app.command("list")(list_documents)
    app.command()(delete)


def ingest(
    inputs: Annotated[
        list[str], typer.Argument(metavar="PATH_OR_URL...", help="Files, folders, URLs, CORPUS.jsonl[.gz].")
    ],
    collection: CollectionName = DEFAULT,
    data_dir: DataDir = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Index documents. Unchanged files cost nothing; a changed one replaces its old version once it is complete.

    Example: `fovea ingest reports/ notes.md https://example.com/page`
    """
    with opened(data_dir, url, create=True) as engine, ProgressLine("files", "chunks") as line:
        report = engine.ingest(inputs, collection=collection, progress=line.follow)
    if json:
        print_json(report.to_dict())
    else:
        print_report(report)
    if report.failed:
        raise typer.Exit(1)


def list_documents(
    collection: Annotated[str | None, typer.Option("--collection", help="Only this collection.")] = None,
    data_dir: DataDir = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """List the documents.

    Example: `fovea list --json`
    """
    found: list[DocumentInfo] = []
    with opened(data_dir, url) as engine:
        while page := engine.list_documents(collection, _PAGE, found[-1].id if found else None):
            found += page
    if json:
        print_json({"documents": [item.to_dict() for item in found]})
    else:
        print_documents(found)


def delete(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids as `fovea list` shows them.")],
    data_dir: DataDir = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Delete documents by id.

    Example: `fovea delete doc-0123456789abcdef0123`
    """
    with opened(data_dir, url) as engine:
        engine.delete(ids)
    if json:
        print_json({"deleted": ids})
    else:
        out.print(f"{len(ids)} deleted")
