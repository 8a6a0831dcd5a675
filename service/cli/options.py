"""Options that several commands share, and how a command opens its engine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.errors import ConfigurationError
from domain.search import DEFAULT_COLLECTION
from service.settings import Settings, load_settings

if TYPE_CHECKING:
    from fovea.client import Client
    from service.engine import Engine

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where everything is kept; else FOVEA_DATA_DIR, else ./.fovea.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
CollectionName = Annotated[str, typer.Option("--collection", help="The collection to work on.")]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", min=1, help="Ceiling of context tokens.")]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Talk to a running `fovea serve` at this address instead of opening the data directory; where it wants a "
        "key, set FOVEA_SERVER__API_KEY.",
    ),
]
DEFAULT = DEFAULT_COLLECTION

# `fovea --data-dir X ask ...`: what stood before the command's name, set anew by every invocation.
before_command: ContextVar[Path | None] = ContextVar("before_command", default=None)


def show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"fovea {version('fovea-rag')}")
        raise typer.Exit


def message(text: str) -> None:
    """A line for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


def settings_for(data_dir: Path | None, **overrides: Any) -> Settings:
    """Settings with the data directory of the command line, before or behind the command's name."""
    return load_settings(data_dir=data_dir or before_command.get(), **overrides)


@contextmanager
def opened(data_dir: Path | None, url: str | None = None) -> Iterator[Engine | Client]:
    """The engine of the data directory, or a client of the server at `url`: both have the same verbs."""
    if url is not None:
        if data_dir is not None:
            raise ConfigurationError("--url and --data-dir exclude each other: the server has its own data directory.")
        from fovea.client import Client

        key = settings_for(None).server.api_key
        with Client(url, api_key=key.get_secret_value() if key else None) as client:
            yield client
        return
    from service.bootstrap import build_engine

    with build_engine(settings_for(data_dir), on_message=message) as engine:
        yield engine
