"""Pictures of a run, and the figures in them: how numbers are written wherever a person reads them.

Colours are Okabe and Ito's, which people with any kind of colour vision can tell apart
(https://jfly.uni-koeln.de/color/); lines carry their names, so that no legend has to be searched.
matplotlib is imported where it is used, and never its global state.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fitwell.run import Run
from fitwell.run.files import write_atomic
from fitwell.views.seen import Seen, Thread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY, LINE = "#23272e", "#6b7280", "#dfe3e8"
TRAIN, VALIDATION, GOOD = "#0072b2", "#d55e00", "#009e73"
HIGHER_IS_BETTER = {"accuracy", "r2"}
SHARES = {"accuracy", "balanced_accuracy"}
PARTS = {"train": "train", "val": "validation", "test": "test"}  # as files and as people call them
MOST_CLASSES = 30  # a larger confusion matrix can't be read
FEW_EPOCHS = 4
DECADES = 20.0  # largest / smallest loss from which a linear axis hides the end of the training
POINTS_WITH_MARKERS = 25
Points = list[tuple[float, float]]
Curve = Callable[[str], Points]


class RateCurve(Protocol):
    """What a learning-rate finder measured, step by step, and the rate that it suggests."""

    @property
    def rates(self) -> Sequence[float]:
        """The rates tried, rising."""

    @property
    def losses(self) -> Sequence[float]:
        """The losses as measured."""

    @property
    def smoothed(self) -> Sequence[float]:
        """The same, smoothed."""

    @property
    def suggestion(self) -> float:
        """The rate to train with."""

    @property
    def reasons(self) -> Sequence[str]:
        """Why that one."""


def number(value: float | None, digits: int = 4) -> str:
    """Four significant digits, or so many, or ``-`` for what is not there.

    >>> number(0.0123456), number(101770), number(2.5e-7), number(None)
    ('0.01235', '101,770', '2.5e-07', '-')
    """
    if value is None:
        return "-"
    if 1000 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    text = f"{value:.{digits}g}"
    return "0" if text == "-0" else text


def shown(metric: str, value: float | None) -> str:
    """A metric as people read it: accuracy in percent, others as numbers.

    >>> shown("accuracy", 0.98611), shown("mae", 3.14159), shown("accuracy", None)
    ('98.61 %', '3.142', '-')
    """
    if value is not None and metric in SHARES:
        return f"{100 * value:.2f} %"
    return number(value)


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(3.21), duration(125), duration(3780)
    ('3.2 s', '2 min 05 s', '1 h 03 min')
    """
    whole = round(seconds)
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def shortened(name: str, most: int = 40) -> str:
    """The name with its middle left out if it is long: both ends of a layer's name tell which it is.

    >>> shortened("encoder.layers.11.self_attn.out_proj", 20)
    'encoder.la….out_proj'
    """
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-((most - 1) // 2) :]}"


def history(run: Run, thread: Thread | None = None) -> Figure:
    """How the run learned: loss and metric on training and validation data, and the learning rate.

    Args:
        run: over its epochs; of a watched run one thread over its steps.
        thread: which; by default the first.
    """
    if run.watched and thread is None:
        thread = next(iter(Seen(run).threads), Thread("", {}))
    curve, unit = (run.curve, "epoch") if thread is None else (thread.points, "step")
    metric = main_metric(run) if thread is None else thread.metric
    panels = ["loss", metric, "lr"] if metric else ["loss", "lr"]
    widths = [3, 3, 2] if metric else [3, 2]
    figure = blank(4.1 * len(panels) + 0.6, 4.2)
    axes = figure.subplots(1, len(panels), width_ratios=widths)
    best = best_epoch(run)
    _curves(axes[0], curve, "loss", best, unit)
    if metric:
        _curves(axes[1], curve, metric, best, unit)
    _rate_panel(axes[-1], curve("lr"), best, unit)
    if best is not None:
        axes[0].set_title(f"best epoch {best:g}, dashed", loc="right", color=GREY, fontsize=8.5)
    name = [thread.name] if thread is not None and thread.name else []
    title(figure, " ".join([str(run.info.get("data", run.name)), *name, *_verdict(run)]))
    return figure


def _verdict(run: Run) -> list[str]:
    result = run.info.get("result")
    return [f"({result['verdict'].replace('-', ' ')})"] if result else []


def main_metric(run: Run) -> str:
    """The metric that the run is judged by beside its loss; empty if it has none (unsupervised)."""
    if run.watched:
        metrics = (run.info.get("result") or {}).get("metrics", {})
        return "accuracy" if any(name.endswith("/accuracy") for name in metrics) else ""
    named = run.info.get("metric") or ""
    return str(named) if named != "loss" else ""


def best_epoch(run: Run) -> int | None:
    """The epoch whose weights were kept; None before the end and without validation data."""
    return (run.info.get("result") or {}).get("best_epoch") or None


def _curves(axes: Axes, curve: Curve, name: str, best: float | None, unit: str) -> None:
    """Train and validation of one signal, each line with its name and last value at its right end."""
    lines = {
        "train": (curve(f"{name}/train"), TRAIN),
        "validation": (curve(f"{name}/val"), VALIDATION),
    }
    drawn = {label: (points, colour) for label, (points, colour) in lines.items() if points}
    longest = max((len(points) for points, _ in drawn.values()), default=0)
    marker = "o" if longest <= POINTS_WITH_MARKERS else ""
    behind = _faint(axes, curve, unit == "step" or longest < FEW_EPOCHS) if name == "loss" else False
    for points, colour in drawn.values():
        axes.plot(
            *zip(*points, strict=True), color=colour, linewidth=2, marker=marker, markersize=4, zorder=3
        )
    tidy(axes, name, unit)
    if not drawn:
        if not behind:
            axes.text(
                0.5, 0.5, f"no finite {name} was recorded", ha="center", color=GREY, transform=axes.transAxes
            )
        return
    if name == "accuracy":
        axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.4g} %")
        low, high = axes.get_ylim()
        axes.set_ylim(
            min(low, high - 0.02), max(high, min(1.0, low + 0.02))
        )  # no drama from a hair's breadth
    elif name == "loss":
        _log_if_decades(axes, [value for points, _ in drawn.values() for _, value in points])
    _mark_best(axes, best, drawn.get("validation", ([], ""))[0])
    _label_ends(axes, name, drawn)


def _faint(axes: Axes, curve: Curve, by_batch: bool) -> bool:
    """What the optimizer saw, behind: batches, or the means of epochs; tell whether there is anything."""
    batches = curve("loss/batch") if by_batch else []
    points = batches or curve("loss/optimized")
    if points:
        label = "batches" if batches else "as optimized"
        axes.plot(*zip(*points, strict=True), color=TRAIN, alpha=0.3, linewidth=1.2, label=label)
        legend = axes.legend(loc="best", frameon=False, fontsize=8, handlelength=1.4)
        legend.get_texts()[0].set_color(GREY)
    return bool(points)


def _log_if_decades(axes: Axes, values: Sequence[float]) -> None:
    if min(values) > 0 and max(values) / min(values) > DECADES:
        axes.set_yscale("log")
        axes.grid(True, axis="y", which="major", color=LINE, linewidth=0.8)
        axes.minorticks_off()


def _mark_best(axes: Axes, best: float | None, validation: Sequence[tuple[float, float]]) -> None:
    """A line at the epoch whose weights were kept, and a ring around its validation value."""
    if best is None:
        return
    axes.axvline(best, color=GREY, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
    for epoch, value in validation:
        if abs(epoch - best) < 1e-6:
            axes.plot([epoch], [value], "o", markersize=9, markerfacecolor="none", color=VALIDATION, zorder=4)


def _label_ends(
    axes: Axes, name: str, drawn: Mapping[str, tuple[Sequence[tuple[float, float]], str]]
) -> None:
    """Write each line's name beside its end, pushed apart where two ends meet."""
    ends = []
    for label, (points, colour) in drawn.items():
        place = axes.transData.transform(points[-1])
        height = float(axes.transAxes.inverted().transform(place)[1])
        ends.append((height, f"{label}\n{shown(name, points[-1][1])}", colour))
    spread = max(ends)[0] - min(ends)[0]
    apart = max(0.0, 0.14 - spread) / 2 if len(ends) > 1 else 0.0
    for rank, (height, text, colour) in enumerate(sorted(ends)):
        lowest, highest = 0.05 + 0.14 * rank, 0.95 - 0.14 * (len(ends) - 1 - rank)
        level = min(max(height + (apart if rank else -apart), lowest), highest)
        axes.text(1.02, level, text, transform=axes.transAxes, color=colour, fontsize=8.5, va="center")


def _rate_panel(axes: Axes, points: Points, best: float | None, unit: str) -> None:
    if points:
        axes.plot(*zip(*points, strict=True), color=INK, linewidth=1.5)
        axes.set_ylim(bottom=0)
    tidy(axes, "learning rate", unit)
    axes.ticklabel_format(axis="y", scilimits=(-2, 3))
    axes.yaxis.get_offset_text().set(color=GREY, fontsize=8)
    if best is not None:
        axes.axvline(best, color=GREY, linewidth=1, linestyle=(0, (3, 3)), zorder=1)


def confusion(run: Run) -> Figure | None:
    """Which class was taken for which; None where there are no classes.

    Hits are green, mistakes orange, each on its own scale: beside 98 % of hits, mistakes would be invisible.
    """
    if "confusion" not in run.evaluation:
        return None
    classes, matrix = worst_classes(run.evaluation)
    size = min(11.0, 2.6 + 0.42 * len(classes))
    figure = blank(size + 0.4, size)
    axes = figure.subplots()
    axes.imshow(_heat(matrix), aspect="equal")
    names = [name if len(name) <= 16 else name[:15] + "…" for name in classes]
    axes.set_xticks(range(len(names)), names, rotation=0 if max(map(len, names)) <= 3 else 90)
    axes.set_yticks(range(len(names)), names)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_parse_math(False)  # a class may be called "$5"
    for row, counts in enumerate(matrix):
        for column, count in enumerate(counts):
            if count and len(classes) <= 20:
                axes.text(column, row, f"{count:g}", ha="center", va="center", color=INK, fontsize=8.5)
    axes.set_xticks([i - 0.5 for i in range(1, len(names))], minor=True)
    axes.set_yticks([i - 0.5 for i in range(1, len(names))], minor=True)
    axes.grid(True, which="minor", color=LINE, linewidth=0.6)
    axes.tick_params(which="both", length=0, labelsize=9, labelcolor=INK)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted", color=GREY)
    axes.set_ylabel("true", color=GREY)
    fewer = f", the {len(classes)} most confused" if len(classes) < len(run.evaluation["classes"]) else ""
    title(figure, f"{held_out_part(run)} data: what was taken for what{fewer}")
    return figure


def worst_classes(evaluation: Mapping[str, Any]) -> tuple[list[str], list[list[float]]]:
    """Names and confusion matrix (rows true, columns predicted) of at most 30 classes, in their order.

    Of more classes, those are kept that were confused most often.
    """
    classes, matrix = [str(name) for name in evaluation["classes"]], evaluation["confusion"]
    count = len(classes)
    if count <= MOST_CLASSES:
        return classes, matrix
    errors = [sum(matrix[i]) + sum(row[i] for row in matrix) - 2 * matrix[i][i] for i in range(count)]
    kept = sorted(sorted(range(count), key=lambda i: -errors[i])[:MOST_CLASSES])
    return [classes[i] for i in kept], [[matrix[i][j] for j in kept] for i in kept]


def _heat(matrix: Sequence[Sequence[float]]) -> Any:
    """Colours (K, K, 3) of a confusion matrix: each row's hits in green, its mistakes in orange."""
    import numpy as np
    from matplotlib.colors import to_rgb

    counts = np.asarray(matrix, dtype=float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = share * (1 - np.eye(len(share)))
    strength = 0.8 * np.sqrt(wrong / max(wrong.max(), 0.1)) + 0.6 * share * np.eye(len(share))
    colour = np.where(np.eye(len(share))[..., None] > 0, to_rgb(GOOD), to_rgb(VALIDATION))
    return 1 - strength[..., None] * (1 - colour)


def lr_finder(curve: RateCurve) -> Figure:
    """The loss at each learning rate that was tried, and the one that is suggested."""
    figure = blank(7.5, 4.6)
    axes = figure.subplots()
    axes.plot(curve.rates, curve.losses, color=TRAIN, alpha=0.3, linewidth=1)
    axes.plot(curve.rates, curve.smoothed, color=TRAIN, linewidth=2.2)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xlim(curve.suggestion / 10, curve.suggestion * 10)
    if len(curve.smoothed) > 1:
        axes.set_xlim(min(curve.rates), max(curve.rates))
        low, high = min(curve.smoothed), max(curve.smoothed[: len(curve.smoothed) // 4 + 1])
        margin = 0.15 * (high - low) or 0.1
        axes.set_ylim(low - margin, high + 3 * margin)  # the explosion at the end would flatten the rest
    tidy(axes, "loss, smoothed (faint: as measured)", "learning rate")
    axes.axvline(curve.suggestion, color=VALIDATION, linewidth=1.8)
    axes.annotate(
        f"suggested {curve.suggestion:.2g}", (curve.suggestion, 0.96), xycoords=axes.get_xaxis_transform(),
        xytext=(6, 0), textcoords="offset points", color=VALIDATION, va="top", fontsize=10,
    )  # fmt: skip
    figure.supxlabel("\n".join(curve.reasons), x=0.01, ha="left", fontsize=8.5, color=GREY, parse_math=False)
    title(figure, "which learning rate?")
    return figure


def predictions(run: Run) -> Figure | None:
    """Predicted against true numbers, and what is left between them; None where there are no numbers."""
    true, predicted = run.evaluation.get("true"), run.evaluation.get("predicted")
    if not true or not predicted:
        return None
    figure = blank(9.6, 4.6)
    left, right = figure.subplots(1, 2)
    ends = [min(*true, *predicted), max(*true, *predicted)]
    left.plot(ends, ends, color=GREY, linewidth=1, linestyle=(0, (3, 3)))
    dots = {"s": 14, "color": TRAIN, "alpha": 0.45, "linewidths": 0, "rasterized": True}
    left.scatter(true, predicted, **dots)
    left.set_aspect("equal", adjustable="box")
    tidy(left, "predicted", "true", grid="both")
    errors = [p - t for p, t in zip(predicted, true, strict=True)]
    right.axhline(0, color=GREY, linewidth=1, linestyle=(0, (3, 3)))
    right.scatter(predicted, errors, **dots)
    tidy(right, "predicted - true", "predicted")
    title(figure, f"{held_out_part(run)} data: predicted and true")
    return figure


def held_out_part(run: Run) -> str:
    """The name of the part that the evaluation was made on."""
    part = str(run.evaluation.get("part", "test"))
    return PARTS.get(part, part)


def write_figures(run: Run) -> list[Path]:
    """Write every picture that suits the run into its folder, atomically; return their paths.

    Raises:
        StorageError: the folder can't be written.
    """
    drawn = {"training_history": history(run), "confusion": confusion(run), "predictions": predictions(run)}
    return [save(figure, run.path / f"{name}.png") for name, figure in drawn.items() if figure]


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG, atomically.

    Raises:
        StorageError: the folder can't be written.
    """
    write_atomic(path, drawn(figure, "png", dpi=150))
    return path


def drawn(figure: Figure, kind: str, **options: Any) -> bytes:
    """The picture as a file; letters that the font lacks become boxes, without a warning for each."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def blank(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def title(figure: Figure, text: str) -> None:
    """Write what the figure shows above it."""
    figure.suptitle(text, x=0.01, ha="left", color=INK, fontsize=13, weight="bold", parse_math=False)


def tidy(axes: Axes, title: str, x_label: str = "epoch", grid: str = "y") -> None:
    """The common look: a title instead of a rotated label, no box, a light grid."""
    axes.set_title(title, loc="left", color=INK, fontsize=10.5)
    axes.set_xlabel(x_label, color=GREY, fontsize=9)
    axes.grid(True, axis=grid, color=LINE, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    axes.tick_params(colors=GREY, labelsize=8.5, length=0)
    if x_label in ("epoch", "step"):
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
        axes.set_xlim(left=0)
