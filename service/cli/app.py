"""All commands in one list; each module registers its own."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from domain.errors import DataDirectoryInUse
from service.cli import (
    batch,
    calibrating,
    chat,
    doctor,
    documents,
    evaluation,
    explaining,
    keys,
    maintenance,
    questions,
    serving,
    training,
)
from service.cli.options import DataDir, before_command, message, show_version
from service.cli.wrong_values import reword


class Commands(TyperGroup):
    """The commands; Ctrl-C ends each of them with one line and the status that shells give a SIGINT. What is wrong with
    an option is said in our own words, and with a data directory in use whether the command can ask its server.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            reword(error)
            raise
        except DataDirectoryInUse as error:
            raise DataDirectoryInUse(f"{error.message} {self._way_round(ctx)}", code=error.code) from error
        except KeyboardInterrupt:
            message("fovea: interrupted; what was finished is kept, start it again to go on.")
            raise SystemExit(_INTERRUPTED) from None

    def _way_round(self, ctx: Any) -> str:
        command = self.get_command(ctx, ctx.invoked_subcommand)
        if command is not None and any("--url" in option.opts for option in command.params):
            return "To ask a running `fovea serve`, add --url with its address to the command."
        return f"`fovea {ctx.invoked_subcommand}` needs the directory for itself and has no --url."


_INTERRUPTED = 128 + 2
app = typer.Typer(
    name="fovea",
    cls=Commands,
    help="Answers from your documents with the fewest tokens that still hold the answer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    data_dir: DataDir = None,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Keep options that stand before the command."""
    before_command.set(data_dir)


for module in (
    documents,
    questions,
    explaining,
    chat,
    batch,
    serving,
    evaluation,
    calibrating,
    training,
    keys,
    maintenance,
    doctor,
):
    module.register(app)
