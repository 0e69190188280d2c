"""What a terminal shows of a treatment."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fitwell.run import Run
from fitwell.treatment import Treatment
from fitwell.views import cures
from fitwell.views.console import clean, line
from fitwell.views.diagnosis import INDENT, row

STYLES = {"confirmed": "bold green", "refuted": "bold red", "inconclusive": "bold yellow"}
LINES = {"+": "green", "-": "red", "@": "cyan"}  # of a diff


def treatment(of: Treatment) -> list[RenderableType]:
    """What was wrong, what was tried, the verdict with its figures, the change, and how to make it."""
    items: list[RenderableType] = [
        row("" if place else "found", text) for place, text in enumerate(cures.found(of))
    ]
    items += [_tried(of)] if of.tried else []
    items += [line(cures.headline(of), STYLES[of.answer])]
    items += [row(label, text) for label, text in cures.facts(of)]
    if of.diff:
        items += ["", *(_diff_line(text) for text in of.diff.splitlines())]
    how = cures.applying(of)
    if how:
        items += ["", _line("apply", how)]
    return items


def brief(run: Run) -> list[RenderableType]:
    """A line on the treatment of a run, if it was treated."""
    of = cures.recorded(run)
    if of is None:
        return []
    trial = cures.trial_of(of)
    figures = f" ({cures.means(trial)})" if trial is not None and of.cure is not None else ""
    return [row("treated", cures.headline(of) + figures)]


def closing(run: Run, treatments: Sequence[Treatment]) -> list[RenderableType]:
    """The end of a training that was treated until it fitted, or until nothing helped.

    Args:
        run: that is left.
        treatments: in order; none if the first training fitted.
    """
    if not treatments:
        return [line("nothing to treat: it fits", "bold green")]
    helped = [of for of in treatments if of.cure is not None]
    items: list[RenderableType] = [
        row("treated" if number == 0 else "then", cures.headline(of)) for number, of in enumerate(treatments)
    ]
    if not helped:
        return [*items, _line("kept", f"as it was: {run.path}")]
    return [*items, _line("kept", str(run.path)), _line("again", cures.applying(helped[-1]))]


def _tried(of: Treatment) -> Table:
    """A row for the run as it is and for each remedy; the finding is left out where there is one alone."""
    hidden = {1} if len({each.finding for each in of.tried}) == 1 else set()
    head = [*cures.HEAD[:3], of.metric or cures.HEAD[3], cures.HEAD[4]]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(head):
        if place not in hidden:
            table.add_column(Text(clean(name)), justify="right" if place == 3 else "left")
    answers = ["", *(each.trial.answer if each.trial else "" for each in of.tried)]
    for texts, answer in zip(cures.rows(of), answers, strict=True):
        cells = [Text(clean(cell)) for place, cell in enumerate(texts) if place not in hidden]
        cells[-1].stylize(STYLES.get(answer, ""))
        table.add_row(*cells)
    return table


def _diff_line(text: str) -> Text:
    style = "bold" if text.startswith(("---", "+++")) else LINES.get(text[:1], "")
    return line(text.expandtabs(4), style)


def _line(label: str, text: str) -> RenderableType:
    """A label and a path or a command, which is never broken, so that it can be copied."""
    return line(f"{label:<{INDENT}}{text}")
