"""fovea ingest, list, delete."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import NotFound, UsageError
from domain.jobs import DocumentInfo
from service.cli.options import DEFAULT, CollectionName, DataDir, Json, Url, opened
from service.cli.printing import out, print_documents, print_json, print_report
from service.cli.progress import ProgressLine

if TYPE_CHECKING:
    from fovea.client import Client
    from service.engine import Engine

_PAGE = 500
_ID = re.compile(r"doc-[0-9a-f]{20}")


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
    if not report.documents:
        raise UsageError(_nothing_in(inputs))
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
    with opened(data_dir, url) as engine:
        found = list(_listed(engine, collection))
    if json:
        print_json({"documents": [item.to_dict() for item in found]})
    else:
        print_documents(found)


def delete(
    documents: Annotated[
        list[str], typer.Argument(metavar="ID_OR_SOURCE...", help="Ids or sources, as `fovea list` shows them.")
    ],
    collection: Annotated[
        str | None, typer.Option("--collection", help="Where a source is looked for; else in all of them.")
    ] = None,
    data_dir: DataDir = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Delete documents by id or source; all of them, or none where one is not there.

    Example: `fovea delete doc-0123456789abcdef0123 reports/2025.pdf`
    """
    with opened(data_dir, url) as engine:
        ids = _ids_of(engine, documents, collection)
        engine.delete(ids)
    if json:
        print_json({"deleted": ids})
    else:
        out.print(f"{len(ids)} deleted")


def _nothing_in(inputs: Sequence[str]) -> str:
    """Why folders that are there gave nothing to read."""
    return (
        f"There are no readable files in {', '.join(map(repr, inputs))}. Read are text, Markdown, HTML, PDF, Word, "
        "PowerPoint, Excel, CSV, EPUB, e-mail, source code and CORPUS.jsonl; hidden files and folders are passed over."
    )


def _listed(engine: Engine | Client, collection: str | None) -> Iterator[DocumentInfo]:
    """All documents, a page at a time."""
    after = None
    while page := engine.list_documents(collection, _PAGE, after):
        yield from page
        after = page[-1].id


def _ids_of(engine: Engine | Client, given: Sequence[str], collection: str | None) -> list[str]:
    """The ids of documents that are named by id or by source. An id is taken as it is: a document that waits for its
    first indexing is in no list. Raises NotFound, and UsageError for a source that several collections have.
    """
    found: dict[str, list[DocumentInfo]] = {name: [] for name in given if not _ID.fullmatch(name)}
    if found:
        for item in _listed(engine, collection):
            if item.source in found:
                found[item.source].append(item)
    return list(dict.fromkeys(_only(name, found[name], collection) if name in found else name for name in given))


def _only(source: str, found: Sequence[DocumentInfo], collection: str | None) -> str:
    if not found:
        where = "" if collection is None else f" in the collection {collection!r}"
        raise NotFound(
            f"There is no document with the id or source {source!r}{where}; nothing was deleted. 'fovea list' shows "
            "those that exist."
        )
    if len(found) > 1:
        places = ", ".join(repr(item.collection) for item in found)
        raise UsageError(
            f"{source!r} is the source of a document in each of the collections {places}; nothing was deleted. Name "
            "one with --collection, or give the document's id."
        )
    return found[0].id
