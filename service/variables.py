"""Variables of the environment that set something: which there are, which are misspelt, and where a value came from.

The environment is an argument: `service/settings.py` alone reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_origin

from pydantic import BaseModel

from domain.errors import ConfigurationError
from service.wrong_settings import ALL_SETTINGS, Place, section_of, taken_by

PREFIX = "FOVEA_"
CONFIG = "FOVEA_CONFIG"  # names the file of settings
_NEARLY = 0.9  # likeness from which a name without a section is taken for a misspelt one


def check_variables(environment: Mapping[str, str], settings: type[BaseModel]) -> None:
    """Refuse misspelt variables, which pydantic passes over: a setting that does nothing is found out too late.

    Refuses also what is not JSON where a variable sets more than a single value. Raises ConfigurationError.
    """
    known = {_variable(place): place for place in _places(settings)}
    settable = [name for name, place in known.items() if not _holds_others(settings, place)]
    for name, value in environment.items():
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper == CONFIG:
            continue
        if upper in known:
            _check_json(name, value, settings, known[upper])
        elif _is_meant_for_us(upper, value, [*known, CONFIG]):
            near = get_close_matches(upper, [*settable, CONFIG], n=1)
            hint = f"did you mean {near[0]}?" if near else ALL_SETTINGS
            raise ConfigurationError(f"There is no setting {name}; {hint}")


def variable_of(place: Place, environment: Mapping[str, str]) -> str | None:
    """The variable that set the value at `place`, its own before that of its section; None where none did.

    The variables have passed `check_variables`.
    """
    names = {name.upper(): name for name, value in environment.items() if value}  # an empty one counts as not set
    if own := names.get(_variable(place)):
        return own
    section = names.get(_variable(place[:1]))
    return section if section and place[1] in json.loads(environment[section]) else None


def _places(settings: type[BaseModel]) -> Iterator[Place]:
    for name, field in settings.model_fields.items():
        yield (name,)
        if section := section_of(field):
            yield from ((name, key) for key in section.model_fields)


def _variable(place: Place) -> str:
    return f"{PREFIX}{'__'.join(place)}".upper()


def _holds_others(settings: type[BaseModel], place: Place) -> bool:
    return len(place) == 1 and section_of(settings.model_fields[place[0]]) is not None


def _check_json(name: str, value: str, settings: type[BaseModel], place: Place) -> None:
    """The value is not repeated: a section may hold secrets."""
    field = settings.model_fields[place[0]]
    section, example = section_of(field), ""
    if section and len(place) > 1:
        field, section = section.model_fields[place[1]], None
    elif section:
        first = next(iter(section.model_fields))
        example = f"; single ones have variables of their own, such as {_variable((*place, first))}"
    wanted = dict if section else list if get_origin(field.annotation) is tuple else None
    if value and wanted and not isinstance(_json(value), wanted):
        raise ConfigurationError(f"The variable {name} takes JSON, {taken_by(field)}{example}.")


def _json(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return None


def _is_meant_for_us(name: str, value: str, known: list[str]) -> bool:
    # Kubernetes describes a service called fovea as FOVEA_PORT=tcp://..., FOVEA_SERVICE_HOST and the like.
    if "__" in name:
        return True
    return not value.startswith("tcp://") and bool(get_close_matches(name, known, n=1, cutoff=_NEARLY))
