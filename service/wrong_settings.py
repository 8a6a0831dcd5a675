"""What is wrong with a setting, in our own words: which one, its value, where that came from, and what it takes."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

Place = tuple[str, ...]  # ("server", "port")
ALL_SETTINGS = "docs/configuration.md lists all settings."

_LONGEST = 60  # characters of a value that are repeated
_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    SecretStr: "text",
    Path: "a path",
    tuple: 'a list of texts, such as ["package.module:attribute"]',
}


def in_our_words(error: ValidationError, settings: type[BaseModel], origin: Callable[[Place], str]) -> str:
    """A sentence for each wrong setting; `origin` says where the value at a place was set.

    No secret is repeated, and no value of a setting that does not exist: it may be a misspelt secret.
    """
    return " ".join(_sentence(item, settings, origin) for item in error.errors())


def taken_by(field: FieldInfo) -> str:
    """What a setting takes, for example "a whole number from 0 to 65535"."""
    kind = _without_none(field.annotation)
    if get_origin(kind) is Literal:
        return _one_of([str(value) for value in get_args(kind)])
    if members := section_of(field):
        return f"a table of settings: {', '.join(members.model_fields)}"
    return _KINDS[get_origin(kind) or kind] + in_range(**_bounds(field))


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a setting that holds others; None for one that holds a value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _sentence(item: ErrorDetails, settings: type[BaseModel], origin: Callable[[Place], str]) -> str:
    place = tuple(part for part in item["loc"] if isinstance(part, str))  # without places in a list
    name, source = ".".join(place), origin(place)
    known, field = _find(settings, place)
    if field is None:
        near = get_close_matches(place[-1], known, n=1)
        hint = f"did you mean {'.'.join((*place[:-1], *near))}?" if near else ALL_SETTINGS
        return f"There is no setting {name} (from {source}); {hint}"
    return f"The setting {name} is {_shown(item['input'], field)} (from {source}); it takes {taken_by(field)}."


def _find(settings: type[BaseModel], place: Place) -> tuple[Sequence[str], FieldInfo | None]:
    """The names that may stand at the last place, and the setting that does."""
    section: type[BaseModel] | None = settings
    field = None
    for part in place:
        known = list(section.model_fields) if section else []
        field = section.model_fields.get(part) if section else None
        section = section_of(field) if field else None
    return known, field


def _shown(value: Any, field: FieldInfo) -> str:
    if isinstance(value, dict | list | tuple):
        return "a table" if isinstance(value, dict) else "a list"
    if _without_none(field.annotation) is SecretStr or section_of(field):
        return "of the wrong kind"  # it may be a secret
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _without_none(annotation: Any) -> Any:
    """`int` of `int | None`."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    return next(kind for kind in get_args(annotation) if kind is not types.NoneType)


def _bounds(field: FieldInfo) -> dict[str, Any]:
    return {name: getattr(item, name) for item in field.metadata for name in ("ge", "gt", "le") if hasattr(item, name)}


def in_range(*, ge: Any = None, gt: Any = None, le: Any = None) -> str:
    """The bounds of a number, to be put behind its kind.

    >>> in_range(ge=0, le=10), in_range(gt=0)
    (' from 0 to 10', ' above 0')
    """
    least, above, most = (int(bound) if bound is not None and bound == int(bound) else bound for bound in (ge, gt, le))
    if least is not None and most is not None:
        return f" from {least} to {most}"
    words = ((" of {} or more", least), (" above {}", above), (" of {} or less", most))
    return "".join(word.format(bound) for word, bound in words if bound is not None)


def _one_of(values: Sequence[str]) -> str:
    *rest, last = values
    return f"{', '.join(rest)} or {last}"
