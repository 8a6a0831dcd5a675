"""From what was sent to tables: means, ratios against the product, and whether the product keeps its promise.

Every interval comes from the same resamples of whole documents, and ratios and differences are taken in each resample,
so that both sides are judged by the same questions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks import markdown
from benchmarks.peers.judging import Sent
from benchmarks.peers.results import PRODUCT, Indexed, SetResult
from domain.evaluation import Estimate
from service.evaluation.bootstrap import Bootstrap, Resampled

POOLED = "all"
_TIMES_FEWER = 4.0  # than the leanest default, at the default settings
_LOSS = 0.02  # of answer recall, which the interval must exclude
_HEAD = ("arm", "evidence tokens", "times the product's", "prompt", "answer recall", "product's less its", "IoU",
         "ms, p50 / p95", "times the product's", "index, s")  # fmt: skip
_PROMISE_HEAD = ("set", "leanest default", "times the product's tokens", "product's recall less its", "both kept")


@dataclass(frozen=True, slots=True)
class Row:
    """One arm on one set, or on all.

    factor: its evidence tokens over the product's. advantage: answer recall, the product's less its. slower: its time
    over the product's on the same question, geometric mean. prompt: tokens, mean.
    """

    title: str
    tokens: Estimate
    factor: Estimate
    prompt: float
    recall: Estimate
    advantage: Estimate
    iou: Estimate | None
    median: float
    p95: float
    slower: Estimate
    indexed: Indexed

    def to_dict(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("tokens", "factor", "recall", "advantage", "iou", "slower")}
        shown = {name: value.to_dict() if value else None for name, value in own.items()}
        times = {"median_ms": round(self.median, 2), "p95_ms": round(self.p95, 2)}
        return {"title": self.title, "prompt": round(self.prompt, 1), **shown, **times, "index": asdict(self.indexed)}


def rows(result: SetResult) -> list[Row]:
    """The product first, then every arm in the order in which it was measured."""
    resampled = Bootstrap(result.clusters).means(_columns(result))
    return [_row(title, result, resampled) for title in result.sent]


def _columns(result: SetResult) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {}
    own = result.sent[PRODUCT]
    for title, sent in result.sent.items():
        columns[f"{title} tokens"] = [one.tokens for one in sent]
        columns[f"{title} recall"] = [one.recall for one in sent]
        columns[f"{title} iou"] = [math.nan if one.iou is None else one.iou for one in sent]
        columns[f"{title} slower"] = [
            math.log(one.milliseconds / mine.milliseconds) for one, mine in zip(sent, own, strict=True)
        ]
    return columns


def _row(title: str, result: SetResult, means: Resampled) -> Row:
    sent = result.sent[title]
    times = [one.milliseconds for one in sent]
    return Row(
        title=title,
        tokens=means[f"{title} tokens"],
        factor=means.of(lambda mean: _ratio(mean[f"{title} tokens"], mean[f"{PRODUCT} tokens"])),
        prompt=float(np.mean([one.prompt for one in sent])),
        recall=means[f"{title} recall"],
        advantage=means.of(lambda mean: mean[f"{PRODUCT} recall"] - mean[f"{title} recall"]),
        iou=means[f"{title} iou"] if any(one.iou is not None for one in sent) else None,
        median=float(np.median(times)),
        p95=float(np.quantile(times, 0.95)),
        slower=means.of(lambda mean: math.exp(mean[f"{title} slower"])),
        indexed=result.indexed[title],
    )


def _ratio(many: float, few: float) -> float:
    return many / few if few else math.inf


def pooled(results: Sequence[SetResult]) -> SetResult:
    """All questions of all sets as one, each set's documents its own; index times and chunks are summed."""
    titles = list(results[0].sent)
    sent: dict[str, list[Sent]] = {title: [one for result in results for one in result.sent[title]] for title in titles}
    indexed = {
        title: Indexed(
            sum(result.indexed[title].chunks for result in results),
            sum(result.indexed[title].seconds for result in results),
        )
        for title in titles
    }
    clusters = tuple(f"{result.name}/{cluster}" for result in results for cluster in result.clusters)
    return SetResult(POOLED, clusters, sent, indexed, results[0].defaults, results[0].tokenizer)


def table(name: str, lines: Sequence[Row]) -> str:
    """Markdown: one line an arm."""
    return f"### {name}\n\n{markdown.table(_HEAD, map(_cells, lines))}"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.title,
        _plain(row.tokens, 0),
        "" if row.title == PRODUCT else _plain(row.factor, 1),
        f"{row.prompt:,.0f}",
        _plain(row.recall, 3),
        "" if row.title == PRODUCT else _plain(row.advantage, 3),
        _plain(row.iou, 3) if row.iou else "",
        f"{row.median:.0f} / {row.p95:.0f}",
        "" if row.title == PRODUCT else _plain(row.slower, 2),
        f"{row.indexed.seconds:.1f}",
    )


def _plain(value: Estimate, digits: int) -> str:
    return f"{value.value:,.{digits}f} [{value.low:,.{digits}f}, {value.high:,.{digits}f}]"


def chosen_settings(results: Sequence[SetResult]) -> str:
    """Markdown: what each library's best was, for both halves of the documents of each set."""
    rows = (
        (result.name, title.partition(",")[0], *names) for result in results for title, names in result.settings.items()
    )
    return markdown.table(("set", "library", "chosen for one half", "for the other"), rows)


@dataclass(frozen=True, slots=True)
class Promise:
    """The product against the leanest default of one set: enough fewer tokens, and no answer recall lost for it."""

    name: str
    leanest: Row

    @property
    def fewer(self) -> bool:
        return self.leanest.factor.value >= _TIMES_FEWER

    @property
    def as_good(self) -> bool:
        return self.leanest.advantage.low > -_LOSS

    def cells(self) -> tuple[str, ...]:
        own = self.leanest
        kept = "yes" if self.fewer and self.as_good else "no: " + ", ".join(self._missed())
        return (self.name, own.title, _plain(own.factor, 1), _plain(own.advantage, 3), kept)

    def _missed(self) -> list[str]:
        return [name for name, kept in (("tokens", self.fewer), ("recall", self.as_good)) if not kept]

    def to_dict(self) -> dict[str, Any]:
        return {"set": self.name, "leanest": self.leanest.title, "fewer": self.fewer, "as_good": self.as_good}


def promise(result: SetResult, lines: Sequence[Row]) -> Promise | None:
    """None where no library was asked with its defaults."""
    defaults = [row for row in lines if row.title in result.defaults]
    return Promise(result.name, min(defaults, key=lambda row: row.tokens.value)) if defaults else None


def promises(found: Sequence[Promise]) -> str:
    """Markdown: one line a set."""
    return markdown.table(_PROMISE_HEAD, (one.cells() for one in found))
