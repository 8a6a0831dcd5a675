"""fovea search, ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from domain.answers import Answer
from service.cli.options import DEFAULT, CollectionName, DataDir, Json, MaxTokens, Url, message, opened
from service.cli.printing import print_answer, print_json, print_search

Question = Annotated[str, typer.Argument(help="The question, in English or Chinese.")]
Constraints = Annotated[
    list[str] | None,
    typer.Option(
        "--constraint",
        help="Something the answer must obey; can be repeated. Quoted answers (no model is configured) cannot obey.",
    ),
]
RoleText = Annotated[
    str | None,
    typer.Option("--role", help="Who the model is to be, in a sentence. Quoted answers have no model to tell."),
]
Think = Annotated[
    bool,
    typer.Option("--think", help="Ask the model to reason step by step. Quoted answers have no model to ask."),
]


def register(app: typer.Typer) -> None:
    app.command()(search)
    app.command()(ask)


def search(
    question: Question,
    max_tokens: MaxTokens = None,
    collection: CollectionName = DEFAULT,
    data_dir: DataDir = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show the evidence for a question; nothing is generated.

    Example: `fovea search "Who signs the contract?" --max-tokens 200`
    """
    with opened(data_dir, url) as engine:
        result = engine.search(question, max_tokens=max_tokens, collection=collection)
    if json:
        print_json(result.to_dict())
    else:
        print_search(result)


def ask(
    question: Question,
    max_tokens: MaxTokens = None,
    constraint: Constraints = None,
    role: RoleText = None,
    think: Think = False,
    collection: CollectionName = DEFAULT,
    data_dir: DataDir = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Answer a question from the documents, with citations.

    Example: `fovea ask "Who signs the contract?" --constraint "Answer in one sentence."`
    """
    with opened(data_dir, url) as engine:
        answer = engine.ask(
            question, max_tokens=max_tokens, collection=collection, constraints=constraint or [], role=role, think=think
        )
    if json:
        print_json(answer.to_dict())
    else:
        print_answer(answer)
    say_if_quoted(answer, named_wishes(constraint, role, think))


def named_wishes(constraint: Sequence[str] | None, role: str | None, think: bool) -> list[str]:
    """The options given that only a language model can follow."""
    given = {"--constraint": constraint, "--role": role, "--think": think}
    return [name for name, value in given.items() if value]


def say_if_quoted(answer: Answer, wishes: Sequence[str]) -> bool:
    """Tell on stderr that a quoted answer follows none of `wishes`; False where there is nothing to tell.

    An answer that stands in for a model's says so itself.
    """
    from generation.extractive import ExtractiveGenerator

    quoted = answer.model == ExtractiveGenerator.model and not answer.degraded
    if quoted and wishes:
        message(
            "No language model is configured: answers are quoted from the documents and cannot follow "
            f"{', '.join(wishes)}. FOVEA_GENERATION__GENERATOR has a model write them, see docs/configuration.md."
        )
    return quoted and bool(wishes)
