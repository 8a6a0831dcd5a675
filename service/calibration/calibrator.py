"""Calibrates a collection on labelled questions: does attention help here, and which scores are worth sending?

    questions ─┬─ fitting half ── maps (score -> chance) ── thresholds (conformal risk control)
               └─ held-out half ─ before, after and the fused order, side by side ── decide, store or keep

The halves share no document. Attention is switched off where it ranks worse than the retriever's own order: nDCG@10
lower by more than half a point, and evidence recall at the default budget not better. The point estimates decide, not
their intervals: the fused order is the modest choice, and waiting until harm is certain would do the harm meanwhile.
One of the two measures alone does not decide: the order of the chunks may suffer while better sentences are sent, and
these are what reaches the model.

A new calibration replaces the stored one where that is missing, made for other parts or for another target, where the
decision about attention differs, or where the new one is better on the held-out questions: no further above the
target, and its chances of a lower log loss. The same questions twice change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from attention_core.calibration import questions_needed
from domain.calibration import Calibration, CalibrationReport, Outcome, ScoreMap, ScoringQuality, Thresholds
from domain.errors import UsageError
from domain.search import Candidate, Filters, Query
from service.calibration.fit import cross_mapped, evidence_loss, fit_maps, fit_thresholds, loss_interval, score_quality
from service.calibration.observed import Observed, observe, split_by_document
from service.calibration.promise import warnings
from service.calibration.side_by_side import Measured, measure
from service.labelled_questions import LabelledQuestion
from service.parts import Parts
from service.question_encoding import checked_question, encode_question

DEFAULT_TARGET = 0.05
SHOWN_TARGETS = (0.02, 0.05, 0.10)
_TOLERATED = 0.005  # of nDCG@10: half a point below the fused order is within what a corpus varies by
_LEAST_HELD_OUT = 10  # answerable questions: fewer say nothing about either order
_SEED = 0

Progress = Callable[[int, int], None]


class Calibrator:
    """Puts labelled questions to one collection and finds out how its candidates are best scored."""

    def __init__(self, parts: Parts, collection: str, progress: Progress | None = None) -> None:
        """`progress` is told (done, total): the questions of the held-out half are asked twice."""
        self._parts, self._scoring, self._collection = parts, parts.scoring, collection
        self._progress = progress or (lambda done, total: None)
        self._done = self._total = 0

    def run(self, questions: Sequence[LabelledQuestion], target: float = DEFAULT_TARGET) -> CalibrationReport:
        """Fit on one half and compare on the other; nothing is stored. Raises UsageError for sets that are too small.

        `outcome` is what follows for the stored calibration: "replaced" or "kept".
        """
        self._check(target)
        fitting, held_out = split_by_document(questions, _SEED)
        self._done, self._total = 0, len(fitting) + 2 * len(held_out)
        fitted, checked = self._observed(fitting), self._observed(held_out)
        _check_size(fitted, checked, target)
        thresholds, maps, losses = self._fit(fitted, checked, target)
        after = self._scoring.with_attention(thresholds, maps)
        scorings = (self._scoring.of(self._collection), after, self._scoring.fused)
        before, attention, fused = measure(held_out, scorings, self._encode, self._retrieve, self._step)
        uses_attention, reason = _attention_helps(attention, fused)
        calibration = Calibration(
            identity=self._scoring.identity,
            uses_attention=uses_attention,
            reason=reason,
            thresholds=thresholds,
            target=target,
            maps=maps,
            attention=_quality(attention, checked),
            fused=fused.quality(),
            questions=(len(fitting), len(held_out)),
            fitted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        was = before.quality() if before.scoring is self._scoring.fused else _quality(before, checked)
        replaces, why = _verdict(self._scoring.valid(self._collection), was, calibration)
        skipped = sum(one.question.answerable and not len(one.needed) for one in (*fitted, *checked))
        outcome: Outcome = "replaced" if replaces else "kept"
        loss = loss_interval([one.mapped(maps) for one in checked], thresholds)
        return CalibrationReport(
            collection=self._collection,
            outcome=outcome,
            reason=why,
            before=was,
            calibration=calibration,
            losses=losses,
            loss_interval=(loss.low, loss.high) if loss else None,
            skipped=skipped,
            warnings=warnings(calibration, sum(len(one.needed) > 0 for one in fitted), loss),
        )

    def _fit(
        self, fitted: Sequence[Observed], checked: Sequence[Observed], target: float
    ) -> tuple[Thresholds, dict[str, ScoreMap], dict[str, float | None]]:
        """Thresholds and maps, and what thresholds for several targets lose of the held-out half's evidence."""
        maps = fit_maps(fitted)
        here, there = cross_mapped(fitted), [one.mapped(maps) for one in checked]
        fits = {share: fit_thresholds(here, share) for share in sorted({*SHOWN_TARGETS, target})}
        losses = {f"{share:g}": evidence_loss(there, fit) if fit else None for share, fit in fits.items()}
        chosen = fits[target]
        assert chosen is not None  # _check_size has seen enough questions
        return chosen, maps, losses

    def _observed(self, questions: Sequence[LabelledQuestion]) -> list[Observed]:
        observed = []
        for question in questions:
            reranker, counter = self._scoring.default.reranker, self._parts.counter
            observed.append(observe(question, self._encode, self._retrieve, reranker, counter))
            self._step()
        return observed

    def _encode(self, question: str) -> Query:
        return encode_question(self._parts, checked_question(self._parts, question), Filters(self._collection))

    def _retrieve(self, query: Query) -> list[Candidate]:
        return self._parts.retriever.search(query, self._parts.candidates)

    def _check(self, target: float) -> None:
        if not 0 < target < 1:
            raise UsageError(f"The target is {target:g}; it is the share of evidence that may be lost, such as 0.05.")
        if self._scoring.default.reranker.name == self._scoring.fused.reranker.name:
            raise UsageError('retrieval.reranker is "none": there are no scores to calibrate; set it to "attention".')

    def _step(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)


def _check_size(fitted: Sequence[Observed], checked: Sequence[Observed], target: float) -> None:
    usable, answerable = (sum(len(one.needed) > 0 for one in half) for half in (fitted, checked))
    if not usable + answerable:
        raise UsageError(
            "Retrieval found the gold evidence of none of the questions. Are their documents in this collection, under "
            "the ids or sources that the file names?",
            code="no_gold_evidence",
        )
    needed = questions_needed(target)
    if usable < needed or answerable < _LEAST_HELD_OUT:
        raise UsageError(
            f"{usable} questions whose evidence was retrieved are left to fit on and {answerable} to check on. A "
            f"target of {target:g} needs {needed} and {_LEAST_HELD_OUT}: label more questions, about "
            f"{2 * max(needed, _LEAST_HELD_OUT)} in all, or choose a larger --target.",
            code="too_few_questions",
        )


def _quality(measured: Measured, observed: Sequence[Observed]) -> ScoringQuality:
    mapped = [one.mapped(measured.scoring.maps) for one in observed]
    return score_quality(measured.quality(), mapped, measured.scoring.thresholds)


def _attention_helps(attention: Measured, fused: Measured) -> tuple[bool, str]:
    """Whether attention stays on, and the figures that say so."""
    gain, recall = attention.gain_over(fused), attention.recall_over(fused)
    helps = gain.mean >= -_TOLERATED or recall.mean > 0
    ours, theirs = attention.quality(), fused.quality()
    return helps, (
        f"nDCG@10 {ours.ndcg:.3f} against {theirs.ndcg:.3f} of the fused order ({100 * gain.mean:+.1f} points, 95 % "
        f"interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}), evidence recall {ours.evidence_recall:.3f} "
        f"against {theirs.evidence_recall:.3f}, on {len(attention.gain)} held-out questions"
    )


def _verdict(stored: Calibration | None, before: ScoringQuality, new: Calibration) -> tuple[bool, str]:
    """Whether the new calibration replaces the stored one, and why."""
    if stored is None:
        return True, "the collection had no calibration for these parts"
    if stored.target != new.target:
        return True, f"the stored calibration is for a target of {stored.target:g}"
    if stored.uses_attention != new.uses_attention:
        return True, f"attention {'helps' if new.uses_attention else 'does not help'} on these documents now"
    if not new.uses_attention:
        return False, "attention does not help on these documents, as before"
    over, was_over = (max(0.0, (one.evidence_loss or 0.0) - new.target) for one in (new.attention, before))
    loss, was = new.attention.log_loss or 0.0, before.log_loss or 0.0
    figures = f"log loss {loss:.5f} after {was:.5f}, evidence loss {over:.3f} above the target after {was_over:.3f}"
    if over <= was_over and loss < was:
        return True, f"better on the held-out questions: {figures}"
    return False, f"not better on the held-out questions: {figures}"
