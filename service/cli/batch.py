"""fovea batch: a table of questions in, the same table with answers out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.answers import Answer
from domain.errors import FoveaError
from service.cli.options import DEFAULT, CollectionName, DataDir, Json, MaxTokens, Url, opened
from service.cli.printing import out, plain, print_json
from service.cli.progress import ProgressLine
from service.cli.questions import Constraints, RoleText, Think, named_wishes, say_if_quoted


def register(app: typer.Typer) -> None:
    app.command()(batch)


def batch(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="CSV, JSONL or XLSX, one question a row.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV, JSONL or XLSX to write.")],
    question_column: Annotated[str | None, typer.Option("--question-column", help="Where the questions stand.")] = None,
    max_tokens: MaxTokens = None,
    max_total_tokens: Annotated[
        int | None,
        typer.Option("--max-total-tokens", min=1, help="Ceiling of the tokens of all prompts and answers together."),
    ] = None,
    constraint: Constraints = None,
    role: RoleText = None,
    think: Think = False,
    collection: CollectionName = DEFAULT,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a finished output.")] = False,
    data_dir: DataDir = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Answer every question of a table. A killed run goes on where it was when it is started again.

    Questions that differ in case, width or white space only are asked once. A run that comes to its ceiling of tokens
    ends, and goes on when it is started again with a higher one.

    Example: `fovea batch questions.csv -o answers.csv --question-column Question`
    """
    from service.batches.table_run import run_batch

    options: dict[str, Any] = {
        "max_tokens": max_tokens,
        "collection": collection,
        "constraints": constraint or [],
        "role": role,
        "think": think,
    }
    wishes = named_wishes(constraint, role, think)
    with opened(data_dir, url) as engine, ProgressLine("questions") as line:
        summary = run_batch(
            source,
            output,
            lambda questions: _noted(engine.batch(questions, **options), wishes),
            question_column=question_column,
            max_total_tokens=max_total_tokens,
            overwrite=overwrite,
            progress=line.update,
            options=options,
        )
    if json:
        print_json(summary.to_dict())
    else:
        out.print(
            f"{summary.rows} rows: {summary.abstained} without an answer, {summary.failed} failed, "
            f"{summary.resumed} from an earlier run; {summary.context_tokens:,} context tokens, "
            f"{summary.total_tokens:,} spent on prompts and answers; {plain(summary.output)}"
        )
        if summary.resumed == summary.rows:
            failed = f", {summary.failed} of them failed" if summary.failed else ""
            out.print(f"They were all done before{failed}; --overwrite asks them anew, for example with other options.")
        if summary.beyond_ceiling:
            out.print(f"Rows beyond the ceiling: {summary.beyond_ceiling}; a higher one goes on from there.")
    if summary.failed:
        raise typer.Exit(1)


def _noted(answers: Iterator[Answer | FoveaError], wishes: Sequence[str]) -> Iterator[Answer | FoveaError]:
    """The same answers; the first one that was quoted is told of, where there are wishes that it cannot follow."""
    told = False
    for answer in answers:
        told = told or (isinstance(answer, Answer) and say_if_quoted(answer, wishes))
        yield answer
