"""Which tokenizer counts a prompt: the one of the model that will read it, or the encoder's with a safe bound.

    context.tokenizer is set       that one: a tokenizer.json, a folder with one, a rank file of tiktoken, the name of
                                   an encoding, or a name on the Hugging Face hub
    no model reads the prompt      the encoder's
    the model's name says which    the encoding of OpenAI's models, or the tokenizer.json of a model of that name in the
                                   models' folder or the hub's cache: only what is on this machine
    otherwise                      the encoder's prices the parts; `SafeBound` decides what fits the window

The bill names the tokenizer that counted. A tokenizer is read when something is first counted with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from context.token_bounds import LETTERS_FACTOR, SafeBound
from domain.errors import ConfigurationError
from domain.protocols import Generator, TokenCounter
from generation.rank_file import ENCODINGS, cached_rank_file, encoding_of_model, read_rank_file
from service.lazy import LazyCounter, Once
from service.settings import Settings

if TYPE_CHECKING:
    from retrieval.embedders.tokenizer import EncoderTokenCounter

_FILE = "tokenizer.json"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_WORDS_FACTOR = 4.0  # where words stand in for the encoder's tokens: 3.7 in random letters, 1.4 in English


@dataclass(frozen=True, slots=True)
class Counting:
    """`counter` prices the parts of a prompt; `bound` never counts less than the model that reads it."""

    counter: TokenCounter
    bound: TokenCounter


class GeneratorCounter:
    """A generator's own `count_tokens` as a counter."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    @property
    def name(self) -> str:
        return self._generator.model

    def count(self, text: str) -> int:
        return self._generator.count_tokens(text)


def make_counting(settings: Settings, encoder_counter: Once[TokenCounter]) -> Counting:
    """The counters that the settings ask for. Raises ConfigurationError for a tokenizer that is named but not there."""
    if settings.context.tokenizer is not None:
        named = LazyCounter(_named(settings.context.tokenizer, settings.tiktoken_dirs))
        return Counting(named, named)
    if settings.generation.generator == "extractive":
        own = LazyCounter(encoder_counter.get)
        return Counting(own, own)
    known = Once(lambda: _of_model(settings.generation.model, settings))
    alone = settings.generation.second_model in (None, settings.generation.model)
    return Counting(
        counter=LazyCounter(lambda: known.get() or encoder_counter.get()),
        # A second model may count more than the first: what fits has to fit both.
        bound=LazyCounter(lambda: (known.get() if alone else None) or _safe_bound(encoder_counter.get())),
    )


def _safe_bound(counter: TokenCounter) -> SafeBound:
    from retrieval.embedders.tokenizer import WordTokenCounter

    return SafeBound(counter, _WORDS_FACTOR if isinstance(counter, WordTokenCounter) else LETTERS_FACTOR)


def _named(choice: Path, rank_folders: tuple[Path, ...]) -> Callable[[], TokenCounter]:
    """What makes the counter that `context.tokenizer` names; only a name on the hub is looked up later."""
    name = choice.as_posix()
    if name in ENCODINGS:
        found = cached_rank_file(name, rank_folders)
        if found is None:
            raise ConfigurationError(
                f"context.tokenizer is {name!r}, but its rank file is on none of {', '.join(map(str, rank_folders))}. "
                f"Put {name}.tiktoken there, or set TIKTOKEN_CACHE_DIR to the folder that holds tiktoken's files."
            )
        return lambda: _of_rank_file(found)
    file = choice / _FILE if choice.is_dir() else choice
    if file.is_file():
        return (lambda: _of_file(file)) if file.suffix == ".json" else (lambda: _of_rank_file(file))
    if choice.suffix != ".json" and _HUB_NAME.fullmatch(name) and not choice.is_dir():
        return lambda: _of_file(_cached(name) or _fetched(name), name.rpartition("/")[2])
    raise ConfigurationError(
        f"context.tokenizer names {name!r}, which is not a file; give a {_FILE}, a folder that holds one, "
        f"{' or '.join(ENCODINGS)}, or the name of a model on the Hugging Face hub."
    )


def _of_model(model: str, settings: Settings) -> TokenCounter | None:
    """The counter of a model by its name, where its tokenizer is on this machine."""
    encoding = encoding_of_model(model)
    ranks = cached_rank_file(encoding, settings.tiktoken_dirs) if encoding else None
    if ranks is not None:
        return _of_rank_file(ranks)
    local = settings.models_dir / model / _FILE
    found = local if local.is_file() else _cached(model)
    return _of_file(found, model.rpartition("/")[2]) if found else None


def _of_rank_file(file: Path) -> EncoderTokenCounter:
    from retrieval.embedders.tokenizer import EncoderTokenCounter

    name, tokenizer = read_rank_file(file)
    return EncoderTokenCounter.of(tokenizer, name)


def _of_file(file: Path, name: str | None = None) -> EncoderTokenCounter:
    from retrieval.embedders.tokenizer import EncoderTokenCounter

    return EncoderTokenCounter(file, name or file.resolve().parent.name)


def _cached(name: str) -> Path | None:
    """The tokenizer.json of a model in the hub's cache; never asks the hub."""
    if not _HUB_NAME.fullmatch(name):
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, _FILE)
    except HFValidationError:  # a server's own name for its model, like "meta/llama-3.1--8b"
        return None
    return Path(found) if isinstance(found, str) else None


def _fetched(name: str) -> Path:
    """The tokenizer.json of a model that the settings name, from the hub."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, _FILE))
    except Exception as error:  # the hub's errors, those of its HTTP client, and OSError
        raise ConfigurationError(
            f"context.tokenizer is {name!r}, which is neither in the Hugging Face cache nor could it be fetched "
            f"({type(error).__name__}); give the path of its {_FILE}."
        ) from error
