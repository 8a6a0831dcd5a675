"""How results look in a terminal."""

from __future__ import annotations

import sys
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from context.abstention import NEAREST_TITLES
from context.language import detect_language
from domain.answers import Answer
from domain.context import ContextBill
from domain.jobs import DocumentInfo, DocumentStatus, IngestReport
from domain.search_result import SearchResult

# Elsewhere than on a terminal a line is a record: it is never cut to a width.
out = Console(highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)

# What a document or a model says is shown, never obeyed: no escape sequence of theirs reaches the terminal.
_CONTROLS = {code: None for code in (*range(0x00, 0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


def plain(text: str) -> str:
    r"""A text from elsewhere, ready for `out.print`: without control characters, its brackets taken literally.

    >>> plain("[1] \x1b[2J[bold]")
    '[1] [2J\\[bold]'
    """
    return escape(without_controls(text))


def without_controls(text: str) -> str:
    """The same for what is not read as markup, for example the parts of a `rich.text.Text`."""
    return text.translate(_CONTROLS)


def print_json(value: Any) -> None:
    """One JSON document on stdout, in UTF-8, whatever the terminal."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_report(report: IngestReport) -> None:
    counts = {status: sum(item.status is status for item in report.documents) for status in DocumentStatus}
    for item in report.documents:
        if item.error:
            out.print(f"[red]failed[/]  {plain(item.source)}: {plain(item.error.message)} \\[{item.error.code}]")
        for warning in item.warnings:
            out.print(f"[yellow]note[/]    {plain(item.source)}: {plain(warning)}")
    chunks = sum(item.chunks for item in report.documents if item.status is DocumentStatus.INDEXED)
    out.print(
        f"{counts[DocumentStatus.INDEXED]} indexed ({chunks:,} chunks), {counts[DocumentStatus.UNCHANGED]} unchanged, "
        f"{counts[DocumentStatus.FAILED]} failed, in {report.seconds:.1f} s"
    )


def print_documents(documents: list[DocumentInfo]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("ID", no_wrap=True)  # a cut id could not be given to `fovea delete`
    for name in ("Source", "Title", "Collection", "State", "Chunks"):
        table.add_column(name)
    for item in documents:
        state = f"{item.status.value}, {item.error.code}" if item.error else item.status.value
        cells = (item.id, item.source, item.title, item.collection, state, f"{item.chunks:,}")
        table.add_row(*(plain(cell) for cell in cells))
    out.print(table)


def print_search(result: SearchResult) -> None:
    for item in result.evidence:
        where = " / ".join(dict.fromkeys(part for part in (item.title or item.source, *item.heading_path) if part))
        page = f", page {item.page}" if item.page else ""
        out.print(f"[bold]\\[{item.mark}] {plain(where)}{page}[/]  [dim]{plain(item.source)}  {item.score:.3f}[/]")
        out.print(plain(item.text.strip()) + "\n")
    if not result.evidence:
        out.print("Nothing in the documents supports an answer.")
    print_nearest(result)
    out.print(f"[dim]{bill_line(result.bill)}[/]")


def print_answer(answer: Answer) -> None:
    out.print(plain(answer.text) + "\n")
    print_sources(answer)


def print_sources(answer: Answer) -> None:
    """The citations and the bill, below an answer that is on the screen already."""
    for item in answer.citations:
        page = f", page {item.page}" if item.page else ""
        state = "" if item.verified else "  [yellow](not verified)[/]"
        out.print(
            f"[dim]\\[{item.mark}] {plain(item.title or item.source)}{page}: {plain(_short(item.quote))}[/]{state}"
        )
    for sentence in answer.unsupported:
        out.print(f"[yellow]Not supported by its evidence:[/] {plain(_short(sentence))}")
    if answer.removed_marks:
        out.print(f"[yellow]{answer.removed_marks} citation marks without evidence were taken out.[/]")
    print_nearest(answer.search)
    if answer.degraded:
        out.print("[yellow]The language model did not answer; this is the extractive answer.[/]")
    out.print(f"[dim]{bill_line(answer.search.bill)}[/]")


def print_nearest(result: SearchResult) -> None:
    """What came nearest where nothing answers, under a heading in the question's language."""
    if result.nearest:
        out.print(NEAREST_TITLES[detect_language(result.question)])
    for item in result.nearest:
        page = f", page {item.page}" if item.page else ""
        out.print(f"[dim]- {plain(item.title or item.source)}{page}: {plain(_short(item.text))}[/]")


def bill_line(bill: ContextBill) -> str:
    """What was sent and what was spared, in one line.

    >>> from domain.context import ContextBill
    >>> bill_line(ContextBill(90, 0, 0, 150, 12, 512, 8192, 2000, "e5"))
    '150 evidence tokens sent instead of 2,000 (92 % avoided); prompt 252 of 8,192'
    """
    share = f" ({100 * bill.avoided // bill.baseline} % avoided)" if bill.baseline else ""
    reported = f", {bill.reported:,} by the model's own count" if bill.reported is not None else ""
    return (
        f"{bill.evidence:,} evidence tokens sent instead of {bill.baseline:,}{share}; "
        f"prompt {bill.total:,} of {bill.limit:,}{reported}"
    )


def _short(text: str, limit: int = 160) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
