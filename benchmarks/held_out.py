"""Which documents of a labelled set may judge trained weights, and the set as the product has ingested it.

`benchmarks.weights` makes a collection with the name of the set, and `fovea train` holds documents of it out by a hash
of their ids there. The same hash is taken here, whatever collection the measurement itself uses:

    levelling     half of the held-out documents: stopped the training and set the levels of the scores
    comparison    the other half: decided nothing that is fitted

A set that no weights are trained on is held out as a whole, and divided into such halves as well. So is a set of your
own, whose name is none of those that teach.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from attention_core.scorer import ScorerWeights
from benchmarks.labelled import LabelledSet, drawn, load_set
from domain.documents import document_id
from domain.search import DEFAULT_TENANT
from service.bootstrap import build_parts
from service.engine import Engine
from service.factories import scorer_weights
from service.labelled_questions import LabelledQuestion
from service.parts import Parts
from service.settings import EncoderSettings, Settings
from service.training.split import Split, split_clusters

TAUGHT = ("nq", "covidqa", "drcd-zh", "cmrc-zh", "selqa-dev", "selqa-test", "policyqa")  # the shipped weights
UNSEEN = ("xquad-en",)  # sets that nothing is trained on, nor on anything alike


def split_of(name: str, documents: Iterable[str]) -> Split:
    """The halves of the set `name`, as its questions name documents; `documents`: all that these are about."""
    if name not in TAUGHT:
        ordered = sorted(set(documents), key=lambda one: hashlib.sha256(one.encode()).digest())
        return Split(frozenset(ordered[0::2]), frozenset(ordered[1::2]))
    known = {f"document {document_id(DEFAULT_TENANT, name, one)}": one for one in documents}
    split = split_clusters(known, 0)
    return Split(*(frozenset(known[cluster] for cluster in half) for half in (split.levelling, split.comparison)))


def judging(labelled: LabelledSet, most: int) -> tuple[LabelledQuestion, ...]:
    """At most `most` questions, drawn with seed 0, about documents that taught no weights; 0 takes all."""
    held = split_of(labelled.name, (one.document for one in labelled.filled if one.document)).held_out
    return drawn([one for one in labelled.filled if one.document in held], most)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The questions of a set about the two halves of its held-out documents."""

    name: str
    corpus: Path
    levelling: tuple[LabelledQuestion, ...]
    comparison: tuple[LabelledQuestion, ...]


def load(folder: Path, most: int) -> HeldOut:
    """The set in `folder` with at most `most` questions in each half, drawn with seed 0; 0 takes all."""
    whole = load_set(folder, 0)
    halves = split_of(folder.name, (one.document for one in whole.filled if one.document))
    levelling, comparison = (
        drawn([one for one in whole.filled if one.document in half], most)
        for half in (halves.levelling, halves.comparison)
    )
    return HeldOut(folder.name, whole.corpus, levelling, comparison)


def copy_settings(name: str, weights: str, cache: Path, model: str) -> tuple[Settings, ScorerWeights | None]:
    """Settings for the ingested copy of the set `name` in `cache`, and the weights that `weights` chooses.

    All measurements share these copies, one for each set of trained layers; `weights` is as in the settings.
    """
    encoder = EncoderSettings(models_dir=cache / "models", model=model, weights=weights)
    own = scorer_weights(Settings(data_dir=cache, encoder=encoder))
    folder = f"{name}-{own.digest}" if own is not None and own.about.get("trained") else name
    return Settings(data_dir=cache / model / folder, encoder=encoder), own


@contextmanager
def ingested(corpus: Path, weights: Path | None, cache: Path, model: str) -> Iterator[tuple[Parts, ScorerWeights]]:
    """The parts over the ingested set in `corpus`'s folder, and the weights they use; None means the untrained ones.

    What is missing in `cache` is ingested first. Raises ValueError for an encoder without weights.
    """
    choice = "untrained" if weights is None else str(weights)
    settings, own = copy_settings(corpus.parent.name, choice, cache, model)
    if own is None:
        raise ValueError(f"There are no weights for the encoder {model}; name a model that has some with --model.")
    parts = build_parts(settings)
    with Engine(parts) as engine:
        engine.ingest([corpus])
        yield parts, own
