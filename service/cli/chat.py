"""fovea chat: a conversation in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import typer

from domain.answers import Answer
from domain.asking import Message
from domain.errors import ConfigurationError, GenerationError, NotFound, UsageError
from service.cli.options import DEFAULT, CollectionName, DataDir, MaxTokens, Url, message, opened
from service.cli.printing import out, plain, print_sources


def register(app: typer.Typer) -> None:
    app.command()(chat)


def chat(
    collection: CollectionName = DEFAULT, max_tokens: MaxTokens = None, data_dir: DataDir = None, url: Url = None
) -> None:
    """Talk to the documents; an empty line or Ctrl-D ends.

    Example: `fovea chat --collection contracts`
    """
    failed = 0
    history: list[Message] = []
    with opened(data_dir, url) as engine:
        message("Ask about your documents; an empty line ends the conversation.")
        while question := _read_question():
            options: dict[str, Any] = {"collection": collection, "max_tokens": max_tokens, "history": history}
            try:
                answer = _show(engine.stream(question, **options))
            except (ConfigurationError, NotFound):  # would meet the next question as well
                raise
            except (UsageError, GenerationError) as error:  # one failed question does not end the conversation
                failed += 1
                out.print()
                message(f"fovea: {error.message}")
                continue
            history += [Message("user", question), Message("assistant", answer.text)]
    if failed:
        raise typer.Exit(1)


def _show(parts: Iterator[str | Answer]) -> Answer:
    """Print the answer while it is written, its sources below."""
    for part in parts:
        if isinstance(part, Answer):
            out.print("\n")
            print_sources(part)
            return part
        out.print(plain(part), end="")
        out.file.flush()
    raise GenerationError("The stream ended without an answer.")


def _read_question() -> str:
    try:
        return input("\n> " if sys.stdin.isatty() else "").strip()
    except (EOFError, KeyboardInterrupt):
        return ""
