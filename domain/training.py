"""What a training run found out: new weights for the reranker, and whether they are better than the old ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from domain.calibration import LANGUAGES, ScoreMap, Thresholds

Outcome = Literal["replaced", "kept", "dry_run"]


@dataclass(frozen=True, slots=True)
class Levels:
    """What the scores of one set of weights mean where a collection was not calibrated.

    `maps` turn sentence scores into chances, by language; the `thresholds` of a language on these lose at most the
    share `targets` of its evidence. Fitted on `questions` questions about documents that did not train the weights.
    """

    maps: Mapping[str, ScoreMap]
    thresholds: Mapping[str, Thresholds]
    targets: Mapping[str, float]
    questions: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "maps": {language: one.to_dict() for language, one in self.maps.items()},
            "thresholds": {language: asdict(one) for language, one in self.thresholds.items()},
            "targets": dict(self.targets),
            "questions": self.questions,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Levels:
        thresholds, targets = data["thresholds"], data.get("targets")
        if targets is None:  # of weights from before each language had its own
            thresholds, targets = (dict.fromkeys(LANGUAGES, one) for one in (thresholds, data["target"]))
        return cls(
            maps={language: ScoreMap.from_dict(one) for language, one in data["maps"].items()},
            thresholds={language: Thresholds.from_dict(thresholds[language]) for language in LANGUAGES},
            targets={language: float(targets[language]) for language in LANGUAGES},
            questions=int(data["questions"]),
        )


class Gain(NamedTuple):
    """A mean difference, new less old, with the ends of its 95 % bootstrap interval over documents."""

    mean: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        return self._asdict()


@dataclass(frozen=True, slots=True)
class EvidenceQuality:
    """How well weights find evidence on held-out questions: nDCG@10 of the chunks, and the share of the labelled
    evidence in the best sentences worth 128 and 256 context tokens.
    """

    ndcg: float
    recall_128: float
    recall_256: float

    @property
    def mean(self) -> float:
        """Of the three: what decides between old and new weights."""
        return (self.ndcg + self.recall_128 + self.recall_256) / 3

    @classmethod
    def average(cls, several: Sequence[EvidenceQuality]) -> EvidenceQuality:
        """Each measure averaged with equal weight; needs one at least."""
        sums = (sum(getattr(one, name) for one in several) for name in ("ndcg", "recall_128", "recall_256"))
        return cls(*(total / len(several) for total in sums))

    def to_dict(self) -> dict[str, float]:
        return {**asdict(self), "mean": self.mean}


@dataclass(frozen=True, slots=True)
class CollectionGain:
    """Old and new weights on the same held-out questions about `documents` documents of one collection.

    `gain` is that of the mean of the three measures.
    """

    collection: str
    questions: int
    documents: int
    before: EvidenceQuality
    after: EvidenceQuality
    gain: Gain

    def to_dict(self) -> dict[str, Any]:
        return {
            "collection": self.collection,
            "questions": self.questions,
            "documents": self.documents,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "gain": self.gain.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class SeedResult:
    """One training run: the losses on the documents that stopped it, and the quality on those that judge it.

    seed None: no run of its own but the mean of all runs' weights, `best_step` 0.
    """

    seed: int | None
    best_step: int
    loss_before: float
    loss_after: float
    quality: EvidenceQuality

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "quality": self.quality.to_dict()}


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """A training run. `before`, `after` and `gain` are means over the collections, with equal weight.

    outcome: the new weights replaced the old ones, these were kept, or would have been replaced in a run that was dry;
    `reason` says why. `after` is that of the `best_seed`, by its loss on the documents that stopped it; None stands
    for the `average` of the weights of all seeds, which is tried where there are several. `questions`
    counts those that taught, those that stopped and levelled, and those that judged; `self_supervised` how many of all
    were made from the documents. `weights` and `adapter` are the files written, None where none was. `ingest_again`
    names the collections whose stored vectors do not suit the new weights.
    """

    outcome: Outcome
    reason: str
    before: EvidenceQuality
    after: EvidenceQuality
    gain: Gain
    collections: tuple[CollectionGain, ...]
    seeds: tuple[SeedResult, ...]
    average: SeedResult | None
    best_seed: int | None
    questions: tuple[int, int, int]
    self_supervised: int
    weights: str | None = None
    adapter: str | None = None
    ingest_again: tuple[str, ...] = ()

    @property
    def worst(self) -> float:
        """The lowest mean of the seeds' three measures."""
        return min(one.quality.mean for one in self.seeds)

    def to_dict(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "gain": self.gain.to_dict(),
            "collections": [one.to_dict() for one in self.collections],
            "seeds": [one.to_dict() for one in self.seeds],
            "seeds_mean": sum(one.quality.mean for one in self.seeds) / len(self.seeds),
            "seeds_worst": self.worst,
            "average": self.average.to_dict() if self.average else None,
            "best_seed": self.best_seed,
            "questions": dict(zip(("training", "levelling", "comparison"), self.questions, strict=True)),
            "self_supervised": self.self_supervised,
            "weights": self.weights,
            "adapter": self.adapter,
            "ingest_again": list(self.ingest_again),
        }
