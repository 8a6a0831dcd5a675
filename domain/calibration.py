"""What a calibration run found out about a collection, and what follows from it at question time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Outcome = Literal["replaced", "kept", "dry_run"]

LANGUAGES = ("en", "zh")  # of questions, as far as scores differ by them


@dataclass(frozen=True, slots=True)
class ScoringIdentity:
    """What sentence scores depend on: a calibration holds for these three and for no others."""

    model_id: str
    codec_id: str
    reranker: str

    def differences(self, other: ScoringIdentity) -> list[str]:
        """Which of the three differ, in words, for example ["encoder"]."""
        named = (
            ("encoder", self.model_id, other.model_id),
            ("token codec", self.codec_id, other.codec_id),
            ("reranker", self.reranker, other.reranker),
        )
        return [name for name, own, others in named if own != others]


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """Sentence scores to chances: a line through the log-odds of a score and the root of their distance to those of the
    question's best one and, where there was enough data, isotonic knots on what the line gives.
    """

    slope: float
    intercept: float
    distance: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        line = {"slope": self.slope, "intercept": self.intercept, "distance": self.distance}
        return {**line, "knots": [list(knot) for knot in self.knots]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ScoreMap:
        knots = tuple((float(score), float(chance)) for score, chance in data["knots"])
        return cls(float(data["slope"]), float(data["intercept"]), float(data["distance"]), knots)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The evidence mass that a token of a sentence must buy for it to be sent, and the score that a question's best
    sentence needs for anything to be sent.
    """

    mass_per_token: float
    abstain_below: float

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Thresholds:
        return cls(float(data["mass_per_token"]), float(data["abstain_below"]))


@dataclass(frozen=True, slots=True)
class ScoringQuality:
    """How one way of scoring does on held-out questions; None where it cannot be said of that way.

    ndcg: nDCG@10 of the chunks. evidence_recall: the share of the labelled evidence in the context at the default
    budget. context_tokens: mean a question. evidence_loss: the share of the retrieved evidence that the thresholds give
    up, whatever the budget. abstention: the share of unanswerable questions for which nothing is sent; auroc: how well
    the best sentence score tells them from answerable ones. ece, log_loss: of the sentence scores as chances.
    best_ece: of the score of each question's best sentence.
    """

    ndcg: float
    evidence_recall: float
    context_tokens: float
    evidence_loss: float | None = None
    abstention: float | None = None
    auroc: float | None = None
    ece: float | None = None
    best_ece: float | None = None
    log_loss: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ScoringQuality:
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one collection's questions say about scoring: whether attention helps, and which scores are worth sending.

    `thresholds` are chances, after `maps` (by language, "en" and "zh"); `target` is the share of the evidence that they
    may lose. `questions` counts those of the fitting half and of the held-out half. `attention` and `fused` are the
    quality on the latter of the reranker so calibrated and of the retriever's own order; `reason` says what follows.
    """

    identity: ScoringIdentity
    uses_attention: bool
    reason: str
    thresholds: Thresholds
    target: float
    maps: Mapping[str, ScoreMap]
    attention: ScoringQuality
    fused: ScoringQuality
    questions: tuple[int, int]
    fitted_at: str

    @property
    def quality(self) -> ScoringQuality:
        """Of the scoring that this calibration chooses."""
        return self.attention if self.uses_attention else self.fused

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self.identity),
            "uses_attention": self.uses_attention,
            "reason": self.reason,
            **asdict(self.thresholds),
            "target": self.target,
            "maps": {language: one.to_dict() for language, one in self.maps.items()},
            "attention": self.attention.to_dict(),
            "fused": self.fused.to_dict(),
            "questions": list(self.questions),
            "fitted_at": self.fitted_at,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        rest = dict(data)
        fitted, held_out = rest.pop("questions")
        thresholds = (rest.pop(name) for name in ("mass_per_token", "abstain_below"))
        return cls(
            identity=ScoringIdentity(rest.pop("model_id"), rest.pop("codec_id"), rest.pop("reranker")),
            maps={language: ScoreMap.from_dict(one) for language, one in rest.pop("maps").items()},
            thresholds=Thresholds(*thresholds),
            attention=ScoringQuality.from_dict(rest.pop("attention")),
            fused=ScoringQuality.from_dict(rest.pop("fused")),
            questions=(fitted, held_out),
            **rest,
        )


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """One calibration run: scoring `before` it and with the new `calibration`, on the same held-out questions.

    `outcome` says what became of it: it replaced the stored one, that one was kept, or it would have replaced it in a
    run that was dry; `reason` says why. `losses` maps targets to the evidence loss that thresholds fitted for them had
    on the held-out questions, None where there were too few questions to fit one; `loss_interval` is the 95 % interval
    of that for the calibration's own target. `skipped` counts answerable questions whose evidence retrieval did not
    find: no threshold can change that. `warnings` are sentences about what the thresholds do not promise, and what to
    do.
    """

    collection: str
    outcome: Outcome
    reason: str
    before: ScoringQuality
    calibration: Calibration
    losses: Mapping[str, float | None] = field(default_factory=lambda: MappingProxyType({}))
    loss_interval: tuple[float, float] | None = None
    skipped: int = 0
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "collection": self.collection,
            "outcome": self.outcome,
            "reason": self.reason,
            "before": self.before.to_dict(),
            "after": self.calibration.quality.to_dict(),
            "evidence_loss_at_target": dict(self.losses),
            "evidence_loss_interval": list(self.loss_interval) if self.loss_interval else None,
            "questions_without_retrieved_evidence": self.skipped,
            "warnings": list(self.warnings),
            "calibration": self.calibration.to_dict(),
        }
