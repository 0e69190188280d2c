"""What a terminal shows of a study: a line a trial while it goes on; at its end what was found, and how sure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from fitwell.study import StudyRecord
from fitwell.views import study_texts as texts
from fitwell.views.console import MOODS, Progress, clean, line
from fitwell.views.diagnosis import row
from fitwell.views.figures import shown
from fitwell.views.watched import reference

MOST_SHOWN = 100  # trials of ``fitwell show``
WIDEST = 70  # of settings and reason together
WIDEST_REASON = 36
BAR = 16  # letters


class Told(Protocol):
    """What is told of a trial that ended; a TrialRecord is one."""

    @property
    def number(self) -> int:
        """From 1, in the order of their beginning."""

    @property
    def values(self) -> Mapping[str, Any]:
        """The settings that were changed."""

    @property
    def score(self) -> float | None:
        """The study's metric, if it is known."""

    @property
    def state(self) -> str:
        """``done``, ``failed`` or ``stopped``."""

    @property
    def reason(self) -> str:
        """Why it failed or was stopped; else empty."""


class StudyProgress:
    """Shows a study: a line for each trial that ended, and news.

    Args:
        stream: where to; stdout by default.
        metric: by which trials are compared: ``val/accuracy``; by default that figure of a trial which is its score.
        log: a file that gets a copy of everything.
    """

    def __init__(self, stream: TextIO | None = None, metric: str = "", log: Path | None = None) -> None:
        self.progress, self.metric = Progress(stream, log), metric
        self._head = False

    def say(self, text: str) -> None:
        """One line of news; the next trial gets the head of the columns again."""
        self._head = False
        self.progress.say(text)

    def trial(self, told: Told, best: float | None = None) -> None:
        """A line for a trial that ended; an asterisk marks the best so far.

        Args:
            told: of it.
            best: the best score so far, its own included.
        """
        self.metric = self.metric or _scored_by(told)
        name = self.metric.rpartition("/")[2] or "score"
        if not self._head:
            self._head = True
            self.progress.say(line(_columns("trial", name, "best", "settings"), "dim"))
        first = told.state == "done" and told.score is not None and told.score == best
        mark = f"{'*' if first else ' '}{told.number}"
        why = f"  {told.state}: {_cut(told.reason, WIDEST_REASON)}" if told.state != "done" else ""
        values = _cut(texts.values_text(told.values), WIDEST - len(why))
        text = _columns(mark, shown(name, told.score), shown(name, best), values)
        self.progress.say(line(text + why, "" if told.state == "done" else "dim"))


def _scored_by(told: Told) -> str:
    """The figure on validation data that is the score of the trial; empty if none is."""
    figures: Mapping[str, float] = getattr(told, "metrics", {})
    same = (name for name, value in figures.items() if name.startswith("val/") and value == told.score)
    return next(same, "")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _columns(number: str, score: str, best: str, values: str) -> str:
    return f"{number:>6} {score:>10} {best:>10}  {values}"


@dataclass(frozen=True)
class Bar:
    """A bar as long as its share, in ASCII where the terminal has no more."""

    share: float
    width: int = BAR

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.width, self.width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        count = round(self.width * min(max(self.share, 0.0), 1.0))
        yield Text(("#" if options.ascii_only else "█") * count, "green", no_wrap=True)


def summary(study: StudyRecord) -> list[RenderableType]:
    """The end of a study: what was tried, what is best, how sure that is, what failed, and what is next."""
    items: list[RenderableType] = [line(clean(texts.title(study)), "bold")]
    if state := texts.state_text(study):
        items.append(row("state", state))
    items += _KINDS.get(study.kind, _tune)(study)
    items += [row("" if place else "lost", text) for place, text in enumerate(texts.failures(study))]
    items += [row("note", text) for text in study.notes]
    commands = texts.next_commands(study, reference(study))
    return [
        *items, "",
        *(line(f"{'' if place else 'next':<8} {text}") for place, text in enumerate(commands)),
    ]  # fmt: skip


def show(study: StudyRecord) -> list[RenderableType]:
    """A study with all its trials."""
    trials = study.tried
    items: list[RenderableType] = [line(f"{study.name}: {study.state}", "bold"), *summary(study)]
    if trials:
        items += ["", line("all trials", "bold"), _table(*texts.trials_table(study, trials[:MOST_SHOWN]))]
    left = len(trials) - MOST_SHOWN
    more = f"... and {left} more trials: fitwell.study.StudyRecord({str(study.path)!r}).frame()"
    return [*items, *([line(more, "dim")] if left > 0 else [])]


def _tune(study: StudyRecord) -> list[RenderableType]:
    """What each stage found, the best trials beside the default, how sure that is, and what they reach together."""
    items: list[RenderableType] = []
    if stages := texts.stage_rows(study):
        items.append(_table(["stage", "trials", "best", "found"], stages))
    if first := texts.best_trials(study):
        items.append(_table(*texts.trials_table(study, first)))
    told = {"sure": texts.sure_text(study), "together": texts.ensemble_text(study)}
    return items + [row(label, text) for label, text in told.items() if text]


def _cv(study: StudyRecord) -> list[RenderableType]:
    head, rows = texts.folds_table(study)
    items: list[RenderableType] = [_table(head, rows)] if rows else []
    return items + [row("" if place else "mean", text) for place, text in enumerate(texts.cv_texts(study))]


def _points(study: StudyRecord) -> list[RenderableType]:
    """A row for each size or number of samples with a bar of its figure on validation data, and what that says."""
    head, rows = texts.points_table(study)
    items: list[RenderableType] = []
    if rows:
        items.append(_table([*head, ""], rows, [Bar(share) for share in _shares(study)]))
    return items + ([row("said", texts.said(study))] if texts.said(study) else [])


def _shares(study: StudyRecord) -> list[float]:
    """Where the figure of each point on validation data lies between the lowest and the highest; a letter at least."""
    found = [texts.interval(point.get("val")) for point in study.summary.get("points") or []]
    means = [each.mean for each in found if each is not None]
    low, span = min(means, default=0.0), max(means, default=0.0) - min(means, default=0.0)
    shares = [0.0 if each is None else (each.mean - low) / span if span else 1.0 for each in found]
    return [
        max(share, 1 / BAR) if each is not None else 0.0 for share, each in zip(shares, found, strict=True)
    ]


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], last: Sequence[RenderableType] = ()
) -> RenderableType:
    """A table: figures to the right, sentences wrapped, verdicts in their colour.

    Args:
        head: the names of the columns.
        rows: their cells.
        last: a further cell for each row, if any.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, column in zip(head, [*zip(*rows, strict=True), *([()] if last else [])], strict=True):
        table.add_column(Text(clean(name)), justify="right" if _figures(column) else "left")
    for place, cells in enumerate(rows):
        styled = [Text(clean(cell), MOODS.get(cell.replace(" ", "-"), "")) for cell in cells]
        table.add_row(*styled, *last[place : place + 1])
    return table


def _figures(column: Sequence[str]) -> bool:
    """Whether a column holds figures, which are compared best when they are aligned to the right."""
    told = [cell for cell in column if cell not in ("", "-")]
    return bool(told) and all(cell[0].isdigit() or cell[0] == "-" for cell in told)


_KINDS: dict[str, Callable[[StudyRecord], list[RenderableType]]] = {
    "tune": _tune, "cv": _cv, "capacity": _points, "samples": _points,
}  # fmt: skip
