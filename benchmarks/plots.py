"""Figures for the documentation: SVG with real text, on a light ground that reads in a light and in a dark page.

A figure is made and written without pyplot, so that drawing leaves no state behind and needs no display. The same data
give the same bytes: no date, no random ids.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

INK, FAINT, GROUND = "#1f2328", "#d0d7de", "#ffffff"
COLOURS = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#57606a")
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small files, sharp at any size
    "svg.hashsalt": "fovea",
    "font.family": "sans-serif",
    "font.size": 10,
}


def canvas(columns: int, width: float = 10.0, height: float = 4.0, rows: int = 1) -> tuple[Any, list[Any]]:
    """A figure of so many panels beside each other in each row, sizes in inches, and its axes."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), facecolor=GROUND, layout="constrained")
        axes = [figure.add_subplot(rows, columns, number + 1) for number in range(rows * columns)]
    for one in axes:
        _plain(one)
    return figure, axes


def _plain(axes: Any) -> None:
    axes.set_facecolor(GROUND)
    axes.grid(True, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)


def save(figure: Any, path: Path) -> None:
    """Write the figure as SVG."""
    import matplotlib

    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(_STYLE):
        figure.savefig(path, format="svg", metadata={"Date": None}, facecolor=GROUND)
