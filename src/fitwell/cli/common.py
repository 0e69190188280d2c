"""Options that several commands share."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fitwell.errors import PlanError

if TYPE_CHECKING:
    from fitwell.diagnosis import Rule

RunsOption = Annotated[
    Path | None, typer.Option("--runs", help="Folder of runs [FITWELL_RUNS, else ./runs].", metavar="DIR")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_time(text: str) -> float:
    """Seconds from ``90s``, ``30m``, ``2h``, ``1d`` or ``90``.

    Raises:
        PlanError: it is none of them, or zero.
    """
    found = re.fullmatch(r"(\d+\.?\d*)([smhd]?)", text.strip())
    seconds = float(found[1]) * UNITS[found[2] or "s"] if found else 0.0
    if seconds <= 0:
        raise PlanError(f"the time is {text!r}", "a time such as 90s, 30m or 2h", "give another --time")
    return seconds


def known_rule(name: str) -> Rule:
    """The rule of a finding.

    Raises:
        PlanError: there is no rule of that name.
    """
    from fitwell.diagnosing import rules

    if name not in rules():
        near = difflib.get_close_matches(name, rules(), n=1)
        fix = f"did you mean {near[0]}?" if near else "see `fitwell rules`"
        raise PlanError(f"no rule is called {name!r}", "the name of a finding", fix)
    return rules()[name]
