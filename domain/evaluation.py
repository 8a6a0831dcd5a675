"""What an evaluation run found out: how much of the labelled evidence arrives, and for how many tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class Estimate(NamedTuple):
    """A value with the ends of its 95 % bootstrap interval over documents; infinite where it is never reached."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """What is not finite becomes None: JSON has no number for it."""
        return {name: value if math.isfinite(value) else None for name, value in self._asdict().items()}


@dataclass(frozen=True, slots=True)
class Asked:
    """The questions of a run. `documents` are the clusters that the intervals draw.

    `without_candidate` counts answerable questions whose evidence is in none of the candidates: no context can hold
    it. `unknown_documents` counts questions labelled with a document that the collection does not hold.
    `repeated_elsewhere` counts those that are missed by their labels, though their evidence was sent word for word, out
    of another document that says the same.
    """

    answerable: int
    unanswerable: int
    documents: int
    without_candidate: int
    unknown_documents: int
    repeated_elsewhere: int

    @property
    def total(self) -> int:
        return self.answerable + self.unanswerable

    def to_dict(self) -> dict[str, int]:
        return {"total": self.total, **asdict(self)}


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """AR@B: the share of the labelled evidence that contexts of at most `budget` tokens hold.

    `context_tokens` is the mean of what they really have: sentences are sent whole, so it stays below the budget.
    """

    budget: int
    answer_recall: Estimate
    context_tokens: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "budget": self.budget,
            "answer_recall": self.answer_recall.to_dict(),
            "context_tokens": self.context_tokens,
        }


@dataclass(frozen=True, slots=True)
class Curve:
    """AR@B by ascending budget, and what follows from it.

    t95: the tokens at which the curve reaches 95 % of the answer recall of plain dense top-10. cf95: the tokens of
    plain dense top-10 over those. Infinite, and 0, where the curve does not get there within its budgets.
    """

    points: tuple[CurvePoint, ...]
    t95: Estimate
    cf95: Estimate

    def to_dict(self) -> dict[str, Any]:
        return {
            "curve": [point.to_dict() for point in self.points],
            "t95": self.t95.to_dict(),
            "cf95": self.cf95.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What is sent, on average, for an answerable question, and how much of its evidence that holds."""

    context_tokens: Estimate
    answer_recall: Estimate

    def to_dict(self) -> dict[str, Any]:
        return {"context_tokens": self.context_tokens.to_dict(), "answer_recall": self.answer_recall.to_dict()}


@dataclass(frozen=True, slots=True)
class SpanQuality:
    """Characters of the evidence against those of labelled references, averaged over `questions` questions.

    recall: the share of the references that is sent. precision: the share of what is sent that is in a reference.
    iou: what both share of what either has. 0 for a question for which nothing is sent.
    """

    questions: int
    recall: Estimate
    precision: Estimate
    iou: Estimate

    def to_dict(self) -> dict[str, Any]:
        named = {name: getattr(self, name).to_dict() for name in ("recall", "precision", "iou")}
        return {"questions": self.questions, **named}


@dataclass(frozen=True, slots=True)
class PlainComparison:
    """The operating point against plain dense top-10 on the same questions.

    token_factor: how many times fewer context tokens. recall_difference: answer recall, the point's less plain's.
    spans: as in the report, of plain top-10.
    """

    plain: OperatingPoint
    token_factor: Estimate
    recall_difference: Estimate
    spans: SpanQuality | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.plain.to_dict(),
            "token_factor": self.token_factor.to_dict(),
            "recall_difference": self.recall_difference.to_dict(),
            "spans": self.spans.to_dict() if self.spans else None,
        }


@dataclass(frozen=True, slots=True)
class Abstention:
    """auroc: how well the best sentence score tells answerable questions from others. false_abstentions: the share of
    answerable questions for which nothing is sent; false_answers: of unanswerable ones for which something is.

    None where no unanswerable question was asked.
    """

    false_abstentions: Estimate
    false_answers: Estimate | None
    auroc: Estimate | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "false_abstentions": self.false_abstentions.to_dict(),
            "false_answers": self.false_answers.to_dict() if self.false_answers else None,
            "auroc": self.auroc.to_dict() if self.auroc else None,
        }


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one stage over all questions."""

    median: float
    p95: float

    def to_dict(self) -> dict[str, float]:
        return {"median": round(self.median, 2), "p95": round(self.p95, 2)}


@dataclass(frozen=True, slots=True)
class PromptCost:
    """Tokens of whole prompts: `median` of those that were sent, `mean` a question where an abstention costs nothing,
    `plain` the mean with plain dense top-10 in place of the evidence.

    price: US dollars per million tokens, None where none was given.
    """

    median: float
    mean: float
    plain: float
    price: float | None = None

    def dollars(self, tokens: float) -> float | None:
        """What a thousand questions of so many prompt tokens cost."""
        return None if self.price is None else tokens * self.price / 1000

    def to_dict(self) -> dict[str, float | None]:
        return {
            **asdict(self),
            "dollars_per_1000": self.dollars(self.mean),
            "plain_dollars_per_1000": self.dollars(self.plain),
        }


@dataclass(frozen=True, slots=True)
class BaselineReport:
    """Another way of choosing evidence, over the same candidates. `at_k` maps numbers of pieces to what these cost and
    hold; `piece` names one: a chunk, a sentence, a window. `note` says how the method was run.
    """

    name: str
    piece: str
    note: str
    curve: Curve
    at_k: Mapping[int, OperatingPoint]

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "piece": self.piece,
            "note": self.note,
            **self.curve.to_dict(),
            "at_k": [{"k": k, **point.to_dict()} for k, point in self.at_k.items()],
        }


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound that was asked for, and the value that it is for. `least`: the value must not be below the bound, else
    it must not be above.
    """

    name: str
    bound: float
    value: float
    least: bool

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.least else self.value <= self.bound

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "bound": self.bound, "value": self.value, "met": self.met}


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Quality per token on labelled questions about one collection.

    `above_curve` is the answer recall of the operating point less that of the curve where its contexts have as many
    tokens: what it brings that their number follows the question. `left_out` says why a baseline was not run.
    """

    collection: str
    tokenizer: str
    reranker: str
    asked: Asked
    point: OperatingPoint
    median_context_tokens: float
    above_curve: Estimate
    curve: Curve
    plain: PlainComparison
    ndcg: Estimate
    spans: SpanQuality | None
    abstention: Abstention
    prompt: PromptCost
    latency: Mapping[str, Latency]
    baselines: tuple[BaselineReport, ...]
    left_out: Mapping[str, str]
    limits: tuple[Limit, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every limit is met; true without any."""
        return all(limit.met for limit in self.limits)

    def to_dict(self) -> dict[str, Any]:
        return {
            "collection": self.collection,
            "tokenizer": self.tokenizer,
            "reranker": self.reranker,
            "questions": self.asked.to_dict(),
            "operating_point": {
                **self.point.to_dict(),
                "median_context_tokens": self.median_context_tokens,
                "above_curve": self.above_curve.to_dict(),
            },
            **self.curve.to_dict(),
            "plain_top_10": self.plain.to_dict(),
            "ndcg_10": self.ndcg.to_dict(),
            "spans": self.spans.to_dict() if self.spans else None,
            "abstention": self.abstention.to_dict(),
            "prompt_tokens": self.prompt.to_dict(),
            "latency_ms": {stage: one.to_dict() for stage, one in self.latency.items()},
            "baselines": [one.to_dict() for one in self.baselines],
            "left_out": dict(self.left_out),
            "limits": [limit.to_dict() for limit in self.limits],
            "passed": self.passed,
            "seconds": round(self.seconds, 2),
        }
