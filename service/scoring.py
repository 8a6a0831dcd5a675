"""Which scoring a collection's questions get: the configured reranker, as a calibration run found it best.

    no calibration                 the reranker, with the default thresholds: those of its weights
    calibration, attention on      the reranker, its sentence scores turned into chances, the fitted thresholds
    calibration, attention off     the retriever's fused order: on this corpus the reranker did not help
    calibration of other parts     as if there were none, until the collection is calibrated again

A calibration belongs to encoder, token codec and reranker: scores of other parts mean something else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from attention_core.calibration import IsotonicMap, Numbers, logit, relative_chances
from context.drafts import sentences_of
from context.language import language_of
from context.selection_policy import SelectionPolicy
from domain.calibration import LANGUAGES, Calibration, ScoreMap, ScoringIdentity, Thresholds
from domain.errors import StorageError
from domain.protocols import ContextBuilder, Reranker
from domain.search import Candidate, Query, ScoredChunk

log = logging.getLogger(__name__)

# The share of the logistic line in an isotonic map: it keeps sentences of one step in order, and chances off 0 and 1.
_LINE_SHARE = 0.01


class CalibrationStore(Protocol):
    """Where calibrations are kept, by collection."""

    def get(self, collection: str) -> Calibration | None: ...

    def put(self, collection: str, calibration: Calibration) -> None:
        """Raises NotFound."""
        ...

    def remove(self, collection: str) -> bool:
        """True where there was one."""
        ...


@dataclass(frozen=True, slots=True)
class Scoring:
    """How candidates become evidence: a reranker, the maps of its sentence scores, and the thresholds on them.

    `policy` is what `builder` selects with. `maps` has one map a language, "en" and "zh"; without one of its language
    a question's scores stay as they are.
    """

    reranker: Reranker
    builder: ContextBuilder
    policy: SelectionPolicy
    maps: Mapping[str, ScoreMap] = field(default_factory=dict)

    def rerank(self, query: Query, candidates: Sequence[Candidate]) -> list[ScoredChunk]:
        """All candidates, best first, their sentence scores mapped."""
        return self.calibrated(query, self.reranker.rerank(query, candidates))

    def calibrated(self, query: Query, scored: list[ScoredChunk]) -> list[ScoredChunk]:
        """What the reranker said of a question, its sentence scores mapped; order and chunk scores stay."""
        score_map = self.maps.get(language_of(query.text))
        return scored if score_map is None else _mapped(scored, score_map)

    @property
    def thresholds(self) -> dict[str, Thresholds]:
        """By language."""
        policies = {language: self.policy.of(language) for language in LANGUAGES}
        return {language: Thresholds(one.mass_per_token, one.abstain_below) for language, one in policies.items()}


def chances(scores: Sequence[float] | Numbers, best: float, score_map: ScoreMap) -> Numbers:
    """Sentence scores in 0..1 of a question whose best one is `best` as chances, strictly in the same order."""
    line = relative_chances(logit(scores), logit(best), (score_map.slope, score_map.distance, score_map.intercept))
    if not score_map.knots:
        return line
    mixed: Numbers = (1 - _LINE_SHARE) * IsotonicMap(score_map.knots).apply(line) + _LINE_SHARE * line
    return mixed


def _mapped(scored: Sequence[ScoredChunk], score_map: ScoreMap) -> list[ScoredChunk]:
    sentences = [sentences_of(item) for item in scored]
    best = max((one.score for own in sentences for one in own), default=0.0)
    mapped = []
    for item, own in zip(scored, sentences, strict=True):
        values = chances([one.score for one in own], best, score_map).tolist()
        pairs = zip(own, values, strict=True)
        mapped.append(replace(item, sentences=tuple(replace(one, score=value) for one, value in pairs)))
    return mapped


def reranker_identity(reranker: Reranker) -> str:
    """The reranker's name and, where it has weights, their digest: other weights give other scores."""
    digest = getattr(reranker, "weights_digest", "")
    return f"{reranker.name}/{digest}" if digest else reranker.name


class CollectionScoring:
    """The scoring of each collection. Safe to share between threads; a change in this process is seen at once."""

    def __init__(
        self,
        store: CalibrationStore,
        default: Scoring,
        fused: Scoring,
        make_builder: Callable[[SelectionPolicy], ContextBuilder],
        identity: Callable[[], ScoringIdentity],
    ) -> None:
        """`identity` is asked when a calibration is found, not before: it loads the encoder."""
        self._store, self.default, self.fused = store, default, fused
        self._make_builder, self._identity = make_builder, identity
        self._known: dict[str, Scoring] = {}
        self._lock = threading.Lock()

    @property
    def identity(self) -> ScoringIdentity:
        return self._identity()

    def of(self, collection: str) -> Scoring:
        """The scoring that the collection's questions get."""
        known = self._known.get(collection)
        if known is not None:
            return known
        with self._lock:  # what is read under the lock cannot be older than a write behind it
            calibration = self.valid(collection)
            scoring = self.default if calibration is None else self.meant_by(calibration)
            self._known[collection] = scoring
        return scoring

    def meant_by(self, calibration: Calibration) -> Scoring:
        """The scoring that a calibration asks for."""
        return (
            self.with_attention(calibration.thresholds, calibration.maps) if calibration.uses_attention else self.fused
        )

    def with_attention(self, thresholds: Thresholds, maps: Mapping[str, ScoreMap]) -> Scoring:
        """The reranker with these maps, and with these thresholds on the chances that they give."""
        # A calibration is a scale. It is of one collection, whose questions are mostly of one language.
        policy = replace(self.default.policy, scaled=True, by_language={}, **asdict(thresholds))
        return Scoring(self.default.reranker, self._make_builder(policy), policy, maps)

    def valid(self, collection: str) -> Calibration | None:
        """The stored calibration, None where there is none or it is of other parts."""
        try:
            calibration = self._store.get(collection)
        except StorageError as error:
            if error.code != "storage_corrupt":
                raise
            log.warning("unreadable_calibration collection=%s", collection)  # `fovea doctor` says what to do
            return None
        if calibration is None or not (changed := calibration.identity.differences(self.identity)):
            return calibration
        log.warning("stale_calibration collection=%s other=%s", collection, ",".join(changed))
        return None

    def put(self, collection: str, calibration: Calibration) -> None:
        """Store a calibration; the next question uses it. Raises NotFound."""
        with self._lock:
            self._store.put(collection, calibration)
            self._known.pop(collection, None)

    def reset(self, collection: str) -> bool:
        """Go back to the default thresholds; False where the collection was not calibrated."""
        with self._lock:
            self._known.pop(collection, None)
            return self._store.remove(collection)

    def forget(self, collection: str) -> None:
        """Read the store again at the next question, because the collection is gone or new."""
        with self._lock:
            self._known.pop(collection, None)

    def status(self, collection: str) -> dict[str, str]:
        """One line for `fovea doctor`: calibrated or not, attention on or off, and why."""
        try:
            calibration = self._store.get(collection)
        except StorageError as error:
            return self._uncalibrated(collection, "unreadable, not used", error.message)
        if calibration is None:
            return self._uncalibrated(collection, "none", f"`fovea calibrate QUESTIONS.jsonl` {_FITS}")
        changed = calibration.identity.differences(self.identity)
        if changed:
            advice = f"made for another {' and '.join(changed)}: run `fovea calibrate QUESTIONS.jsonl` again"
            return self._uncalibrated(collection, "stale, not used", advice)
        attention = "on" if calibration.uses_attention else "off"
        return _line(collection, f"of {calibration.fitted_at[:10]}", attention, calibration.reason)

    def _uncalibrated(self, collection: str, state: str, advice: str) -> dict[str, str]:
        if self.default.reranker.name == self.fused.reranker.name:
            return _line(collection, state, "off", 'retrieval.reranker is "none"')
        return _line(collection, state, "on", f"not measured on these documents; {advice}")


_FITS = "measures whether it helps and fits the thresholds"


def _line(collection: str, calibration: str, attention: str, why: str) -> dict[str, Any]:
    return {"collection": collection, "calibration": calibration, "attention": attention, "why": why}
