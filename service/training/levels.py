"""What the scores of new weights mean: log-odds to chances, and thresholds on these.

A listwise loss compares sentences of one list and says nothing of the level: adding a number to all log-odds changes
no comparison. So after training

    log-odds ── a line through them, fitted on labelled sentences (Platt 1999) ── into the weights: slope and bias
    chances  ── maps by language, conformal thresholds ── `Levels`, used by collections that were not calibrated

The sentences come from questions about held-out documents. Each question counts twice, once with all candidates and
once without the documents that answer it, so that half of the lists have nothing to find; scores do not depend on the
rest of a list, so the second one is part of the first. Sentences of chunks that hold an answer's words somewhere else
are neither right nor wrong and are left out.

Questions that a corpus asks about itself share more words with their evidence than those of people, and thresholds
fitted on them would be too high. With no others, new weights take over the level of the old ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attention_core.calibration import Numbers, fit_platt, logistic
from attention_core.evidence import Forms
from attention_core.scorer import ScorerWeights
from context.drafts import sentences_of
from domain.protocols import Reranker, TokenCounter
from domain.search import Candidate, Query
from domain.training import Levels
from service.answer_strings import find_answer
from service.calibration.fit import cross_mapped, fit_maps, fit_thresholds
from service.calibration.observed import Observed, observed
from service.labelled_questions import LabelledQuestion, gold_sentences

# Of the retrieved evidence. With these an eighth of plain top-10 is sent over all sets; a point less in Chinese costs a
# third more tokens and finds hardly more (docs/adr/0008-calibrated-scores.md).
TARGETS = {"en": 0.02, "zh": 0.03}
_LEAST_SLOPE = 1e-3


@dataclass(frozen=True, slots=True)
class Graded:
    """Log-odds of N sentences or chunks with their labels; `elsewhere` marks those of documents without any gold."""

    log_odds: Numbers
    gold: NDArray[np.bool_]
    elsewhere: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a reranker said of one question's sentences and chunks, in the order of the candidates."""

    observed: Observed
    sentences: Graded
    chunks: Graded


def judge(
    question: LabelledQuestion,
    query: Query,
    candidates: Sequence[Candidate],
    reranker: Reranker,
    counter: TokenCounter,
) -> Judgement:
    """Ask one question whose candidates are known and keep the figures, not the texts."""
    given = reranker.rerank(query, candidates)
    seen = observed(question, query, given, counter)
    place = {one.chunk.key: at for at, one in enumerate(candidates)}
    scored = sorted(given, key=lambda one: place[one.chunk.key])
    wanted = [gold_sentences(question, one.chunk, one.document) for one in scored]
    documents = {one.document.id for one, gold in zip(scored, wanted, strict=True) if gold}
    rows: list[tuple[float, bool, bool]] = []
    chunk_rows: list[tuple[float, bool, bool]] = []
    for one, gold in zip(scored, wanted, strict=True):
        if not gold and any(find_answer(one.chunk.text, answer) for answer in question.answers):
            continue
        elsewhere = question.answerable and one.document.id not in documents
        rows += [(item.score, item.sentence.ordinal in gold, elsewhere) for item in sentences_of(one)]
        chunk_rows.append((one.score, bool(gold), elsewhere))
    return Judgement(seen, _graded(rows), _graded(chunk_rows))


def level(weights: ScorerWeights, judged: Sequence[Judgement]) -> ScorerWeights:
    """`weights` with scores that are chances, and with the levels that follow; `judged` by `weights` as they are."""
    sentence_line, chunk_line = (_line([getattr(one, name) for one in judged]) for name in ("sentences", "chunks"))
    observed = [_along(one.observed, sentence_line) for one in judged]
    moved = _through(weights, sentence_line, chunk_line)
    return replace(moved, levels=fit_levels(observed), scaled=True)


def level_like(
    weights: ScorerWeights, judged: Sequence[Judgement], old: ScorerWeights, judged_before: Sequence[Judgement]
) -> ScorerWeights:
    """`weights` with scores as high as those of `old` were on the same sentences, and with the levels of `old`."""
    lines = []
    for name in ("sentences", "chunks"):
        new, was = (np.concatenate([getattr(one, name).log_odds for one in both]) for both in (judged, judged_before))
        slope, intercept = np.polyfit(new, was, 1)
        if slope < _LEAST_SLOPE:  # nothing in common: keep the order, and the mean
            slope, intercept = 1.0, float(was.mean() - new.mean())
        lines.append((float(slope), float(intercept)))
    return replace(_through(weights, *lines), levels=old.levels, scaled=old.scaled)


def fit_levels(observed: Sequence[Observed]) -> Levels | None:
    """Maps and thresholds for a loss of `TARGETS`, or as near to it as the number of questions allows.

    A threshold from n questions can promise no less than 1 / (n + 1). None where no question found its evidence.

    Each language has thresholds of its own: common ones lost twice as much of the evidence of Chinese questions as of
    English ones. A language with too few questions gets what all together promise.
    """
    count = sum(len(one.needed) > 0 for one in observed)
    mapped = cross_mapped(observed)
    thresholds, targets = {}, {}
    for language, wanted in TARGETS.items():
        own = [one for one in mapped if one.language == language]
        found, target = fit_thresholds(own, wanted), wanted
        if found is None and count:
            target = max(wanted, 1 / (count + 1))
            found = fit_thresholds(mapped, target)
        if found is None:
            return None
        thresholds[language], targets[language] = found, target
    return Levels(fit_maps(observed), thresholds, targets, count)


def _line(graded: Sequence[Graded]) -> tuple[float, float]:
    log_odds = [part for one in graded for part in (one.log_odds, one.log_odds[one.elsewhere])]
    labels = [part for one in graded for part in (one.gold, one.gold[one.elsewhere])]
    return fit_platt(np.concatenate(log_odds), np.concatenate(labels))


def _through(weights: ScorerWeights, sentences: tuple[float, float], chunks: tuple[float, float]) -> ScorerWeights:
    """Weights whose log-odds are those of `weights` after the two lines, whose slopes are above 0."""
    (slope, intercept), (chunk_slope, chunk_intercept) = sentences, chunks
    old, network = weights.forms, weights.interaction
    forms = Forms(
        sentence=(slope * old.sentence).astype(np.float32),
        chunk=(chunk_slope * old.chunk).astype(np.float32),
        sentence_bias=slope * old.sentence_bias + intercept,
        chunk_bias=chunk_slope * old.chunk_bias + chunk_intercept,
    )
    if network is not None:  # a chunk gets `chunk` times the largest of what its sentences get
        out, share = slope * network.out, chunk_slope / slope * network.chunk
        network = replace(network, out=out.astype(np.float32), chunk=share.astype(np.float32))
    return replace(weights, forms=forms, interaction=network)


def _along(observed: Observed, line: tuple[float, float]) -> Observed:
    """The same question as the levelled weights see it."""

    def moved(values: ArrayLike) -> Numbers:
        return logistic(line[0] * _log_odds(values) + line[1])

    def one(value: float | None) -> float | None:
        return None if value is None else float(moved(value))

    best, elsewhere = one(observed.best), one(observed.best_elsewhere)
    return replace(observed, scores=moved(observed.scores), best=best, best_elsewhere=elsewhere)


def _graded(rows: Sequence[tuple[float, bool, bool]]) -> Graded:
    scores, gold, elsewhere = zip(*rows, strict=True) if rows else ((), (), ())
    return Graded(_log_odds(scores), np.array(gold, dtype=bool), np.array(elsewhere, dtype=bool))


def _log_odds(scores: ArrayLike) -> Numbers:
    """log(p / (1 - p)), as exact as a double allows: before levelling a chance may be very small or near to 1."""
    chances = np.clip(np.asarray(scores, dtype=np.float64), 1e-30, 1 - 1e-16)
    odds: Numbers = np.log(chances) - np.log1p(-chances)
    return odds
