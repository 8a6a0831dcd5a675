"""The command line: parse, call the engine, print.

Results go to stdout, progress and messages to stderr. Exit 0: done; 1: done with failures that the output names;
2: wrong usage or configuration.
"""

from __future__ import annotations

import io
import logging
import os
import sys

from domain.errors import DataDirectoryInUse, FoveaError, IndexModelMismatch, UsageError
from service import failpoints
from service.cli.app import app
from service.cli.options import message

_USAGE = (UsageError, IndexModelMismatch, DataDirectoryInUse)  # the caller must change something before trying again


def main() -> None:
    """The entry point of the `fovea` command."""
    _speak_any_language()
    _keep_warnings_quiet()
    try:
        failpoints.arm_from(os.environ)
        app()
    except FoveaError as error:
        message(f"fovea: {error.message}")
        sys.exit(2 if isinstance(error, _USAGE) else 1)
    except BrokenPipeError:  # `fovea list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _keep_warnings_quiet() -> None:
    """Warnings are for a server's log; a person reads in the output what became of the call."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.ERROR)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.getLogger().addHandler(handler)


def _speak_any_language() -> None:
    """Write UTF-8 into files and pipes whatever the locale; on a terminal, replace what it cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        if stream.isatty():
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8", errors="replace")
