"""What is wrong with the value of an option or argument, in our own words where typer repeats pydantic's."""

from __future__ import annotations

import typer

from service.wrong_settings import in_range


def reword(error: typer.BadParameter) -> None:
    """Say in `error` which value is wrong and what is taken; it names the option itself."""
    from pydantic import ValidationError

    if not isinstance(error.__cause__, ValidationError):
        return
    wrong = error.__cause__.errors()[0]
    if wrong["type"] == "value_error":  # of a choice: what typer itself has found, without pydantic's prefix
        error.message = str(wrong["ctx"]["error"])
    elif wrong["type"].startswith(("int", "float", "greater", "less", "finite")):
        kind = "a whole number" if wrong["type"].startswith("int") else "a number"
        bounds = in_range(ge=getattr(error.param, "min", None), le=getattr(error.param, "max", None))
        error.message = f"{wrong['input']!r} is not {kind}{bounds}."
