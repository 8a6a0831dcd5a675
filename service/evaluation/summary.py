"""From what happened to each question to the figures of a report, all with intervals from the same resamples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from domain.evaluation import (
    Abstention,
    BaselineReport,
    Curve,
    CurvePoint,
    Estimate,
    Latency,
    OperatingPoint,
    PlainComparison,
    PromptCost,
    SpanQuality,
)
from service.evaluation.asking import KS, Outcome, Sent
from service.evaluation.baselines import Baseline
from service.evaluation.bootstrap import Bootstrap, Means
from service.evaluation.measures import SHARE, recall_at, tokens_for_recall

_NOT = float("nan")  # a question that a column is not about
_OVERLAPS = ("recall", "precision", "iou")


class Summary:
    """The measures of one run; needs an answerable question at least."""

    def __init__(self, outcomes: Sequence[Outcome], budgets: Sequence[int], baselines: Sequence[Baseline]) -> None:
        self._outcomes, self._budgets, self._baselines = outcomes, budgets, baselines
        self._bootstrap = Bootstrap([one.question.cluster for one in outcomes])
        self._means = self._bootstrap.means(_columns(outcomes, budgets, [one.name for one in baselines]))

    # -- our own -----------------------------------------------------------------------------------------------------

    def point(self) -> OperatingPoint:
        return OperatingPoint(self._means["tokens"], self._means["recall"])

    def median_tokens(self) -> float:
        return float(np.median([one.point.tokens for one in self._outcomes if one.question.answerable]))

    def above_curve(self) -> Estimate:
        """Recall of the operating point less that of the curve where it sends as many tokens."""

        def above(mean: Means) -> float:
            sent = [mean[f" sent@{budget}"] for budget in self._budgets]
            return mean["recall"] - recall_at(sent, self._at(mean), mean["tokens"])

        return self._means.of(above)

    def curve(self, method: str = "") -> Curve:
        """Ours, or that of a baseline."""
        points = tuple(
            CurvePoint(budget, self._means[f"{method}@{budget}"], self._means[f"{method} sent@{budget}"].value)
            for budget in self._budgets
        )
        reached = self._reached(method)
        factor = self._means.of(lambda mean: mean["plain tokens"] / reached(mean))
        return Curve(points, self._means.of(reached), factor)

    def _reached(self, method: str) -> Callable[[Means], float]:
        def tokens(mean: Means) -> float:
            return tokens_for_recall(self._budgets, self._at(mean, method), SHARE * mean["plain recall"])

        return tokens

    def _at(self, mean: Means, method: str = "") -> list[float]:
        return [mean[f"{method}@{budget}"] for budget in self._budgets]

    def plain(self) -> PlainComparison:
        return PlainComparison(
            plain=OperatingPoint(self._means["plain tokens"], self._means["plain recall"]),
            token_factor=self._means.of(lambda mean: _ratio(mean["plain tokens"], mean["tokens"])),
            recall_difference=self._means.of(lambda mean: mean["recall"] - mean["plain recall"]),
            spans=self._spans("plain "),
        )

    def ndcg(self) -> Estimate:
        return self._means["ndcg"]

    def spans(self) -> SpanQuality | None:
        return self._spans("")

    def _spans(self, prefix: str) -> SpanQuality | None:
        labelled = sum(one.point.overlap is not None for one in self._outcomes)
        return SpanQuality(labelled, *(self._means[f"{prefix}span {name}"] for name in _OVERLAPS)) if labelled else None

    def abstention(self) -> Abstention:
        answerable = np.array([one.question.answerable for one in self._outcomes])
        if answerable.all():
            return Abstention(self._means["false abstention"], None, None)
        auroc = self._bootstrap.auroc([one.best for one in self._outcomes], answerable)
        return Abstention(self._means["false abstention"], self._means["false answer"], auroc)

    # -- what it takes -----------------------------------------------------------------------------------------------

    def prompt(self, price: float | None) -> PromptCost:
        sent = [one.prompt for one in self._outcomes if not one.abstained]
        return PromptCost(
            median=float(np.median(sent)) if sent else 0.0,
            mean=float(np.mean([one.prompt for one in self._outcomes])),
            plain=float(np.mean([one.bare + one.plain.tokens for one in self._outcomes])),
            price=price,
        )

    def latency(self) -> dict[str, Latency]:
        """By stage, in the order in which they run, and in total."""
        stages = {name: [one.timings[name] for one in self._outcomes] for name in self._outcomes[0].timings}
        return {
            name: Latency(float(np.median(times)), float(np.quantile(times, 0.95))) for name, times in stages.items()
        }

    # -- baselines ---------------------------------------------------------------------------------------------------

    def baselines(self) -> tuple[BaselineReport, ...]:
        return tuple(
            BaselineReport(
                one.name,
                one.piece,
                one.note,
                self.curve(one.name),
                {
                    k: OperatingPoint(self._means[f"{one.name} tokens {k}"], self._means[f"{one.name} recall {k}"])
                    for k in KS
                },
            )
            for one in self._baselines
        )


class _Measure(Protocol):
    def __call__(self, outcome: Outcome) -> float: ...


def _columns(outcomes: Sequence[Outcome], budgets: Sequence[int], names: Sequence[str]) -> Mapping[str, list[float]]:
    """One number a question and measure, NaN where the question is none of the measure's."""

    def answerable(measure: _Measure) -> list[float]:
        return [measure(one) if one.question.answerable else _NOT for one in outcomes]

    columns = {
        "tokens": answerable(lambda outcome: outcome.point.tokens),
        "recall": answerable(lambda outcome: outcome.point.recall),
        "plain tokens": answerable(lambda outcome: outcome.plain.tokens),
        "plain recall": answerable(lambda outcome: outcome.plain.recall),
        "ndcg": answerable(lambda outcome: outcome.ndcg),
        "false abstention": answerable(lambda outcome: outcome.abstained),
        "false answer": [_NOT if one.question.answerable else float(not one.abstained) for one in outcomes],
    }
    for at, budget in enumerate(budgets):
        columns[f"@{budget}"] = answerable(lambda outcome, at=at: outcome.curve[at].recall)
        columns[f" sent@{budget}"] = answerable(lambda outcome, at=at: outcome.curve[at].tokens)
        for name in names:
            columns[f"{name}@{budget}"] = answerable(
                lambda outcome, at=at, name=name: outcome.baselines[name].curve[at].recall
            )
            columns[f"{name} sent@{budget}"] = answerable(
                lambda outcome, at=at, name=name: outcome.baselines[name].curve[at].tokens
            )
    for name in names:
        for at, k in enumerate(KS):
            columns[f"{name} tokens {k}"] = answerable(
                lambda outcome, at=at, name=name: outcome.baselines[name].at_k[at].tokens
            )
            columns[f"{name} recall {k}"] = answerable(
                lambda outcome, at=at, name=name: outcome.baselines[name].at_k[at].recall
            )
    for measure in _OVERLAPS:
        columns[f"span {measure}"] = [_overlap(one.point, measure) for one in outcomes]
        columns[f"plain span {measure}"] = [_overlap(one.plain, measure) for one in outcomes]
    return columns


def _overlap(sent: Sent, measure: str) -> float:
    return _NOT if sent.overlap is None else float(getattr(sent.overlap, measure))


def _ratio(many: float, few: float) -> float:
    return many / few if few else float("inf")
