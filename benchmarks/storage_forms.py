"""Forms of storing token vectors, how good each one was found to be, and which one is worth its bytes.

The ceiling is the better one of the two float32 forms. The knee is the smallest form without pooling whose mean over
the three measures lies within half a point of the ceiling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from attention_core.projection import Projection
from benchmarks import markdown, plots
from benchmarks.metrics import Estimate, between, drawn_means, points
from domain.search import FloatArray

DIMS, BITS, POOLS = (32, 64, 96, 128), (2, 4, 8), (2, 3)
BUDGETS = (128, 256)
SHIPPED_BITS = 4
_FLOAT, _TOLERATED = 32, 0.005
_DRAWS = 2000


@dataclass(frozen=True, slots=True, order=True)
class Form:
    """A way of storing: `dim` axes, 0 for the encoder's own width; `bits` an entry; one token for `pool` neighbours."""

    dim: int
    bits: int
    pool: int = 1
    network: bool = False

    def __str__(self) -> str:
        kind = "float32" if self.bits == _FLOAT else f"{self.bits} bits"
        pooled = f", pooled by {self.pool}" if self.pool > 1 else ""
        return f"{self.dim or 'full width'}, {kind}{pooled}{', with the network' if self.network else ''}"


FULL_WIDTH = Form(0, _FLOAT)


def forms_of(projection: Projection) -> list[Form]:
    """The forms that are measured, float32 first; `projection` is the widest that the weights have."""
    grid = [Form(dim, bits) for dim in DIMS if dim <= projection.dim for bits in BITS]
    pooled = [Form(projection.dim, bits, pool) for pool in POOLS for bits in (4, 8)]
    return [FULL_WIDTH, Form(projection.dim, _FLOAT), *grid, *pooled]


@dataclass(slots=True)
class Marks:
    """One form on all sets: `values` (N, 3) of the three measures, `bytes` a 200-token chunk, set by set."""

    sets: list[str] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)
    values: list[tuple[float, float, float]] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)

    def means(self) -> FloatArray:
        """(3,), each set with equal weight."""
        names, values = np.asarray(self.sets), np.asarray(self.values, dtype=np.float32)
        means: FloatArray = np.mean([values[names == name].mean(axis=0) for name in dict.fromkeys(self.sets)], axis=0)
        return means

    @property
    def size(self) -> float:
        return float(np.mean(self.sizes))

    def against(self, other: Marks) -> Estimate:
        """The paired difference of the mean of the three measures, each set with equal weight and drawn by itself."""
        names = np.asarray(self.sets)
        gained = np.mean(self.values, axis=1) - np.mean(other.values, axis=1)
        means, drawn = [], []
        for at, name in enumerate(dict.fromkeys(self.sets)):
            own = names == name
            means.append(gained[own].mean())
            drawn.append(drawn_means(gained[own], np.asarray(self.clusters)[own].tolist(), _DRAWS, seed=at))
        return between(float(np.mean(means)), np.mean(drawn, axis=0))


def ceiling(marks: Mapping[Form, Marks]) -> Form:
    """The float32 form, at full width or projected, whose three measures are larger on average."""
    return max((form for form in marks if form.bits == _FLOAT), key=lambda form: float(marks[form].means().mean()))


def knee(marks: Mapping[Form, Marks]) -> Form:
    """The smallest form without pooling within half a point of the ceiling; the best one where none is."""
    most = float(marks[ceiling(marks)].means().mean())
    usable = {form: one for form, one in marks.items() if form.pool == 1 and not form.network and form.bits != _FLOAT}
    near = [form for form, one in usable.items() if float(one.means().mean()) >= most - _TOLERATED]
    if near:
        return min(near, key=lambda form: usable[form].size)
    return max(usable, key=lambda form: float(usable[form].means().mean()))


def table(marks: Mapping[Form, Marks]) -> str:
    """Markdown, by size, the form with the network last."""
    rows = []
    chosen, most = knee(marks), marks[ceiling(marks)]
    for form in sorted(marks, key=lambda one: (one.network, -marks[one].size)):
        one = marks[form]
        name = f"**{form}** (knee)" if form == chosen else str(form)
        means = (f"{value:.3f}" for value in one.means())
        rows.append([name, f"{one.size:,.0f}", *means, points(one.against(most))])
    budgets = (f"AR@{budget}" for budget in BUDGETS)
    return markdown.table(["stored as", "bytes", "nDCG@10", *budgets, "against the ceiling"], rows)


def draw(results: Mapping[str, Mapping[Form, Marks]], path: Path) -> None:
    """AR@128 against bytes, a panel for each set of weights: a line for each number of bits, the knee ringed."""
    figure, panels = plots.canvas(len(results), 5.5 * len(results), 4.2)
    for (title, marks), axes in zip(results.items(), panels, strict=True):
        for bits, colour in zip(BITS, plots.COLOURS, strict=False):
            line = sorted(form for form in marks if form.bits == bits and form.pool == 1 and not form.network)
            axes.plot(
                *_points(marks, line), "o-", color=colour, label=f"{bits} bits, {line[0].dim} to {line[-1].dim} axes"
            )
        for form, style in ((one, "s^"[POOLS.index(one.pool)]) for one in sorted(marks) if one.pool > 1):
            label = f"pooled by {form.pool}, {form.dim} axes" if form.bits == SHIPPED_BITS else None
            axes.plot(
                *_points(marks, [form]), style, color=plots.COLOURS[BITS.index(form.bits)], mfc="none", label=label
            )
        if shipped := [form for form in marks if form.network]:
            axes.plot(*_points(marks, shipped), "D", color=plots.INK, label="with the network")
        best = ceiling(marks)
        axes.axhline(float(marks[best].means()[1]), color=plots.INK, linestyle=":", label=str(best))
        axes.plot(*_points(marks, [knee(marks)]), "o", markersize=15, mfc="none", mec=plots.INK, label="knee")
        axes.set_xscale("log")
        ticks = [1000, 2000, 5000, 10_000, 20_000]
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set_title(title, color=plots.INK)
        axes.set_xlabel("bytes of a chunk of 200 tokens", color=plots.INK)
        axes.legend(frameon=False, loc="lower right", fontsize=8)
    panels[0].set_ylabel("AR@128", color=plots.INK)
    plots.save(figure, path)


def _points(marks: Mapping[Form, Marks], forms: Sequence[Form]) -> tuple[list[float], list[float]]:
    return [marks[form].size for form in forms], [float(marks[form].means()[1]) for form in forms]
