"""From observed scores to maps and thresholds, and how good these are on other questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from attention_core.calibration import (
    Interval,
    IsotonicMap,
    allowed_loss,
    auroc,
    expected_calibration_error,
    fit_relative,
    log_loss,
    logit,
    paired_difference,
    questions_needed,
    risk_controlled_threshold,
)
from domain.calibration import ScoreMap, ScoringQuality, Thresholds
from service.calibration.observed import Observed, deal

Limits: TypeAlias = Thresholds | Mapping[str, Thresholds]  # the same for all questions, or by language

ISOTONIC_QUESTIONS = 200  # of one language: below that, the steps of an isotonic map are noise
_OWN_NEGATIVES = 20  # as many labelled unanswerable questions stand on their own; fewer are joined by self-made ones
_PRICELESS = 1.0  # more than a token can buy: the best sentence of a question is sent at any price
_FOLDS = 5
_TAIL = 0.025  # on either side of a 95 % interval
_ABSTENTION_SHARE = 0.05  # of the target: sentences need it more, and hardly save fewer tokens with it


def fit_maps(observed: Sequence[Observed], least: int | None = None) -> dict[str, ScoreMap]:
    """A map a language: isotonic from `least` questions on (`ISOTONIC_QUESTIONS`), else its line alone.

    A language whose questions have no gold sentence among their candidates gets none.
    """
    least = ISOTONIC_QUESTIONS if least is None else least
    maps = {}
    for language in sorted({one.language for one in observed}):
        own = [one for one in observed if one.language == language and len(one.scores)]
        if not any(one.gold.any() for one in own):
            continue
        scores, gold = (np.concatenate([getattr(one, name) for one in own]) for name in ("scores", "gold"))
        best = np.concatenate([np.full(len(one.scores), one.best) for one in own])
        slope, distance, intercept = fit_relative(logit(scores), logit(best), gold)
        line = ScoreMap(slope, intercept, distance)
        maps[language] = line
        if sum(one.question.answerable for one in own) >= least:
            given = np.concatenate([one.mapped({language: line}).scores for one in own])
            maps[language] = replace(line, knots=IsotonicMap.fit(given, gold).knots)
    return maps


def cross_mapped(observed: Sequence[Observed]) -> list[Observed]:
    """Every question mapped by maps that were fitted without it and the others about its document.

    For picking thresholds: maps flatter the questions that they were fitted on, so that thresholds from these lose more
    of new questions than they promise. By folds of documents, `_FOLDS` or as many as there are; what is about one
    document alone is mapped by its own maps. The order of the questions stays.

    The best scores are those of the maps of all questions. They are compared with one another only, and maps of two
    folds can lie further apart than the best scores of answerable and unanswerable questions.
    """
    maps = fit_maps(observed)
    folds = _folds(observed)
    if len(folds) < 2:
        return [one.mapped(maps) for one in observed]
    # Steps where the maps in use have some: thresholds on a line mean something else.
    least = int(ISOTONIC_QUESTIONS * (1 - 1 / len(folds)))
    mapped: dict[int, Observed] = {}
    for fold in folds:
        others = [one for at, one in enumerate(observed) if at not in fold]
        apart = {**maps, **fit_maps(others, least)}
        mapped |= {at: observed[at].mapped(apart) for at in fold}
    whole = (one.mapped(maps) for one in observed)
    return [replace(mapped[at], best=one.best, best_elsewhere=one.best_elsewhere) for at, one in enumerate(whole)]


def _folds(observed: Sequence[Observed]) -> list[set[int]]:
    """At most `_FOLDS` sets of places that share no document."""
    clusters: dict[str, list[int]] = {}
    for at, one in enumerate(observed):
        clusters.setdefault(one.question.cluster, []).append(at)
    return [set(fold) for fold in deal(dict(sorted(clusters.items())), min(_FOLDS, len(clusters)))]


def fit_thresholds(observed: Sequence[Observed], target: float) -> Thresholds | None:
    """Thresholds that lose at most `target` of the retrieved evidence of new questions, in expectation.

    First the abstention: where it parts answerable from unanswerable questions best, but turning away no more of the
    answerable ones than a twentieth of what the target allows to lose. Then the largest price that a sentence may have
    with which both together keep the target. None where there are too few questions whose evidence was retrieved.

    Risk control holds for the second threshold given the first; that the first was picked on the same n questions can
    cost up to 1 / (n + 1) more: 3 points with 33 questions, a fifth of a point with 500.
    """
    found = _found(observed)
    if len(found) < questions_needed(target):
        return None
    bests = [one.best or 0.0 for one in found]
    abstain = _abstention(bests, negatives(observed), int(allowed_loss(len(found), target) * _ABSTENTION_SHARE))
    worth = [np.minimum(one.worth()[one.needed], _PRICELESS) for one in found]
    least = risk_controlled_threshold(worth, target, [best < abstain for best in bests])
    return None if least is None else Thresholds(least, abstain)


def _abstention(answerable: Sequence[float], unanswerable: Sequence[float], most: int) -> float:
    """The threshold of the largest Youden index (1950), lowered to where at most `most` answerable ones are lost."""
    if not unanswerable:
        return 0.0
    places = np.unique([*answerable, *unanswerable])
    lost = np.searchsorted(np.sort(answerable), places) / len(answerable)
    refused = np.searchsorted(np.sort(unanswerable), places) / len(unanswerable)
    return min(sorted(answerable)[most], float(places[np.argmax(refused - lost)]))


def negatives(observed: Sequence[Observed]) -> list[float]:
    """The best scores for unanswerable questions: those labelled so, where they are few with self-made ones."""
    return [best for _, best in _negatives(observed)]


def _negatives(observed: Sequence[Observed]) -> list[tuple[Observed, float]]:
    labelled = [(one, one.best) for one in observed if not one.question.answerable]
    made = [(one, one.best_elsewhere) for one in observed] if len(labelled) < _OWN_NEGATIVES else []
    return [(one, best) for one, best in (*labelled, *made) if best is not None]


def evidence_loss(observed: Sequence[Observed], limits: Limits) -> float | None:
    """The mean share of the retrieved evidence that the thresholds give up; None where nothing was retrieved."""
    losses = [_lost(one, limits) for one in _found(observed)]
    return float(np.mean(losses)) if losses else None


def loss_interval(observed: Sequence[Observed], limits: Limits) -> Interval | None:
    """`evidence_loss` with its 95 % bootstrap interval over documents; None where nothing was retrieved.

    Where nothing was lost there is nothing to draw: then it ends where none lost of so many documents is a chance of
    one in forty (Clopper & Pearson 1934).
    """
    found = _found(observed)
    if not found:
        return None
    clusters = [one.question.cluster for one in found]
    losses = [_lost(one, limits) for one in found]
    if not any(losses):
        return Interval(0.0, 0.0, 1 - _TAIL ** (1 / len(set(clusters))))
    return paired_difference(losses, [0.0] * len(losses), clusters)


def _lost(one: Observed, limits: Limits) -> float:
    """The share of what a question needs that is not sent."""
    thresholds = _of(one, limits)
    if (one.best or 0.0) < thresholds.abstain_below:
        return 1.0
    return float(np.mean(one.worth()[one.needed] < thresholds.mass_per_token))


def _of(one: Observed, limits: Limits) -> Thresholds:
    return limits if isinstance(limits, Thresholds) else limits[one.language]


def score_quality(bare: ScoringQuality, observed: Sequence[Observed], limits: Limits) -> ScoringQuality:
    """`bare` with the fields that follow from scores and thresholds alone."""
    own = [one for one in observed if len(one.scores)]
    scores, gold = (np.concatenate([getattr(one, name) for one in own]) for name in ("scores", "gold"))
    tops = np.array([one.best for one in own], dtype=np.float64)
    hits = np.array([one.gold[np.argmax(one.scores)] for one in own], dtype=np.float64)
    found, refused = [one.best or 0.0 for one in _found(own)], negatives(own)
    turned_away = [best < _of(one, limits).abstain_below for one, best in _negatives(own)]
    return replace(
        bare,
        evidence_loss=evidence_loss(own, limits),
        abstention=float(np.mean(turned_away)) if turned_away else None,
        auroc=auroc(found, refused) if found and refused else None,
        ece=expected_calibration_error(scores, gold),
        best_ece=expected_calibration_error(tops, hits),
        log_loss=log_loss(scores, gold),
    )


def _found(observed: Sequence[Observed]) -> list[Observed]:
    return [one for one in observed if len(one.needed)]
