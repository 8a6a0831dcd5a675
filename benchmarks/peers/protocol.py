"""What a library must do to be measured, and the values that pass between it and the measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A document as a labelled set has it; `title` may be empty."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that a library sends to the model.

    document: the id of the document that it is from. text: its characters, without anything that the library adds.
    start: where in the document the library says that it begins, None where it does not say. shown: the text as it
    stands in the prompt, where that differs.
    """

    document: str
    text: str
    start: int | None = None
    shown: str | None = None

    @property
    def in_prompt(self) -> str:
        return self.text if self.shown is None else self.shown


@dataclass(frozen=True, slots=True)
class Prompt:
    """`context` is what stands in the place of the evidence, `whole` the prompt that holds it."""

    context: str
    whole: str


@dataclass(frozen=True, slots=True)
class Way:
    """How an index is asked: for `k` chunks, by vectors or by keywords too, with which part of the library behind."""

    k: int
    hybrid: bool = False
    part: str = ""


class Peer(Protocol):
    """One index of one library."""

    def index(self, documents: Sequence[SourceDocument]) -> int:
        """Split, encode and store the documents; the number of chunks."""
        ...

    def retrieve(self, question: str, way: Way) -> list[Passage]:
        """What is sent for a question, in the order of the prompt."""
        ...

    def prompt(self, question: str, passages: Sequence[Passage]) -> Prompt:
        """The library's own prompt around the passages."""
        ...


def imported(module: str, library: str) -> Any:
    """A module of a library of the `peers` extra. Raises ConfigurationError with the install line where it is missing.

    A module that is there but lacks something itself is not misreported: the message names what is missing.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{library} cannot be measured: the module {error.name!r} is not installed. "
            "Run: pip install 'fovea-rag[peers]', or leave the library out with --peers."
        ) from error
