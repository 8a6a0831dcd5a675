"""fovea search, ask."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.options import DEFAULT, CollectionName, DataDir, Json, MaxTokens, Url, opened
from service.cli.printing import print_answer, print_json, print_search

Question = Annotated[str, typer.Argument(help="The question, in English or Chinese.")]
Constraints = Annotated[
    list[str] | None, typer.Option("--constraint", help="Something the answer must obey; can be repeated.")
]
RoleText = Annotated[str | None, typer.Option("--role", help="Who the model is to be, in a sentence.")]
Think = Annotated[bool, typer.Option("--think", help="Ask the model to reason step by step.")]


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
