"""Fovea beside LangChain, LlamaIndex, Haystack and txtai: evidence tokens, answer recall, IoU, times.

    python -m benchmarks.peers --data FOLDER --sets xquad-en,nq [--questions 200] [--peers LangChain,txtai]

Tables go to stdout, progress to stderr, and everything, question by question, to a JSON file that is written anew after
each set. Needs `pip install 'fovea-rag[peers]'`; no network.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks import machine
from benchmarks.arguments import CACHE
from benchmarks.peers.arms import LIBRARIES, Lineup, versions
from benchmarks.peers.measuring import Product, measure
from benchmarks.peers.offline import go_offline
from benchmarks.peers.report import POOLED, Row, chosen_settings, pooled, promise, promises, rows, table
from benchmarks.peers.results import Indexed, SetResult
from benchmarks.peers.sets import load
from domain.errors import ConfigurationError
from service.bootstrap import build_parts
from service.engine import Engine
from service.settings import EncoderSettings, Settings

SETS = ("xquad-en", "nq", "covidqa", "drcd-zh", "cmrc-zh", "selqa-test")


def main() -> None:
    given = _arguments()
    go_offline()
    warnings.simplefilter("ignore")  # the libraries warn of their own successors
    logging.getLogger("langchain_text_splitters.base").setLevel(logging.ERROR)  # of every sentence above 300 characters
    results: list[SetResult] = []
    tables: dict[str, list[Row]] = {}
    try:
        known = _measured_before(given)
        for name in given.sets.split(","):
            results.append(known.get(name) or _measured(given.data / name, given))
            tables[name] = rows(results[-1])
            _write(given, results, tables)
            print(f"{table(name, tables[name])}\n", flush=True)
    except ConfigurationError as error:
        sys.exit(str(error))
    _sum_up(given, results, tables)


def _sum_up(given: argparse.Namespace, results: list[SetResult], tables: dict[str, list[Row]]) -> None:
    """What only all sets together show, and how it was made."""
    judged = list(results)
    if len(results) > 1:
        judged.append(pooled(results))
        tables[POOLED] = rows(judged[-1])
        _write(given, results, tables)
        print(f"{table('all sets', tables[POOLED])}\n")
    found = [promise(result, tables[result.name]) for result in judged]
    print(f"{chosen_settings(results)}\n\n{promises([one for one in found if one])}\n")
    print(_made_by(given, results[0].tokenizer))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder a labelled set")
    parser.add_argument("--sets", default=",".join(SETS), help="comma-separated names of folders")
    parser.add_argument("--questions", type=int, default=200, help="questions a set, drawn with seed 0; 0 takes all")
    parser.add_argument("--peers", default=",".join(LIBRARIES), help="comma-separated libraries")
    parser.add_argument("--model", default="multilingual-e5-small", help="encoder of all, as in the settings")
    parser.add_argument("--weights", default="auto", help="of the product's reranker, as in the settings")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the encoder is kept")
    parser.add_argument("--output", type=Path, default=CACHE / "peers.json", help="file for everything measured")
    parser.add_argument("--resume", action="store_true", help="keep the sets that --output holds from the same commit")
    given = parser.parse_args()
    unknown = set(given.peers.split(",")) - set(LIBRARIES)
    if unknown:
        parser.error(f"There is no library {', '.join(sorted(unknown))}; choose among {', '.join(LIBRARIES)}.")
    return given


def _measured(folder: Path, given: argparse.Namespace) -> SetResult:
    """All of one set; the product's data lives in a folder of its own and is gone afterwards."""
    labelled = load(folder, given.questions)
    encoder = EncoderSettings(models_dir=given.cache / "models", model=given.model, weights=given.weights)
    given.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.cache, prefix="peers-") as data_dir:
        parts = build_parts(Settings(data_dir=Path(data_dir), encoder=encoder), on_message=_tell)
        with Engine(parts) as engine:
            parts.encoder.embed_query("Loads the model before any clock runs.")
            started = time.perf_counter()
            report = engine.ingest([labelled.corpus])
            own = Indexed(sum(one.chunks for one in report.documents), time.perf_counter() - started)
            _tell(f"{folder.name}: Fovea, {own.chunks:,} chunks in {own.seconds:.1f} s")
            product = Product(engine.search, own, parts.encoder, parts.counter)
            return measure(labelled, product, Lineup.of(given.peers.split(",")), _tell)


def _write(given: argparse.Namespace, results: Sequence[SetResult], tables: Mapping[str, Sequence[Row]]) -> None:
    found = (promise(result, tables[result.name]) for result in results)
    document = {
        "command": _command(given),
        "made_with": _made_with(given),
        "promises": [one.to_dict() for one in found if one],
        "rows": {name: [row.to_dict() for row in lines] for name, lines in tables.items()},
        "sets": [result.to_dict() for result in results],
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def _measured_before(given: argparse.Namespace) -> dict[str, SetResult]:
    """With --resume the sets that the output file holds, if they were made in just the same way. Raises
    ConfigurationError where a package is missing: before hours are spent.
    """
    same = _made_with(given)
    if not (given.resume and given.output.is_file()):
        return {}
    before = orjson.loads(given.output.read_bytes())
    if before["made_with"] != same:
        return {}
    return {one["name"]: SetResult.from_dict(one) for one in before["sets"]}


def _made_with(given: argparse.Namespace) -> dict[str, Any]:
    """All that a figure depends on, but the set."""
    own = {name: getattr(given, name) for name in ("questions", "peers", "model", "weights")}
    return {**own, "machine": machine.describe(), "versions": versions(given.peers.split(","))}


def _made_by(given: argparse.Namespace, counter: str) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in versions(given.peers.split(",")).items())
    asked = f"{given.questions} questions a set, drawn with seed 0" if given.questions else "All questions of each set"
    return (
        f"`{_command(given)}`. {asked}; 95 % intervals, bootstrap over documents. Encoder {given.model} for all, "
        f"tokens of {counter}. {packages}. {machine.describe()}."
    )


def _command(given: argparse.Namespace) -> str:
    return (
        f"python -m benchmarks.peers --data DATA --sets {given.sets} --questions {given.questions} "
        f"--peers {given.peers} --model {given.model} --weights {given.weights}"
    )


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
