"""What the commands that ask a small model share."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.arguments import CACHE

SETS = ("xquad-en", "nq", "covidqa", "drcd-zh", "cmrc-zh", "selqa-test")


def parser_of(name: str, description: str | None, kept: str) -> argparse.ArgumentParser:
    """A parser for `python -m NAME`, which writes the files `kept`."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder a labelled set")
    parser.add_argument("--base-url", required=True, help="of the OpenAI-compatible API, usually ending in /v1")
    parser.add_argument("--sets", default=",".join(SETS), help="comma-separated names of folders")
    parser.add_argument("--questions", type=int, default=40, help="questions a set, drawn with seed 0; 0 takes all")
    parser.add_argument(
        "--examples", type=int, default=3, help="worked examples; 0 for a model that was taught to chat"
    )
    parser.add_argument("--answer-tokens", type=int, default=48, help="of an answer at most")
    parser.add_argument("--llm", default="default", help="name that the API knows its model by")
    parser.add_argument("--model", default="multilingual-e5-small", help="encoder, as in the settings")
    parser.add_argument(
        "--weights", default="auto", help='of the reranker, as in the settings: "auto", the shipped ones'
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help="where ingested sets and models are kept")
    parser.add_argument("--output", type=Path, default=CACHE, help=f"folder for {kept}")
    return parser
