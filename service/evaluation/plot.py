"""The picture of a run: answer recall against context tokens.

Drawn to be read on a light and on a dark page: transparent ground, mid-grey text, colours that stand out from both.
Curves carry their names at their ends, so there is no legend to look up.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import ConfigurationError, UsageError
from domain.evaluation import Curve, EvaluationReport
from domain.extras import install_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FORMATS = (".png", ".svg")
_OURS, _INK, _GRID = "#2f81f7", "#767676", "#9a9a9a"  # each at least 3 : 1 against white and near-black
_OTHERS = ("#c9742b", "#2a9d78", "#b65fa8", "#8a8f3c", "#d0555a")
_LABEL_GAP = 0.042  # of the height: a line of text


def check_plot(path: str | Path) -> None:
    """Raise UsageError for a format that is not drawn, ConfigurationError where matplotlib is missing: before a run
    rather than behind it.
    """
    if Path(path).suffix.lower() not in _FORMATS:
        raise UsageError(f"A plot is written as {' or '.join(_FORMATS)}, not as {str(path)!r}.")
    if not Path(path).absolute().parent.is_dir():
        raise UsageError(f"The folder of the plot {str(path)!r} does not exist; create it first.")
    if find_spec("matplotlib") is None:
        raise ConfigurationError(f"Plots need matplotlib, which is not installed: {install_line('plot')}.")


def plot_evaluation(report: EvaluationReport, path: str | Path) -> None:
    """Write the AR@B curves of a report, its operating point and plain dense top-10 as PNG or SVG.

    Raises UsageError for another format, ConfigurationError where matplotlib is missing.
    """
    check_plot(path)
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # SVG: text stays text, and equal reports give equal files.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "fovea", "font.size": 10}):
        figure = Figure(figsize=(8, 4.8), dpi=160, layout="constrained")
        FigureCanvasAgg(figure)
        _draw(figure, report)
        stamp = {"Date": None} if Path(path).suffix.lower() == ".svg" else None
        figure.savefig(path, transparent=True, metadata=stamp)


def _draw(figure: Figure, report: EvaluationReport) -> None:
    axes = figure.add_subplot()
    plain = report.plain.plain
    right = 1.12 * max(report.curve.points[-1].budget, plain.context_tokens.value)
    labels = [_line(axes, report.curve, "Fovea at a fixed budget", _OURS, 2.4)]
    for one, colour in zip(_distinct(report), _OTHERS, strict=False):
        labels.append(_line(axes, one[1], one[0], colour, 1.3))
    _name(axes, labels)
    _interval(axes, report.curve)
    _plain(axes, report)
    _point(axes, report)
    _frame(axes, report, right)


def _distinct(report: EvaluationReport) -> list[tuple[str, Curve]]:
    """The baselines by name; those whose curves are the same share a line."""
    found: dict[tuple[tuple[float, float], ...], tuple[str, Curve]] = {}
    for one in report.baselines:
        line = tuple((point.context_tokens, point.answer_recall.value) for point in one.curve.points)
        name = f"{found[line][0]}, {one.name}" if line in found else one.name
        found[line] = (name, one.curve)
    return list(found.values())


def _line(axes: Axes, curve: Curve, name: str, colour: str, width: float) -> tuple[str, str, float, float]:
    """Draw a curve; what `_name` needs to label its end."""
    tokens = [point.context_tokens for point in curve.points]
    heights = [point.answer_recall.value for point in curve.points]
    axes.plot(tokens, heights, color=colour, linewidth=width, zorder=3 if colour == _OURS else 2)
    return name, colour, tokens[-1], heights[-1]


def _name(axes: Axes, labels: Sequence[tuple[str, str, float, float]]) -> None:
    """Names behind the ends of the curves, moved apart where the curves end together."""
    ordered = sorted(labels, key=lambda label: -label[3])
    heights = [label[3] for label in ordered]
    for at in range(1, len(heights)):
        heights[at] = min(heights[at], heights[at - 1] - _LABEL_GAP)
    for (name, colour, x, end), y in zip(ordered, heights, strict=True):
        axes.annotate(
            name,
            (x, end),
            (1.02, y),
            textcoords=axes.get_yaxis_transform(),
            color=colour,
            va="center",
            fontweight="bold" if colour == _OURS else "normal",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "alpha": 0.5, "relpos": (0, 0.5)},
            annotation_clip=False,
        )


def _interval(axes: Axes, curve: Curve) -> None:
    lows, highs = ([getattr(point.answer_recall, end) for point in curve.points] for end in ("low", "high"))
    tokens = [point.context_tokens for point in curve.points]
    axes.fill_between(tokens, lows, highs, color=_OURS, alpha=0.13, linewidth=0)


def _plain(axes: Axes, report: EvaluationReport) -> None:
    """Its label stands above the curves, where nothing else is."""
    tokens, recall = report.plain.plain.context_tokens, report.plain.plain.answer_recall
    _marker(axes, tokens.value, recall, "s", _INK)
    axes.annotate(
        f"plain top-10: {tokens.value:,.0f} tokens, {recall.value:.1%}",
        (tokens.value, max(recall.value, recall.high)),
        (10, 8),
        textcoords="offset points",
        color=_INK,
        ha="right",
        fontsize=9,
    )


def _point(axes: Axes, report: EvaluationReport) -> None:
    """Its label stands below the curves, to the right: they rise from left to right."""
    tokens, recall = report.point.context_tokens, report.point.answer_recall
    _marker(axes, tokens.value, recall, "o", _OURS)
    axes.annotate(
        f"Fovea, default settings:\n{tokens.value:,.0f} tokens, {recall.value:.1%}",
        (tokens.value, recall.low),
        (10, -10),
        textcoords="offset points",
        color=_OURS,
        va="top",
        fontweight="bold",
        fontsize=9,
    )


def _marker(axes: Axes, x: float, recall: tuple[float, float, float], shape: str, colour: str) -> None:
    value, low, high = recall
    axes.errorbar(
        [x],
        [value],
        yerr=[[value - low], [high - value]],
        fmt=shape,
        markersize=8,
        color=colour,
        markeredgecolor="white",
        markeredgewidth=0.8,
        elinewidth=1.4,
        capsize=0,
        zorder=5,
        clip_on=False,
    )


def _frame(axes: Axes, report: EvaluationReport, right: float) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, StrMethodFormatter

    left = max(1.0, 0.9 * min(report.curve.points[0].context_tokens, report.point.context_tokens.value))
    axes.set_xscale("log", base=2)
    axes.set_xlim(left, right)
    axes.set_ylim(0, 1.1)
    axes.yaxis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6, 0.8, 1]))
    ticks = [2**power for power in range(4, 24) if left <= 2**power <= right]
    axes.xaxis.set_major_locator(FixedLocator(ticks or [point.budget for point in report.curve.points]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y", color=_GRID, alpha=0.25, linewidth=0.7)
    axes.tick_params(colors=_INK, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_INK)
    axes.set_xlabel("context tokens sent, mean a question", color=_INK, loc="left")
    asked = f"{report.asked.answerable:,} questions"
    axes.set_title(f"Answers whose evidence is in the prompt ({report.collection}, {asked})", color=_INK, loc="left")
