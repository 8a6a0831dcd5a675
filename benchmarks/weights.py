"""The shipped weights, made anew: `make weights DATA=folder` trains them with what `fovea train` runs, and no more.

    python -m benchmarks.weights --data FOLDER [--model all-MiniLM-L6-v2 --sets nq,covidqa] [--output FOLDER]

Every set becomes a collection. Its questions (at most 2,400 of one, so that none drowns the others) and some that the
collection asks itself teach. What is kept out, so that the tables of docs/attention.md mean something:

    held-out documents    the split of `fovea train`, by a hash of each document's id; their questions stop and judge
    near-duplicates       documents that share a quarter of their 13-grams with a held-out one of any set, or with one
                          of the `--unseen` sets, which are never trained on (13-grams: Brown et al. 2020, appendix C)

Over an hour on two free cores for the default encoder, 3.5 seconds a step. A run that was killed goes on when it is
started again.
"""

from __future__ import annotations

import argparse
import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.arguments import add_encoder, add_sets, comma_separated
from benchmarks.held_out import TAUGHT, UNSEEN, split_of
from benchmarks.labelled import drawn, load_set, read_rows
from domain.training import TrainingReport
from service.bootstrap import build_engine
from service.cli.progress import Stages
from service.engine import Engine
from service.labelled_questions import LabelledQuestion
from service.settings import EncoderSettings, Settings

_MOST, _HELD = 2400, 600  # questions of one set that teach, and that stop and judge
_FEWER = {"policyqa": 600}  # asks the same of many documents: such questions teach sentences, and judge nothing
_GRAM, _ALIKE = 13, 0.25
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")
_WEIGHTS = Path(__file__).parent.parent / "attention_core" / "weights"


@dataclass(frozen=True, slots=True)
class TrainingCorpus:
    """A set without what must not teach: rows of documents, and questions about them.

    held_out: documents whose questions stop and judge. left_out: how many documents there are no more.
    """

    name: str
    documents: list[dict[str, Any]]
    questions: list[LabelledQuestion]
    held_out: frozenset[str]
    left_out: int


def corpora(data: Path, sets: Sequence[str], unseen: Sequence[str]) -> list[TrainingCorpus]:
    """The sets in the folder `data`, purged of documents that are nearly those which judge."""
    documents = {name: read_rows(data / name, "corpus.jsonl") for name in (*sets, *unseen)}
    questions = {name: load_set(data / name, 0).filled for name in sets}
    held = {name: split_of(name, (one.document for one in questions[name] if one.document)).held_out for name in sets}
    judging: set[int] = set()
    for name, rows in documents.items():
        judging.update(*(_grams(row["text"]) for row in rows if name in unseen or row["id"] in held[name]))
    return [_purged(name, documents[name], questions[name], held[name], judging) for name in sets]


def _purged(
    name: str,
    documents: list[dict[str, Any]],
    questions: Sequence[LabelledQuestion],
    held: frozenset[str],
    judging: set[int],
) -> TrainingCorpus:
    kept = [row for row in documents if row["id"] in held or not _alike(row["text"], judging)]
    known = {row["id"] for row in kept}
    asked = [one for one in questions if one.document in known]
    teaching = [one for one in asked if one.document not in held]
    holding = [one for one in asked if one.document in held]
    taken = [*drawn(teaching, _FEWER.get(name, _MOST)), *drawn(holding, _HELD)]
    return TrainingCorpus(name, kept, taken, held, len(documents) - len(kept))


def _grams(text: str) -> set[int]:
    words = _WORD.findall(text.casefold())
    return {hash(tuple(words[at : at + _GRAM])) for at in range(len(words) - _GRAM + 1)}


def _alike(text: str, judging: set[int]) -> bool:
    grams = _grams(text)
    return bool(grams) and len(grams & judging) >= _ALIKE * len(grams)


def training_settings(model: str, cache: Path) -> Settings:
    """Of the data directory in which every set is a collection, with the encoder as it came."""
    encoder = EncoderSettings(models_dir=cache / "models", model=model, weights="untrained")
    return Settings(data_dir=cache / "training" / model.replace("/", "_"), encoder=encoder)


def ingest(engine: Engine, sets: Sequence[TrainingCorpus], cache: Path) -> None:
    """Each set into a collection with its name; what is there already stays."""
    for one in sets:
        path = cache / "training" / "corpora" / f"{one.name}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(b"\n".join(orjson.dumps(row) for row in one.documents), mtime=0))
        engine.ingest([path], collection=one.name)


def train(sets: Sequence[TrainingCorpus], model: str, cache: Path, **request: Any) -> TrainingReport:
    """Ingest with the encoder as it came, train as the `request` says, write what is better into its output folder."""
    shown = " ".join(f"--{name} {request[field]}" for name, field in (
        ("steps", "steps"), ("seeds", "seeds"), ("made", "self_supervised")
    ))  # fmt: skip
    names = ",".join(one.name for one in sets)
    command = f"python -m benchmarks.weights --data DATA --model {model} --sets {names} {shown}"
    with build_engine(training_settings(model, cache)) as engine, Stages() as stages:
        ingest(engine, sets, cache)
        questions = {one.name: one.questions for one in sets}
        return engine.train(questions, progress=stages.update, adapt=True, command=command, **request)


def add_training_sets(parser: argparse.ArgumentParser) -> None:
    """`--data`, `--sets` and `--unseen`, which `corpora` takes."""
    add_sets(parser, TAUGHT, " to train on")
    alike = "those that nothing alike may be trained on"
    parser.add_argument("--unseen", type=comma_separated, default=",".join(UNSEEN), help=alike)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weights", description=__doc__)
    add_training_sets(parser)
    add_encoder(parser)
    parser.add_argument("--steps", type=int, default=1000, help="of each seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many; of several the best is kept, or their mean")
    parser.add_argument("--made", type=int, default=600, help="questions that each collection asks itself")
    parser.add_argument("--output", type=Path, default=_WEIGHTS, help="where the weights go")
    parser.add_argument("--dry-run", action="store_true", help="compare only; without it the same command then saves")
    given = parser.parse_args()
    sets = corpora(given.data, given.sets, given.unseen)
    for one in sets:
        print(f"{one.name}: {len(one.documents)} documents ({one.left_out} near-duplicates left out), "
              f"{len(one.questions)} questions", flush=True)  # fmt: skip
    report = train(
        sets,
        given.model,
        given.cache,
        steps=given.steps,
        seeds=given.seeds,
        self_supervised=given.made,
        output=given.output,
        dry_run=given.dry_run,
    )
    print(orjson.dumps(report.to_dict(), option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    main()
