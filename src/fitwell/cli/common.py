"""Options that several commands share."""

from __future__ import annotations

import difflib
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
