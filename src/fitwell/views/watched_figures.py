"""Pictures of a watched training: its layers over its steps, and its signals one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fitwell.views.figures import GREY, INK, LINE, TRAIN, blank, shortened, tidy
from fitwell.views.seen import Series, Thread, layers_in_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAYERS = {
    "gradient_norm": "gradient norm",
    "update_ratio": "update ratio",
    "dead_share": "dead share",
    "saturated_share": "saturated share",
    "activation_std": "activation std",
    "weight_norm": "weight norm",
}
MOST_MAPS = 4
MOST_ROWS = 60  # layers that have their name written; of more every second, third ...
COLUMNS = 80  # of a heat map
MOST_SIGNALS = 24
ROW = 3  # panels
CURVES_ELSEWHERE = {"loss", "accuracy", "lr"}  # in their own picture, with what begins like them
DECADES = 1.5  # between the smallest and the largest value from which a logarithmic axis shows more


def layers(thread: Thread) -> Figure | None:
    """The layers from first to last over the steps, one heat map a signal; None without layers."""
    found = [name for name in LAYERS if any(name in layer for layer in thread.layers.values())][:MOST_MAPS]
    names = layers_in_order(thread, found)
    if not names:
        return None
    figure = blank(12.0, min(14.0, 1.6 + 0.21 * len(names)))
    steps = max(series.steps[-1] for layer in thread.layers.values() for series in layer.values())
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, signal in zip(panels, found, strict=True):
        rows = [thread.layers[name].get(signal, Series()) for name in names]
        _heat_map(figure, axes, rows, signal, steps)
    every = math.ceil(len(names) / MOST_ROWS)
    panels[0].set_yticks(range(0, len(names), every), [shortened(name) for name in names[::every]])
    for label in panels[0].get_yticklabels():
        label.set_parse_math(False)
    panels[0].tick_params(axis="y", labelcolor=INK)
    return figure


def _heat_map(figure: Figure, axes: Axes, rows: Sequence[Series], signal: str, steps: int) -> None:
    share = signal.endswith("_share")
    grid = _grid(rows, steps, logarithmic=not share)
    low, high = (0.0, 1.0) if share else _range(grid)
    image = axes.imshow(
        grid, aspect="auto", cmap="cividis", interpolation="nearest", vmin=low, vmax=high,
        extent=(0, steps, len(rows) - 0.5, -0.5),
    )  # fmt: skip
    tidy(axes, LAYERS[signal], "step")
    axes.grid(False)
    axes.set_facecolor(LINE)
    axes.set_xticks([0, steps], ["0", f"{steps:,}"])
    bar = figure.colorbar(image, ax=axes, location="bottom", aspect=30, pad=0.01, ticks=[low, high])
    bar.set_ticklabels(["0 %", "100 %"] if share else [f"{10.0**low:.2g}", f"{10.0**high:.2g}"])
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=GREY, labelsize=8, length=0)
    for ticks in (axes.get_xticklabels(), bar.ax.get_xticklabels()):
        ticks[0].set_horizontalalignment("left")
        ticks[-1].set_horizontalalignment("right")


def _range(grid: Any) -> tuple[float, float]:
    """The smallest and the largest logarithm, at least a decade apart: no drama from a hair's breadth."""
    import numpy as np

    found = grid[np.isfinite(grid)]
    low, high = (float(found.min()), float(found.max())) if len(found) else (0.0, 1.0)
    more = max(0.0, 1.0 - (high - low)) / 2
    return low - more, high + more


def _grid(rows: Sequence[Series], steps: int, logarithmic: bool) -> Any:
    """The last value (L, COLUMNS) of each of L layers at so many steps, or its decimal logarithm.

    NaN is what was not there yet, or not finite; 0 counts as the smallest value that there is.
    """
    import numpy as np

    grid = np.full((len(rows), COLUMNS), np.nan)
    for row, series in enumerate(rows):
        column = 0
        for step, value in zip(series.steps, series.values, strict=True):
            column = min(COLUMNS - 1, step * COLUMNS // max(steps, 1))
            grid[row, column:] = math.nan if value is None else value
    if not logarithmic:
        return grid
    positive = grid[grid > 0]
    return np.log10(np.maximum(grid, positive.min() if len(positive) else 1.0))


def signals(thread: Thread) -> Figure | None:
    """Every other signal of a thread that changes, over its steps, a panel each; None if there is none."""
    found = {
        name: thread.points(name)
        for name in sorted(thread.signals)
        if name.partition("/")[0] not in CURVES_ELSEWHERE and len(set(thread.signals[name].finite)) > 1
    }
    if not found:
        return None
    names = list(found)[:MOST_SIGNALS]
    height = math.ceil(len(names) / ROW)
    figure = blank(12.0, 2.1 * height)
    panels = figure.subplots(height, ROW, squeeze=False).flatten()
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, name, found)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    return figure


def _panel(axes: Axes, name: str, found: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    points = found[name]
    values = [value for _, value in points]
    axes.plot(*zip(*points, strict=True), color=TRAIN, linewidth=1.3)
    if min(values) > 0 and math.log10(max(values) / min(values)) > DECADES:
        axes.set_yscale("log")
        axes.minorticks_off()
    tidy(axes, name, "step")
    axes.set_title(name, loc="left", color=INK, fontsize=9.5, parse_math=False)
