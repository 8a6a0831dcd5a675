"""`make bench DATA=folder`: the tables of docs/benchmarks.md about the shipped weights, one after the other, on stdout.

What is sent by default, what quoted answers hold, and how all methods rank the same candidates. Half an hour on two
cores; each is a command of its own with more options.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import attention_core
from benchmarks import attention, operating_point, quoting
from benchmarks.arguments import add_encoder

_SETS = "xquad-en,nq,covidqa,drcd-zh,cmrc-zh,selqa-test"
_WEIGHTS = Path(attention_core.__file__).parent / "weights"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder a labelled set")
    parser.add_argument("--sets", default=_SETS, help="comma-separated names of folders")
    add_encoder(parser)
    given = parser.parse_args()
    if not given.data.is_dir():
        parser.error(f"{str(given.data)!r} is not a folder; run `make bench DATA=folder`.")
    weights = _WEIGHTS / f"{given.model}.safetensors"
    if not weights.is_file():
        parser.error(
            f"No trained weights ship for the encoder {given.model!r}; measure with --weights, one table at a time."
        )
    shared = ["--data", given.data, "--sets", given.sets, "--model", given.model, "--cache", given.cache]
    arguments = [str(one) for one in (*shared, "--weights", weights)]
    for title, table in (
        ("What is sent by default", operating_point.main),
        ("Quoted answers", quoting.main),
        ("Ranking and evidence per token", attention.main),
    ):
        print(f"\n## {title}\n", flush=True)
        table(arguments)


if __name__ == "__main__":
    main()
