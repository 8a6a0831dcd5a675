"""`make bench DATA=folder`: the retrieval table over the labelled sets in a folder, on stdout and as JSON."""

from __future__ import annotations

import argparse
import dataclasses

import orjson

from benchmarks import machine
from benchmarks.arguments import add_encoder, add_sets
from benchmarks.labelled import load_set
from benchmarks.retrieval import measure, table

SETS = ("xquad-en", "nq", "covidqa", "drcd-zh", "cmrc-zh")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add_sets(parser, SETS)
    add_encoder(parser)
    parser.add_argument("--questions", type=int, default=600, help="questions a set, drawn with seed 0; 0 takes all")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"{str(arguments.data)!r} is not a folder; run `make bench DATA=folder`.")
    results = {}
    for name in arguments.sets:
        labelled = load_set(arguments.data / name, arguments.questions)
        data_dir = arguments.cache / arguments.model.replace("/", "_") / name
        results[name] = measure(labelled, data_dir, arguments.cache / "models", arguments.model)
    print(table(results))
    print(f"\n{arguments.questions or 'All'} questions a set, ± half of the 95 % interval (bootstrap by document); "
          f"{arguments.model}; {machine.describe()}.")  # fmt: skip
    arguments.cache.mkdir(parents=True, exist_ok=True)
    (arguments.cache / "retrieval.json").write_bytes(
        orjson.dumps(results, option=orjson.OPT_INDENT_2, default=dataclasses.asdict)
    )


if __name__ == "__main__":
    main()
