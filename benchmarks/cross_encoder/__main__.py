"""Train the cross-encoder of docs/attention.md, and write its graphs.

    python -m benchmarks.cross_encoder train --data FOLDER [--steps 300] [--output FOLDER]

It reads the collections that `python -m benchmarks.weights` ingests, and ingests them where they are missing. About
half an hour on two cores. A run that was killed finds its candidates anew, which takes minutes, and goes on from its
last checkpoint. `python -m benchmarks.attention --cross-encoder FOLDER` compares the result.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.arguments import add_encoder
from benchmarks.cross_encoder.graph import export
from benchmarks.cross_encoder.network import CrossNetwork
from benchmarks.cross_encoder.training import Options, PairSet, gather, train
from benchmarks.weights import TrainingCorpus, add_training_sets, corpora, ingest, training_settings
from service.bootstrap import build_parts
from service.cli.progress import Stages
from service.engine import Engine
from service.training.tokens import Step


def main() -> None:
    usual = Options()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cross_encoder", description=__doc__)
    command = parser.add_subparsers(dest="command", required=True).add_parser("train", help="train and convert")
    add_training_sets(command)
    add_encoder(command)
    command.add_argument("--steps", type=int, default=usual.steps)
    command.add_argument("--questions", type=int, default=usual.questions, help="of one step")
    command.add_argument("--negatives", type=int, default=usual.negatives, help="for each question")
    command.add_argument("--most", type=int, default=1200, help="questions of one set that candidates are found for")
    command.add_argument("--output", type=Path, help="where the graphs go; default: cross-encoder in the cache")
    given = parser.parse_args()
    sets = corpora(given.data, given.sets, given.unseen)
    options = Options(given.steps, given.questions, given.negatives)
    run(sets, given.model, given.cache, given.output or given.cache / "cross-encoder", options, given.most)


def run(sets: list[TrainingCorpus], model: str, cache: Path, output: Path, options: Options, most: int) -> None:
    """Ingest, find candidates, train, and write the graphs into `output`; the checkpoint goes when they stand."""
    settings = training_settings(model, cache)
    gathered: list[PairSet] = []
    with Engine(parts := build_parts(settings)) as engine, Stages() as stages:
        ingest(engine, sets, cache)
        network = CrossNetwork(_folder(model, settings.models_dir), options.seed)
        for one in sets:
            told = _named(stages.update, one.name)
            gathered.append(gather(parts, one, network.encoder, most, told))
    for found in gathered:
        print(f"{found.training.name}: {len(found.training.examples)} questions that teach", flush=True)
    checkpoint = output / "checkpoint.pt"
    train(network, gathered, options, checkpoint, lambda line: print(line, flush=True))
    export(network, output)
    checkpoint.unlink(missing_ok=True)  # there is none of a run of no steps
    print(f"Written into {output}.")


def _named(step: Step, name: str) -> Step:
    return lambda what, done, total: step(f"{what} ({name})", done, total)


def _folder(model: str, models_dir: Path) -> Path:
    """The folder of a model: a path as it is, else that which the encoder was unpacked into."""
    return path if (path := Path(model)).is_dir() else models_dir / model


if __name__ == "__main__":
    main()
