"""What the command lines of the benchmarks share: which sets, which encoder, and where copies are kept."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

CACHE = Path(__file__).parent / ".cache"
IMAGES = Path(__file__).parent.parent / "docs" / "images"


def add_sets(parser: argparse.ArgumentParser, default: Sequence[str], use: str = "") -> None:
    """`--data` and `--sets`, a list of names; `use` says what the sets are for."""
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder a labelled set")
    parser.add_argument(
        "--sets", type=comma_separated, default=",".join(default), help=f"comma-separated names of folders{use}"
    )


def add_halves(parser: argparse.ArgumentParser) -> None:
    """`--questions` and `--weights`, of what asks about both halves of the held-out documents."""
    parser.add_argument("--questions", type=int, default=200, help="questions in each half of a set; 0 takes all")
    parser.add_argument("--weights", type=Path, help="the trained .safetensors; the untrained ones where left out")


def comma_separated(text: str) -> list[str]:
    """The names in a comma-separated list."""
    return text.split(",")


def add_encoder(parser: argparse.ArgumentParser, kept: str = "ingested sets and models") -> None:
    """`--model` and `--cache`; `kept` says what the cache holds."""
    parser.add_argument("--model", default="multilingual-e5-small", help="encoder, as in the settings")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"where {kept} are kept")
