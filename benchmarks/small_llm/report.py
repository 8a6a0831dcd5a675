"""Tables of a run: what prompts cost, what answers were worth, and what is not in either.

Costs compare questions that the model was asked in every arm: where the product abstains it sends nothing, and that
would only flatter it. Answers compare questions whose prompts the model could read, and there an abstention is an
answer that is worth nothing. Ratios are of means. All intervals are 95 %, bootstrapped over documents, and those of
ratios and differences are paired by question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import markdown
from benchmarks.small_llm.asking import Trial
from benchmarks.small_llm.prompts import ARMS
from benchmarks.small_llm.scores import unit_f1
from domain.evaluation import Estimate
from service.evaluation.bootstrap import Bootstrap

TOP, OURS, GOLD = ARMS
_NOT = float("nan")  # the question is not about this measure


@dataclass(frozen=True, slots=True)
class SetResult:
    """The trials of one set, and how many questions were left out because no document holds their labelled answer."""

    trials: tuple[Trial, ...]
    unlabelled: int = 0

    @property
    def asked(self) -> int:
        return len(self.trials) + self.unlabelled


def pooled(results: Mapping[str, SetResult]) -> SetResult:
    """All sets as one; each counts by its questions."""
    trials = tuple(trial for one in results.values() for trial in one.trials)
    return SetResult(trials, sum(one.unlabelled for one in results.values()))


def measures(trials: Sequence[Trial]) -> dict[str, Estimate]:
    """Everything that is estimated, by name, over the trials that are whole; without what no question is about."""
    whole = [one for one in trials if one.whole]
    columns = {name: values for name, values in _columns(whole).items() if any(value == value for value in values)}
    if not columns:
        return {}
    resampled = Bootstrap([one.cluster for one in whole]).means(columns)
    found = {name: resampled[name] for name in columns}
    for arm in (OURS, GOLD):
        for measure in ("tokens", "ms"):
            if f"{arm} {measure}" in columns:
                found[f"{measure} ratio {arm}"] = resampled.of(_ratio(f"{TOP} {measure}", f"{arm} {measure}"))
        for measure in ("f1", "holds"):
            if f"{arm} {measure}" in columns:
                found[f"{measure} gain {arm}"] = resampled.of(_gain(f"{arm} {measure}", f"{TOP} {measure}"))
    return found


def _ratio(many: str, few: str) -> Callable[[Mapping[str, float]], float]:
    return lambda means: means[many] / means[few]


def _gain(own: str, other: str) -> Callable[[Mapping[str, float]], float]:
    return lambda means: means[own] - means[other]


def _columns(trials: Sequence[Trial]) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {}
    for arm in ARMS:
        answers = [one.answers[arm] for one in trials]
        read = [one.answers[arm].read if one.all_read else None for one in trials]
        columns |= {
            f"{arm} tokens": [float(item.prompt_tokens) if item else _NOT for item in read],
            f"{arm} ms": [item.prompt_ms if item else _NOT for item in read],
            f"{arm} held": [answer.held for answer in answers],
            f"{arm} f1": [answer.f1 for answer in answers],
            f"{arm} holds": [float(answer.holds_answer) for answer in answers],
            f"{arm} agreement": [unit_f1(one.answers[arm].text, one.answers[TOP].text) for one in trials],
        }
    return columns


# -- Markdown --------------------------------------------------------------------------------------------------------

_COST_HEAD = ("set", "questions", *(f"tokens, {arm}" for arm in ARMS), "tokens, top-10 / ours",
              *(f"ms, {arm}" for arm in ARMS), "ms, top-10 / ours", "ms, top-10 / gold")  # fmt: skip
_WORTH_HEAD = ("set", "questions", *(f"F1, {arm}" for arm in ARMS), "F1, ours - top-10",
               *(f"says it, {arm}" for arm in ARMS), "says it, ours - top-10",
               "agrees, ours", "agrees, gold", "evidence in top-10", "evidence in ours")  # fmt: skip
_COUNTS_HEAD = ("set", "asked", "label not found", *(f"beyond window, {arm}" for arm in ARMS), "product abstained",
                *(f"model abstained, {arm}" for arm in ARMS), "prompts partly cached")  # fmt: skip


def tables(results: Mapping[str, SetResult], found: Mapping[str, Mapping[str, Estimate]]) -> str:
    """Three tables with a line a set; `found` holds the `measures` of each."""
    costs = [[name, *_cost_cells(one, found[name])] for name, one in results.items()]
    worths = [[name, *_worth_cells(one, found[name])] for name, one in results.items()]
    counts = [[name, *map(str, _counts(one))] for name, one in results.items()]
    columns = ((_COST_HEAD, costs), (_WORTH_HEAD, worths), (_COUNTS_HEAD, counts))
    return "\n\n".join(markdown.table(head, rows) for head, rows in columns)


def _cost_cells(one: SetResult, found: Mapping[str, Estimate]) -> list[str]:
    return [
        str(sum(trial.all_read for trial in one.trials)),
        *(_mean(found, f"{arm} tokens", ",.0f") for arm in ARMS),
        _with_interval(found, f"tokens ratio {OURS}", ".1f"),
        *(_mean(found, f"{arm} ms", ",.0f") for arm in ARMS),
        _with_interval(found, f"ms ratio {OURS}", ".1f"),
        _with_interval(found, f"ms ratio {GOLD}", ".1f"),
    ]


def _worth_cells(one: SetResult, found: Mapping[str, Estimate]) -> list[str]:
    return [
        str(sum(trial.whole for trial in one.trials)),
        *(_mean(found, f"{arm} f1", ".3f") for arm in ARMS),
        _with_interval(found, f"f1 gain {OURS}", "+.3f"),
        *(_mean(found, f"{arm} holds", ".3f") for arm in ARMS),
        _with_interval(found, f"holds gain {OURS}", "+.3f"),
        *(_with_interval(found, f"{arm} agreement", ".3f") for arm in (OURS, GOLD)),
        *(_mean(found, f"{arm} held", ".3f") for arm in (TOP, OURS)),
    ]


def _counts(one: SetResult) -> list[int]:
    answers = {arm: [trial.answers[arm] for trial in one.trials if arm in trial.answers] for arm in ARMS}
    return [
        one.asked,
        one.unlabelled,
        *(len(one.trials) - len(answers[arm]) for arm in ARMS),
        sum(answer.read is None for answer in answers[OURS]),
        *(sum(answer.read is not None and not answer.text for answer in answers[arm]) for arm in ARMS),
        sum(answer.read is not None and answer.read.cached > 0 for arm in ARMS for answer in answers[arm]),
    ]


def _mean(found: Mapping[str, Estimate], name: str, form: str) -> str:
    return format(found[name].value, form) if name in found else ""


def _with_interval(found: Mapping[str, Estimate], name: str, form: str) -> str:
    if name not in found:
        return ""
    value, low, high = (format(number, form) for number in found[name])
    return f"{value} [{low}, {high}]"
