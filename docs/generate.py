"""Writes the parts of the documentation that come from the code: settings and command line help.

python docs/generate.py          rewrites the parts between the markers
python docs/generate.py --check  exits 1 where a page is behind the code
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

_HEAD = ("| variable | default | meaning |", "|---|---|---|")
_BEGIN, _END = "<!-- generated: {} -->", "<!-- end -->"


def settings_tables() -> str:
    """One table a section: variable, default, meaning."""
    from service.settings import Settings

    parts = []
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            rows = [_row(f"FOVEA_{name}__{key}".upper(), item) for key, item in section.model_fields.items()]
            parts += [f"### {name}", "", section.__doc__ or "", "", *_HEAD]
            parts += [*rows, ""]
        else:
            parts = [*_HEAD, _row(f"FOVEA_{name}".upper(), field), "", *parts]
    return "\n".join(parts).rstrip()


def _row(variable: str, field: Any) -> str:
    default = "" if field.default in (None, PydanticUndefined) else f"`{field.default}`"
    return f"| `{variable}` | {default} | {(field.description or '').replace('|', chr(92) + '|')} |"


def command_help() -> str:
    """The help of every command, as `fovea COMMAND --help` prints it, without colour or boxes."""
    from service.cli.app import app

    parts = []
    for name, command in _commands(typer.main.get_command(app)):
        context = command.make_context(f"fovea {name}", [], resilient_parsing=True)
        usage = " ".join([f"fovea {name}", *command.collect_usage_pieces(context)])
        parts += [f"### fovea {name}", "", (command.help or "").strip(), "", f"`{usage}`", ""]
        options = [param.get_help_record(context) for param in command.params]
        parts += ["| option | meaning |", "|---|---|"]
        parts += [f"| `{_cell(record[0])}` | {_cell(record[1])} |" for record in options if record]
        parts += [""]
    return "\n".join(parts).rstrip()


def _commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its full name, those of a group (`keys create`) among them."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


PAGES: dict[str, tuple[str, Callable[[], str]]] = {
    "configuration.md": ("settings", settings_tables),
    "cli.md": ("commands", command_help),
}


def refreshed(page: str) -> str:
    """The page's text with its generated part made anew."""
    marker, make = PAGES[page]
    text = (DOCS / page).read_text(encoding="utf-8")
    before, rest = text.split(_BEGIN.format(marker), 1)
    after = rest.split(_END, 1)[1]
    return f"{before}{_BEGIN.format(marker)}\n\n{make()}\n\n{_END}{after}"


def main() -> int:
    check, behind = "--check" in sys.argv, []
    for page in PAGES:
        new = refreshed(page)
        if new != (DOCS / page).read_text(encoding="utf-8"):
            behind.append(page)
            if not check:
                (DOCS / page).write_text(new, encoding="utf-8")
    print(("behind the code: " if check else "rewritten: ") + (", ".join(behind) or "none"))
    return int(check and bool(behind))


if __name__ == "__main__":
    sys.exit(main())
