"""Prompt wording of the user's own, from a TOML file with a table for each language.

    [en]
    role = "You are the help desk of Example Ltd."
    rules = [
      "Use only facts from the evidence block.",
      "Cite by mark, like [1].",
      "If the evidence does not hold the answer, reply exactly: {unknown}",
    ]

What is left out keeps its built-in wording. Everything is checked here, once: a prompt that has lost its section
titles, its placeholders or its way to cite would fail quietly, one answer at a time.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from string import Formatter
from typing import Any

from context.language import Language
from context.templates import WORDINGS, Wording, Wordings
from domain.errors import ConfigurationError

_MOST_BYTES = 64 * 1024  # every prompt carries this text: a larger file is the wrong file
_TITLES = ("rules_title", "constraints_title", "history_title", "question_title")
_PLACEHOLDERS = {"rules": {"unknown"}, "page": {"page"}, "nearest": {"place"}}
_MAY_BE_EMPTY = frozenset({"separator", "opening_quote", "closing_quote", "user_label", "assistant_label"})


def read_wordings(file: Path) -> Wordings:
    """The built-in wordings with what the file replaces. Raises ConfigurationError that names place and cure."""
    tables = _parsed(file)
    unknown = sorted(set(tables) - set(WORDINGS))
    if unknown:
        raise _wrong(file, unknown[0], f"is not a language; use {', '.join(WORDINGS)}")
    return {language: _replaced(file, language, tables.get(language, {})) for language in WORDINGS}


def _parsed(file: Path) -> Mapping[str, Any]:
    try:
        data = file.read_bytes()
        if len(data) > _MOST_BYTES:
            raise ConfigurationError(f"The templates {file} have {len(data)} bytes; {_MOST_BYTES} are allowed.")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigurationError(f"The templates {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # no UTF-8, or no TOML
        raise ConfigurationError(f"The templates {file} are not TOML in UTF-8: {error}.") from error


def _replaced(file: Path, language: Language, table: Any) -> Wording:
    if not isinstance(table, dict):
        raise _wrong(file, language, "must be a table, like [en]")
    known = [field.name for field in fields(Wording)]
    for name, value in table.items():
        if name not in known:
            raise _wrong(file, f"{language}.{name}", f"is not a part of a prompt; use {', '.join(known)}")
        problem = _problem(name, value)
        if problem:
            raise _wrong(file, f"{language}.{name}", problem)
    values: dict[str, Any] = {name: tuple(value) if name == "rules" else value for name, value in table.items()}
    wording = replace(WORDINGS[language], **values)
    if len({getattr(wording, title).casefold() for title in _TITLES}) < len(_TITLES):
        raise _wrong(file, language, f"has two equal titles; {', '.join(_TITLES)} must differ")
    return wording


def _problem(name: str, value: Any) -> str:
    """What is wrong with a value, as the end of a sentence; empty for a good one."""
    if name == "rules":
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(rule, str) and rule.strip() for rule in value)
        ):
            return "must be a list of sentences"
        return _placeholder_problem(name, value) or ("" if "[1]" in "".join(value) else "must show how to cite: [1]")
    if not isinstance(value, str) or not (value.strip() or name in _MAY_BE_EMPTY):
        return "must be a text"
    if name != "role" and "\n" in value:
        return "must be one line"
    if name in _TITLES and not re.fullmatch(r"#{1,6} +[^\s#].*", value):
        return 'must be a Markdown title, like "## Question"'
    return _placeholder_problem(name, [value]) if name in _PLACEHOLDERS else ""


def _placeholder_problem(name: str, texts: list[str]) -> str:
    """Each placeholder must stand there exactly once, and no other: the text is filled in by `str.format`."""
    wanted = _PLACEHOLDERS[name]
    try:
        found = [field for text in texts for _, field, _, _ in Formatter().parse(text) if field is not None]
    except ValueError as error:
        return f"has a brace that does not pair ({error}); write {{{{ and }}}} for braces of your own"
    if sorted(found) != sorted(wanted):
        return f"must hold {' and '.join(f'{{{one}}}' for one in sorted(wanted))} once, and no other placeholder"
    return ""


def _wrong(file: Path, place: str, problem: str) -> ConfigurationError:
    return ConfigurationError(f"The templates {file}: {place} {problem}.")
