"""Options that several commands share, and how a command opens its engine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.errors import ConfigurationError, FoveaError, NotFound
from domain.search import DEFAULT_COLLECTION
from service.cli.printing import without_controls
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
    """A line for people, on stderr; what it repeats from elsewhere is shown and not obeyed."""
    print(without_controls(text), file=sys.stderr, flush=True)


def settings_for(data_dir: Path | None, **overrides: Any) -> Settings:
    """Settings with the data directory of the command line, before or behind the command's name."""
    return load_settings(data_dir=data_dir or before_command.get(), **overrides)


def settings_of_index(data_dir: Path | None) -> Settings:
    """The same for commands that ask what is there: they make nothing. Raises NotFound where there is no index, which
    is what a misspelt directory looks like.
    """
    from service.storage.database import lacks_file

    settings = settings_for(data_dir)
    if lacks_file(settings.database_url):  # a database on a server says itself what it lacks
        raise NotFound(
            f"There is no index in {str(settings.data_dir.absolute())!r}. Name its directory with --data-dir or "
            "FOVEA_DATA_DIR, or make one there: `fovea ingest PATH_OR_URL...`."
        )
    return settings


@contextmanager
def opened(data_dir: Path | None, url: str | None = None, *, create: bool = False) -> Iterator[Engine | Client]:
    """The engine of the data directory, or a client of the server at `url`: both have the same verbs.

    Raises NotFound where there is no index, unless `create` says that the command makes one.
    """
    if url is not None:
        if data_dir is not None:
            raise ConfigurationError("--url and --data-dir exclude each other: the server has its own data directory.")
        with _client(url) as client:
            yield client
        return
    from service.bootstrap import build_engine

    settings = settings_for(data_dir) if create else settings_of_index(data_dir)
    with build_engine(settings, on_message=message) as engine:
        yield engine


@contextmanager
def _client(url: str) -> Iterator[Client]:
    """A client with the key of the settings; a server that refuses it speaks of headers, which nobody types here."""
    from fovea.client import Client
    from fovea.client_replies import ServiceError

    key = settings_for(None).server.api_key
    with Client(url, api_key=key.get_secret_value() if key else None) as client:
        try:
            yield client
        except FoveaError as error:
            if error.code != "unauthorized":
                raise
            took = "does not take the API key of FOVEA_SERVER__API_KEY" if key else "wants an API key"
            raise ServiceError(
                f"The server at {url} {took}; set FOVEA_SERVER__API_KEY to one that `fovea keys create` made there.",
                code=error.code,
                retryable=False,
            ) from error
