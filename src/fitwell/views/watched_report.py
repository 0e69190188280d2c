"""The report of a watched training: what happened in it, over its steps and layers, and what was not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from fitwell.run import Run
from fitwell.views import cures, figures, findings, page, watched_figures
from fitwell.views.figures import duration, number, shown
from fitwell.views.seen import Seen, Series, Thread, layer_class, layers_in_order, operand_row, percent

MOST_THREADS = 8


def report_html(run: Run) -> str:
    """The page of a watched run, however far it came."""
    seen = Seen(run)
    word, _ = seen.verdict
    sections = (
        _headline(seen), findings.section(run), cures.section(run), _failure(seen.failure), _unseen(seen),
        *(_thread(seen, thread) for thread in seen.threads[:MOST_THREADS]),
        _seen(seen), _signals(seen), page.environment(run),
    )  # fmt: skip
    return page.html(f"{seen.script}: {word.replace('-', ' ') or seen.state}", sections)


def _headline(seen: Seen) -> str:
    overhead = seen.facts.get("overhead") or {}
    first = seen.threads[0] if seen.threads else Thread("", {})
    tiles = [
        *(tile for name in ("accuracy", "loss") for tile in _final(first, name)),
        ("steps", f"{seen.steps:,}"),
        ("epochs", f"{seen.epochs:,}" if seen.epochs else "-"),
        ("parameters", f"{seen.parameters:,}" if seen.parameters else "-"),
        ("time", duration(seen.seconds)),
        ("spent on watching", percent(overhead["spent"]) if "spent" in overhead else "-"),
    ]
    return page.headline(seen.info, seen.script, seen.verdict, tiles)


def _final(thread: Thread, what: str) -> list[tuple[str, str]]:
    """The last value on held-out data, else on training data."""
    for part in ("test", "val", "train"):
        series = thread.signals.get(f"{what}/{part}")
        if series and series.finite:
            return [(f"{what}, {figures.PARTS[part]}", shown(what, series.last))]
    return []


def _failure(failure: Mapping[str, Any] | None) -> str:
    if not failure:
        return ""
    place, operands = failure.get("where"), failure.get("operands") or []
    message = f"{failure.get('type', 'error')}: {failure.get('message', '')}"
    content = f"<p class=warning>{escape(message)}</p>"
    if place:
        where = f"{place.get('file')}:{place.get('line')} in {place.get('function')}"
        content += f"<p>{escape(where)}</p><pre><code>{escape(str(place.get('text', '')))}</code></pre>"
    if operands:
        head = ["operand", "is", "shape", "dtype", "device"]
        content += page.table("What that line worked on", head, map(operand_row, operands), "plan")
    return page.section("Why did it end?", content)


def _unseen(seen: Seen) -> str:
    items = "".join(
        f"<li><b>{escape(unseen.what)}</b>: {escape(unseen.why)}."
        f"{f' To see it: {escape(unseen.fix)}.' if unseen.fix else ''}</li>"
        for unseen in seen.unseen()
    )
    return page.section("What was not seen?", f"<ul>{items}</ul>") if items else ""


def _thread(seen: Seen, thread: Thread) -> str:
    """How a thread learned, and its layers over its steps."""
    if not (thread.signals or thread.layers):
        return ""
    metric = thread.metric or "learning rate"
    content = page.picture(figures.history(seen.run, thread), f"Loss and {metric} by step")
    layers, others = watched_figures.layers(thread), watched_figures.signals(thread)
    if others:
        content += page.picture(others, "The other signals by step")
    if layers:
        content += "<h3>Layer by layer</h3>" + page.picture(
            layers, "Signals of each layer by step, as heat maps"
        )
        content += _layers(thread)
    who = escape(thread.name) if len(seen.threads) > 1 else "it"
    return page.section(f"How did {who} learn?", content)


def _layers(thread: Thread) -> str:
    """The last values of every layer."""
    signals = [name for name in watched_figures.LAYERS if any(name in of for of in thread.layers.values())]
    rows = [
        [layer, layer_class(thread.table.get(layer, {})), *_lasts(thread.layers[layer], signals)]
        for layer in layers_in_order(thread, signals)
    ]
    head = ["layer", "class", *(watched_figures.LAYERS[name] for name in signals)]
    table = page.table("The last value of each", head, rows, "numbers")
    return f"<details><summary>{len(rows)} layers in figures</summary>{table}</details>"


def _lasts(layer: Mapping[str, Series], signals: Sequence[str]) -> list[str]:
    values = {name: layer[name].last if name in layer else None for name in signals}
    return [
        f"{value:.1%}" if value is not None and name.endswith("_share") else number(value)
        for name, value in values.items()
    ]


def _seen(seen: Seen) -> str:
    argv = " ".join(map(str, (seen.info.get("program") or {}).get("argv") or []))
    rows: list[Sequence[str]] = [*([("program", argv)] if argv else []), *seen.lines()]
    hidden = len(seen.threads) - MOST_THREADS
    more = f"<p>{hidden} more threads are in the run, but not on this page.</p>" if hidden > 0 else ""
    return page.section("What was seen?", page.table("", ["", ""], rows, "plan") + more) if rows else ""


def _signals(seen: Seen) -> str:
    """Every signal but those of layers, with its extremes."""
    rows = [
        [f"{thread.name}: {name}" if len(seen.threads) > 1 else name, f"{len(series.values):,}",
         *(number(value) for value in (finite[0], min(finite), max(finite), finite[-1])),
         f"{series.broken_at:,}" if series.broken_at is not None else ""]
        for thread in seen.threads[:MOST_THREADS]
        for name, series in sorted(thread.signals.items())
        if (finite := series.finite)
    ]  # fmt: skip
    head = ["signal", "values", "first", "smallest", "largest", "last", "not finite from step"]
    table = page.table("All signals but those of layers", head, rows, "numbers")
    return f"<details><summary>{len(rows)} signals in figures</summary>{table}</details>" if rows else ""
