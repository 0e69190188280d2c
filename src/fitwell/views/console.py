"""What a terminal shows: the progress of a training, its result, and the tables of the other commands.

Nothing here is markup: names of classes, files and columns are printed as they are, and control characters
in them as ``?``, so that data can't drive the terminal.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich import box, progress
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from fitwell.errors import FitwellError
from fitwell.run import Run
from fitwell.run.files import storage
from fitwell.views import report
from fitwell.views.figures import PARTS, duration, held_out_part, main_metric, number, shown

WIDTH = 100  # of what is no terminal
MOST_ROWS = 20  # of epochs, where nobody watches
WIDEST_MATRIX = 76
MATRIX_CLASSES = 12
MOST_PAIRS = 5
BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
MOODS = {"just-right": "bold green", "broken": "bold red", "not-converging": "bold red"}


def make_console(stream: TextIO | None = None) -> Console:
    """A console for stdout or another stream; control codes only where a person watches.

    Not a terminal, a dumb one, or ``CI`` set: plain lines. ``NO_COLOR`` set: no colours.
    """
    stream = stream or sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")  # a name that the encoding lacks must not end a training
    return _console(
        stream, live=stream.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"
    )


def _console(stream: TextIO, live: bool) -> Console:
    plain: dict[str, Any] = {} if live else {"color_system": None, "width": WIDTH}
    return Console(file=stream, force_terminal=live, markup=False, emoji=False, highlight=False, **plain)


def put(console: Console, *items: RenderableType) -> None:
    """Print lines and tables. A path or a command is never broken, so that it can be copied."""
    for item in items:
        text = line(clean(item)) if isinstance(item, str) else item
        console.print(text, soft_wrap=isinstance(text, Text))


def clean(text: object) -> str:
    r"""The text in one line, with ``?`` for what a terminal would obey.

    >>> clean("cat\x1b[2J\nfish")
    'cat?[2J fish'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(text).split()))


class Progress:
    """Shows a training: a live bar above which each epoch adds a row, or rows alone where nobody watches.

    Args:
        stream: where to; stdout by default.
        log: a file that gets a copy of everything but the bar; may be set when its folder is made.
    """

    def __init__(self, stream: TextIO | None = None, log: Path | None = None) -> None:
        self.console, self.log = make_console(stream), log
        self._bar: progress.Progress | None = None
        self._hidden: Text | None = None
        self._every = 1
        self._head = False
        self._start: tuple[float, int] | None = None

    def say(self, *items: RenderableType) -> None:
        """Print lines and tables, and copy them to the log."""
        put(self.console, *items)
        if self.log:
            with storage(self.log), open(self.log, "a", encoding="utf-8", errors="replace") as file:
                put(_console(file, live=False), *items)

    def begin(self, info: Mapping[str, Any]) -> None:
        """Say what will be trained on what, and start the bar.

        Args:
            info: any of run (its folder, which gets a stdout.log unless another log was given), data, family,
                hidden, parameters, memory (bytes), samples {part: count}, batch_size, batches (an epoch),
                steps, done (steps of former sittings), epochs, lr, device, threads, notes.
        """
        if self.log is None and info.get("run"):
            self.log = Path(info["run"]) / "stdout.log"
        self.say(*_introduction(info))
        self._head, self._hidden, self._start = False, None, None
        if self.console.is_terminal:
            self._bar = _bar(self.console)
            self._bar.add_task(
                "training", total=info.get("steps"), completed=info.get("done", 0), rate="", left=""
            )
            self._bar.start()
        else:
            # One row in so many, and the first and the last one.
            self._every = max(1, -(-int(info.get("epochs") or 1) // (MOST_ROWS - 2)))

    def step(self, done: int, total: int, samples_per_second: float) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        now = time.monotonic()
        self._start = self._start or (now, done)  # a resumed training does not begin at zero
        since, first = self._start
        left = f"{duration((now - since) * (total - done) / (done - first))} left" if done > first else ""
        task, rate = self._bar.task_ids[0], f"{samples_per_second:,.0f} samples/s"
        self._bar.update(task, completed=done, total=total, rate=rate, left=left, refresh=True)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Add the row of an epoch."""
        text, number_of_epoch = _epoch_line(row), row["epoch"]
        if not self._head:
            self._head = True
            self.say(line(_head(_row_metric(row)), "dim"))
        if number_of_epoch == 1 or number_of_epoch % self._every == 0:
            self._hidden = None
            self.say(text)
        else:
            self._hidden = text

    def end(self) -> None:
        """Remove the bar; print the last row if it was left out. May be called twice."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if self._hidden is not None:
            self.say(self._hidden)
            self._hidden = None


def _bar(console: Console) -> progress.Progress:
    columns = (
        progress.BarColumn(bar_width=30),
        progress.TextColumn("{task.percentage:>3.0f} %", markup=False),
        progress.TextColumn("{task.fields[rate]}", style="dim", markup=False),
        progress.TextColumn("{task.fields[left]}", style="dim", markup=False),
    )
    # No thread that refreshes: it would take the interpreter from the training, and break forks.
    return progress.Progress(
        *columns,
        console=console,
        transient=True,
        auto_refresh=False,
        redirect_stdout=console.file is sys.stdout,
    )


def _introduction(info: Mapping[str, Any]) -> list[RenderableType]:
    samples = ", ".join(
        f"{n:,} {PARTS.get(part, part)}" for part, n in (info.get("samples") or {}).items() if n
    )
    steps = (
        f"{_count(info, 'batches')} batches of {_count(info, 'batch_size')} an epoch, "
        f"{_count(info, 'steps')} steps in {_count(info, 'epochs')} epochs"
    )
    done = f", {info['done']:,} done" if info.get("done") else ""
    hidden = f" ({report.value_text(info['hidden'])})" if info.get("hidden") else ""
    threads = f", {info['threads']} thread{'s' * (info['threads'] != 1)}" if info.get("threads") else ""
    memory = f", about {info['memory'] / 2**20:,.0f} MB" if info.get("memory") else ""
    facts = {"samples": samples, "steps": steps + done, "on": f"{info.get('device', '')}{threads}{memory}"}
    if info.get("lr"):
        facts["rate"] = report.value_text(info["lr"])
    title = f"{info.get('data')}: {info.get('family')}{hidden} with {_count(info, 'parameters')} parameters"
    lines: list[RenderableType] = [line(title, "bold")]
    lines += [line(f"  {name:<8} {text}") for name, text in facts.items() if text]
    return lines + [line(f"  {'note':<8} {clean(note)}", "dim") for note in info.get("notes") or []]


def _count(info: Mapping[str, Any], name: str) -> str:
    value = info.get(name)
    return f"{value:,}" if isinstance(value, int) else "?"


def line(text: str, style: str = "") -> Text:
    """A line that keeps its spaces, with ``?`` for what a terminal would obey."""
    return Text("".join(letter if letter.isprintable() else "?" for letter in text), style)


_COLUMNS = (7, 10, 8, 9, 9, 9, 8, 7)


def _head(metric: str) -> str:
    short = {"accuracy": "acc"}.get(metric, metric)
    names = ("epoch", "train loss", "val loss", f"train {short}", f"val {short}", "gap", "lr", "time")
    return "  " + _aligned(names, metric)


def _aligned(cells: Sequence[str], metric: str) -> str:
    pairs = list(zip(cells, _COLUMNS, strict=True))
    return " ".join(cell.rjust(width) for cell, width in (pairs if metric else pairs[:3] + pairs[5:]))


def _epoch_line(row: Mapping[str, Any]) -> Text:
    """One epoch: losses, metric, gap, rate, time; the best so far bears an asterisk."""
    metric = _row_metric(row)
    name = metric or "loss"
    train, val, rate = row.get(f"{name}/train"), row.get(f"{name}/val"), row.get("lr")
    cells = (
        f"{row['epoch']}/{row['epochs']}", _loss(row.get("loss/train")), _loss(row.get("loss/val")),
        shown(metric, train), shown(metric, val), report.gap(name, train, val),
        f"{rate:.2e}" if rate is not None else "-", f"{row.get('seconds', 0.0):.1f} s",
    )  # fmt: skip
    return line(f"{'*' if row.get('best') else ' '} {_aligned(cells, metric)}")


def _row_metric(row: Mapping[str, Any]) -> str:
    return next(
        (name for name in ("accuracy", "r2", "mae") if f"{name}/train" in row or f"{name}/val" in row), ""
    )


def _loss(value: float | None) -> str:
    """Four decimals, so that a column of losses lines up."""
    return f"{value:.4f}" if value is not None and 1e-3 <= abs(value) < 1e4 else number(value)


def summary(run: Run) -> list[RenderableType]:
    """The result of a finished run: figures, verdict, what was confused, where things are, what is next.

    Raises:
        RunError: the run has not finished.
    """
    verdict = verdict_text(run.verdict, run.result.get("verdict_reason", ""))
    metric = main_metric(run) or "loss"
    said = Table.grid(padding=(0, 2))
    said.add_row("verdict", verdict)
    said.add_row("gap", f"{report.run_gap(run)} of {metric} between training and validation")
    said.add_row("epochs", report.epochs_sentence(run))
    if sentence := report.baseline_sentence(run):
        said.add_row("note", Text(sentence, "yellow"))
    return [_parts_table(run), *_confusion(run), said, *_findings(run), *_next(run)]


def _findings(run: Run) -> list[RenderableType]:
    """What is wrong with the run, if anything."""
    from fitwell.views import diagnosis, findings

    return diagnosis.findings(findings.recorded(run), f"fitwell diagnose {run.name}")


def verdict_text(verdict: str, reason: str) -> Text:
    """The word in its colour, and why; without a word the reason alone."""
    text = Text(clean(verdict).replace("-", " "), MOODS.get(verdict, "bold yellow"))
    return text.append(f"{': ' if verdict else ''}{clean(reason)}", "not bold default")


def _next(run: Run) -> list[RenderableType]:
    """Where the pictures and the report are, and the commands that make use of the run."""
    names = ("training_history.png", "confusion.png", "predictions.png", "report.html")
    files = [str(run.path / name) for name in names if (run.path / name).exists()]
    commands = [f"fitwell predict {run.name} NEW_DATA --out predictions.csv", f"fitwell report {run.name}"]
    return [
        line(f"{'' if place else label:<7}  {text}")
        for label, texts in (("see", files), ("next", commands))
        for place, text in enumerate(texts)
    ]


def _parts_table(run: Run) -> Table:
    table = Table("", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in PARTS.values():
        table.add_column(name, justify="right")
    for name, values in report.parts(run):
        table.add_row(Text(clean(name)), *values)
    return table


def _confusion(run: Run) -> list[RenderableType]:
    """The matrix where it fits, else the pairs that were confused most."""
    evaluation = run.evaluation
    if "confusion" not in evaluation:
        return []
    classes, matrix = [clean(name) for name in evaluation["classes"]], evaluation["confusion"]
    cell = max(len(str(n)) for row in matrix for n in row)
    width = max(map(len, classes)) + sum(max(len(name), cell) + 2 for name in classes)
    part = held_out_part(run)
    if len(classes) <= MATRIX_CLASSES and width <= WIDEST_MATRIX:
        return [
            line(f"{part} data: true classes in rows, predicted in columns", "dim"),
            _matrix(classes, matrix),
        ]
    pairs = [
        (n, classes[i], classes[j]) for i, row in enumerate(matrix) for j, n in enumerate(row) if n and i != j
    ]
    worst = sorted(pairs, key=lambda pair: -pair[0])[:MOST_PAIRS]
    lines = [line(f"  {true} taken for {said}: {count}") for count, true, said in worst]
    return [line(f"most often confused on {part} data", "dim"), *lines, ""] if lines else []


def _matrix(classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for name in ("", *classes):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for i, row in enumerate(matrix):
        styles = ["green" if i == j else "bold yellow" if n else "dim" for j, n in enumerate(row)]
        cells = [Text(str(n) if n else ".", style) for n, style in zip(row, styles, strict=True)]
        table.add_row(Text(classes[i], "bold"), *cells)
    table.add_row()
    return table


def runs_table(runs: Iterable[Run]) -> RenderableType:
    """All runs, a row each."""
    table = Table("run", "state", "verdict", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("test", "epochs", "time"):
        table.add_column(name, justify="right")
    for run in runs:
        result = run.info.get("result") or {}
        verdict = Text(
            clean(result.get("verdict", "-")).replace("-", " "), MOODS.get(result.get("verdict", ""), "")
        )
        table.add_row(
            Text(clean(run.name), overflow="fold"),
            run.state + _what(run),
            verdict,
            _final_figure(run, result.get("metrics", {})),
            str(result.get("epochs") or "-"),
            duration(result["seconds"]) if "seconds" in result else "-",
        )
    return table if table.row_count else line("no runs yet: fitwell train digits")


def _what(run: Run) -> str:
    """What it is, if it is no training of fitwell's own alone."""
    return f", {run.study}" if run.study else ", watched" if run.watched else ""


def _final_figure(run: Run, metrics: Mapping[str, float]) -> str:
    """What the run is judged by, on test data; a watched run may have validation data alone; the best of a study."""
    if run.study:
        from fitwell.views import study_texts

        return study_texts.best_text(run.path)
    metric = main_metric(run) or "loss"
    if f"test/{metric}" in metrics:
        return f"{metric} {shown(metric, metrics[f'test/{metric}'])}"
    if run.watched and f"val/{metric}" in metrics:
        return f"{metric} {shown(metric, metrics[f'val/{metric}'])} (val)"
    return "-"


def show(run: Run) -> list[RenderableType]:
    """One run: state, result, what its plan decided, and its curves; of others what was seen, or found."""
    if run.watched:
        from fitwell.views import watched

        return watched.show(run)
    if run.study:
        from fitwell.study import StudyRecord
        from fitwell.views import study

        return study.show(StudyRecord(run.path))
    info = run.info
    table = Table("setting", "default", "now", box=box.SIMPLE_HEAD, pad_edge=False)
    for path, usual, value, _ in report.decisions(run.plan):
        table.add_row(path, Text(clean(usual), "dim"), Text(clean(value)))
    curves = Table("signal", "", "first", "last", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in run.signals():
        values = [value for _, value in run.curve(name)]
        if values:
            curves.add_row(Text(clean(name)), Sparkline(values), number(values[0]), number(values[-1]))
    title = f"{run.name}: {info['state']}" + (
        f", {run.verdict.replace('-', ' ')}" if info.get("result") else ""
    )
    result: list[RenderableType] = (
        [_parts_table(run), line(report.epochs_sentence(run))] if info.get("result") else []
    )
    return [line(title, "bold"), *result, *_findings(run), table, curves]


@dataclass(frozen=True)
class Sparkline:
    """A curve in one line of text, in ASCII where the terminal has no more.

    Args:
        values: finite, oldest first.
        width: letters at most; a longer curve is averaged.
    """

    values: Sequence[float]
    width: int = 40

    def text(self, bars: str = BARS) -> str:
        """The line.

        >>> Sparkline([0, 1, 2, 3]).text()
        '▁▃▆█'
        """
        count = min(self.width, len(self.values))
        edges = [round(i * len(self.values) / count) for i in range(count + 1)]
        means = [sum(self.values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
        low, span = min(means), max(means) - min(means)
        top = len(bars) - 1
        return "".join(bars[round(top * (mean - low) / span) if span else 0] for mean in means)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = min(self.width, len(self.values))
        return Measurement(width, width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self.text(ASCII_BARS if options.ascii_only else BARS), no_wrap=True)


def plan_table(rows: Iterable[tuple[str, Any, str]]) -> RenderableType:
    """A plan with its reasons, for rows of (setting, value, why)."""
    table = Table("setting", "value", "why", box=box.SIMPLE_HEAD, pad_edge=False)
    for path, value, why in rows:
        table.add_row(
            clean(path), Text(clean(report.value_text(value)), overflow="fold"), Text(clean(why), "dim")
        )
    return table


def error(failure: FitwellError, stream: TextIO | None = None) -> None:
    """Say on stderr what went wrong, what was expected, and what to do: a line each, nothing more."""
    stream = stream or sys.stderr
    lines = {"error": failure.happened, "expected": failure.expected, "fix": failure.fix}
    stream.write("".join(f"{name}: {clean(text)}\n" for name, text in lines.items()))
