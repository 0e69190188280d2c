"""What came of a treatment as text and as HTML, read from what the run holds: ``treatment.json``."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from fitwell.errors import FitwellError
from fitwell.run import Run
from fitwell.run.files import read_json
from fitwell.treatment import FILE, TREATED_PLAN, Treatment, Trial, Tried
from fitwell.views import findings, page
from fitwell.views.figures import duration, number
from fitwell.views.seen import counted

HEAD = ("remedy", "for", "how", "in one training", "result")


def recorded(run: Run) -> Treatment | None:
    """The treatment that is written in a run's folder, if it was treated."""
    path = run.path / FILE
    return Treatment.from_plain(read_json(path)) if path.exists() else None


def headline(of: Treatment) -> str:
    """The answer, with the remedy if one is recommended.

    >>> headline(Treatment("runs/a", "inconclusive", "nothing was found that is to be mended"))
    'nothing was tried: nothing was found that is to be mended'
    """
    if not of.tried:
        return f"nothing was tried: {of.because}"
    if of.cure is None:
        return f"{of.answer}: {of.because}"
    answer = of.answer if of.answer == "confirmed" else f"the bug is gone, a gain is {of.answer}"
    return f"{answer}: {of.cure.says}"


def section(run: Run) -> str:
    """The same for a report, as HTML; empty if the run was not treated."""
    of = recorded(run)
    if of is None:
        return ""
    how = applying(of)
    parts = (
        f"<p><b>{escape(headline(of))}</b></p>",
        *(f"<p>{escape(text)}</p>" for text in found(of)),
        page.table(f"What was tried, by {escape(of.metric)}", HEAD, rows(of), "plan") if of.tried else "",
        page.table("", ["", ""], facts(of), "plan"),
        f"<pre><code>{escape(of.diff)}</code></pre>" if of.diff else "",
        f"<p>To apply it:</p><pre><code>{escape(how)}</code></pre>" if how else "",
    )
    return page.section("What mends it?", "".join(parts))


def rows(of: Treatment) -> list[list[str]]:
    """The run as it is and what was tried: remedy, finding, how, metric of one training, what came of it."""
    as_it_is = ["as it is", "", "", number(of.control, 3), ""]
    return [as_it_is, *([_cells(tried) for tried in of.tried])]


def _cells(tried: Tried) -> list[str]:
    result = tried.trial.answer if tried.trial else tried.because
    return [tried.says, tried.finding, tried.how, number(tried.screened, 3), result]


def found(of: Treatment) -> list[str]:
    """What was wrong: the findings that something was tried for, in their own words."""
    names = list(dict.fromkeys(tried.finding for tried in of.tried))
    try:
        known = {finding["name"]: finding for finding in findings.recorded(Run(Path(of.run)))}
    except FitwellError:  # the run was moved or removed
        known = {}
    return [_said(name, known.get(name)) for name in names]


def _said(name: str, finding: Mapping[str, Any] | None) -> str:
    if finding is None:
        return name
    place = findings.where_text(finding)
    return f"{name}{f' at {place}' if place else ''}: {finding['says']}"


def facts(of: Treatment) -> list[tuple[str, str]]:
    """The figures of the verdict and what the cure costs."""
    trial = trial_of(of)
    told: list[tuple[str, str]] = []
    if trial is not None and trial.metric:
        told.append(("figures", trial_text(trial)))
    if of.cure is not None:
        told.append(("because", of.because))
    if of.costs:
        told.append(("costs", of.costs))
    if of.not_when:
        told.append(("not when", of.not_when))
    pairs = {
        run for tried in of.tried if tried.trial for run in tried.trial.runs
    }  # trials share their controls
    count = len(of.tried) + len(pairs)
    return [*told, ("took", f"{duration(of.seconds)}, {counted(count, 'training')}")] if count else told


def trial_of(of: Treatment) -> Trial | None:
    """That of the cure, else the one that gave the answer."""
    if of.cure is not None:
        return of.cure.trial
    trials = [tried.trial for tried in of.tried if tried.trial]
    return next((trial for trial in trials if trial.because in of.because), trials[0] if trials else None)


def trial_text(trial: Trial) -> str:
    """The paired figures of a trial.

    >>> from fitwell.experiment import Paired
    >>> difference = Paired(0.5, 0.4, 0.6, 2)
    >>> trial_text(Trial("confirmed", "", "val/accuracy", True, (1, 2), (0.25, 0.25), (0.75, 0.75), difference))
    'val/accuracy 0.25 ± 0 -> 0.75 ± 0 on seeds 1, 2; difference +0.5 (95 % interval +0.4 to +0.6)'
    """
    seeds = ", ".join(map(str, trial.seeds))
    text = f"{means(trial)} on seed{'s' * (len(trial.seeds) != 1)} {seeds}"
    by = trial.difference
    if by is None:
        return f"{text}; no pair of figures to compare"
    if math.isinf(by.low):
        return f"{text}; difference {_signed(by.mean)} (one pair has no interval)"
    return f"{text}; difference {_signed(by.mean)} (95 % interval {_signed(by.low)} to {_signed(by.high)})"


def means(trial: Trial) -> str:
    """The metric without and with the treatment."""
    return f"{trial.metric} {_spread(trial.control)} -> {_spread(trial.treated)}"


def _spread(values: Sequence[float | None]) -> str:
    """Mean and standard deviation of what is known, and how many trainings failed."""
    known = [value for value in values if value is not None]
    failed = f" ({len(values) - len(known)} failed)" if len(known) < len(values) else ""
    if not known:
        return f"no figure{failed}"
    spread = f" ± {number(stdev(known), 2)}" if len(known) > 1 else ""
    return f"{number(fmean(known), 3)}{spread}{failed}"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else ''}{number(value, 3)}"


def applying(of: Treatment) -> str:
    """The command that makes the change; empty if there is nothing to change."""
    if of.cure is None:
        return ""
    if of.cure.how == "plan":
        return _trained_anew(Path(of.run))
    if not of.diff:
        return f"by hand, for the place in the program was not found: {of.cure.says}"
    return shlex.join(["fitwell", "treat", of.run, "--write"])


def _trained_anew(folder: Path) -> str:
    try:
        source = str(Run(folder).plan.data.source)
    except FitwellError:  # the run was moved or removed
        source = "DATA"
    if source == "memory":
        return _in_python(folder)
    return shlex.join(["fitwell", "train", source, "--plan", str(folder / TREATED_PLAN)])


def _in_python(folder: Path) -> str:
    text = f"Path({str(folder / TREATED_PLAN)!r}).read_text()"
    return f"fitwell.fit(fitwell.Plan.from_json({text}).change(source=DATA))"
