"""A part by name: a built-in, an entry point of the group `fovea.<seam>`, or "module:attribute"."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

from domain.errors import ConfigurationError


def resolve(seam: str, name: str, built_in: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """The factory called `name`; nothing is imported until it is named.

    Raises ConfigurationError that lists the choices.
    """
    if name in built_in:
        return built_in[name]
    if ":" in name:
        return _import_attribute(name)
    found = {item.name: item for item in entry_points(group=f"fovea.{seam}")}
    if name in found:
        return _loaded(name, found[name].load)
    choices = ", ".join(sorted({*built_in, *found}))
    raise ConfigurationError(f"There is no {seam} {name!r}. Known: {choices}; or give it as module:attribute.")


def _import_attribute(path: str) -> Callable[..., Any]:
    module, _, attribute = path.partition(":")
    return _loaded(path, lambda: getattr(importlib.import_module(module), attribute))


def _loaded(name: str, load: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    try:
        return load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{name!r} cannot be loaded: {error}. Is it installed and spelled right?") from error
