"""What a terminal shows of a watched training: its curves, its layers, what was seen and what was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fitwell.run import Run, runs_folder
from fitwell.views.console import Sparkline, clean, line, verdict_text
from fitwell.views.diagnosis import findings
from fitwell.views.figures import HIGHER_IS_BETTER, duration, number, shortened, shown
from fitwell.views.findings import recorded
from fitwell.views.seen import (
    NO_PARTS,
    PARTS,
    Seen,
    Series,
    Thread,
    counted,
    layer_class,
    layers_in_order,
    operand_row,
)

MOST_LAYERS = 20
WIDEST_NAME = 24
MOST_THREADS = 4
FEW = 3  # values of the loss of passes below which that of single batches is shown, too
CURVES = {"lr": "learning rate", "gradient/norm": "gradient norm", "update/ratio": "update ratio"}
LAYER_SIGNALS = {
    "gradient_norm": "gradient\nnorm",
    "update_ratio": "update\nratio",
    "dead_share": "dead",
    "activation_std": "activation\nstd",
}


def summary(run: Run) -> list[RenderableType]:
    """The end of ``fitwell watch``: what was seen, what not, how it ended, and what is next."""
    seen = Seen(run)
    threads = seen.threads[:MOST_THREADS]
    more = len(seen.threads) - len(threads)
    return [
        _title(seen),
        *(item for thread in threads for item in _thread(seen, thread, MOST_LAYERS)),
        *([line(f"... and {more} more threads: fitwell show {reference(run)}", "dim")] if more else []),
        *_said(seen),
        *findings(recorded(run), f"fitwell diagnose {reference(run)}"),
        *_next(run, ("diagnose", "show", "report")),
    ]


def show(run: Run) -> list[RenderableType]:
    """A watched run with all its threads, layers and signals."""
    seen = Seen(run)
    items: list[RenderableType] = [line(f"{run.name}: {seen.state}", "bold"), _title(seen)]
    for thread in seen.threads:
        items += [*_thread(seen, thread, most=None), *_others(thread)]
    told = findings(recorded(run), f"fitwell diagnose {reference(run)}")
    return [*items, *_said(seen), *told, *_next(run, ("diagnose", "report"))]


def reference(run: Run) -> str:
    """What to call the run in a command: its name, or its path if it lies in another folder of runs."""
    return run.name if run.path.parent.resolve() == runs_folder().resolve() else str(run.path)


def _title(seen: Seen) -> RenderableType:
    epochs = counted(seen.epochs, "epoch") if seen.epochs else ""
    facts = [counted(seen.steps, "step"), epochs, duration(seen.seconds), seen.overhead]
    return line(f"{seen.script}: {', '.join(fact for fact in facts if fact)}", "bold")


def _thread(seen: Seen, thread: Thread, most: int | None) -> list[RenderableType]:
    tables = _curves(thread), _layers(thread, most, reference(seen.run))
    items: list[RenderableType] = [table for table in tables if table is not None]
    return ["", line(thread.name, "bold"), *items] if items and len(seen.threads) > 1 else items


def _curves(thread: Thread) -> Table | None:
    """The main signals, a row each."""
    table = Table("", "", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("first", "best", "at", "last"):
        table.add_column(name, justify="right")
    main = _main(thread)
    end = max(
        (thread.signals[signal].epochs[-1] for signal in main if thread.signals[signal].epochs), default=0.0
    )
    for signal, label in main.items():
        _add_curve(table, label, signal, thread.signals[signal], end)
    return table if table.row_count else None


def _main(thread: Thread) -> dict[str, str]:
    """The signals that are shown first, with their labels."""
    found = {}
    parts = dict.fromkeys([*PARTS, *(name.partition("/")[2] for name in thread.signals)])
    for what in ("loss", "accuracy"):
        for part in parts:
            if f"{what}/{part}" in thread.signals and part not in NO_PARTS and "/" not in part:
                found[f"{what}/{part}"] = f"{what}, {PARTS.get(part, part.replace('_', ' '))}"
    batches = thread.signals.get("loss/batch")
    if batches and len(thread.signals.get("loss/train", Series()).values) < FEW:
        found = {"loss/batch": "loss, batches"} | found
    return found | {name: label for name, label in CURVES.items() if name in thread.signals}


def _add_curve(table: Table, label: str, signal: str, series: Series, end: float) -> None:
    what, finite = signal.partition("/")[0], series.finite
    best, at = _best(what, series) if what in ("loss", "accuracy") else (None, "")
    last = Text(shown(what, series.last))
    if what == "accuracy" and series.epochs and series.epochs[-1] <= end - 1:
        last.append(f", epoch {series.epochs[-1]:.4g}", "dim")  # answers are judged as far as the budget goes
    if series.broken_at is not None:
        last = Text(f"not finite from step {series.broken_at:,} on", "bold red")
    table.add_row(
        label,
        Sparkline(finite, 30) if finite else "",
        shown(what, finite[0] if finite else None),
        shown(what, best) if best is not None else "",
        at,
        last,
    )


def _best(what: str, series: Series) -> tuple[float | None, str]:
    """The best value, and when it was: at an epoch where there are some, else at a step."""
    rows = [row for row, value in enumerate(series.values) if value is not None]
    if len(rows) < 2:
        return None, ""
    sign = -1 if what in HIGHER_IS_BETTER else 1
    best = min(rows, key=lambda row: sign * (series.values[row] or 0.0))
    epoch = series.epochs[best]
    return series.values[best], f"epoch {epoch:.4g}" if series.epochs[-1] else f"step {series.steps[best]:,}"


def _layers(thread: Thread, most: int | None, name: str) -> Table | None:
    """The layers with the last values of their signals; of many those at both ends of the model."""
    signals = [signal for signal in LAYER_SIGNALS if any(signal in layer for layer in thread.layers.values())]
    layers = layers_in_order(thread, signals)
    if not layers:
        return None
    known = any(layer in thread.table for layer in layers)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for label in ["layer", *(["class"] if known else [])]:
        table.add_column(label)
    for label in [*(["parameters"] if known else []), *(LAYER_SIGNALS[signal] for signal in signals)]:
        table.add_column(label, justify="right", no_wrap=True)
    half = len(layers) if most is None or len(layers) <= most else most // 2
    rows = [
        _layer_row(layer, thread.layers[layer], thread.table.get(layer, {}) if known else None, signals)
        for layer in layers
    ]
    for row in rows[:half]:
        table.add_row(*row)
    if half < len(layers):
        table.add_row(Text(f"... {len(layers) - 2 * half} more layers", "dim"))
        table.caption, table.caption_justify = line(f"all of them: fitwell show {name}", "dim"), "left"
        for row in rows[-half:]:
            table.add_row(*row)
    return table


def _layer_row(
    layer: str, of: Mapping[str, Series], about: Mapping[str, Any] | None, signals: Sequence[str]
) -> list[Text]:
    """The cells of a layer: name, class and parameters (unless ``about`` is None), values."""
    cells = [Text(shortened(clean(layer), WIDEST_NAME))]
    if about is not None:
        count = about.get("parameters")
        cells += [Text(clean(layer_class(about))), Text(f"{count:,}" if isinstance(count, int) else "")]
    return cells + [_layer_value(signal, of[signal]) if signal in of else Text("") for signal in signals]


def _layer_value(signal: str, series: Series) -> Text:
    if series.broken_at is not None:
        return Text("not finite", "bold red")
    value = series.last
    if value is None or not signal.endswith("_share"):
        return Text(number(value, 3))
    return Text(f"{100 * value:.1f} %", "yellow" if value > 0.5 else "")


def _others(thread: Thread) -> list[RenderableType]:
    """The signals that are in no other table."""
    table = Table("signal", "", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("first", "last"):
        table.add_column(name, justify="right")
    main = _main(thread)
    for name in sorted(thread.signals):
        finite = thread.signals[name].finite
        if name not in main and finite:
            table.add_row(Text(clean(name)), Sparkline(finite, 30), number(finite[0]), number(finite[-1]))
    return [table] if table.row_count else []


def _said(seen: Seen) -> list[RenderableType]:
    """What was seen and what not, how it failed, the verdict."""
    table = Table.grid(padding=(0, 2))
    for name, text in seen.lines():
        table.add_row(name, Text(clean(text)))
    for unseen in seen.unseen():
        fix = f"; {unseen.fix}" if unseen.fix else ""
        table.add_row(Text("not seen", "yellow"), Text(clean(f"{unseen.what}: {unseen.why}{fix}")))
    word, reason = seen.verdict
    if seen.steps or not seen.result:
        table.add_row("verdict", verdict_text(word, reason))
    return [*_failure(seen.failure), table] if table.row_count else _failure(seen.failure)


def _failure(failure: Mapping[str, Any] | None) -> list[RenderableType]:
    """What ended the program, where, and the tensors in that line."""
    if not failure:
        return []
    message = f"{failure.get('type', 'error')}: {failure.get('message', '')}"
    items: list[RenderableType] = [Text(f"\nfailed   {clean(message)}", "bold red")]
    place = failure.get("where")
    if place:
        items.append(line(f"at       {place.get('file')}:{place.get('line')} in {place.get('function')}"))
        items.append(Padding(Text(clean(place.get("text", "")), "bold"), (0, 0, 0, 9)))
    operands = failure.get("operands") or []
    if operands:
        table = Table("operand", "is", "shape", "dtype", "device", box=box.SIMPLE_HEAD, pad_edge=False)
        for row in map(operand_row, operands):
            table.add_row(*(Text(clean(cell)) for cell in row))
        items.append(Padding(table, (0, 0, 0, 9)))
    return items


def _next(run: Run, commands: Sequence[str]) -> list[RenderableType]:
    name = reference(run)
    lines = [f"fitwell {command} {name}" for command in commands]
    lines.append(f"fitwell.Run({str(run.path)!r}).to_frame()  # in Python")
    return [line(f"{'' if place else 'next':<8} {text}") for place, text in enumerate(lines)]
