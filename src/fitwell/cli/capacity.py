"""``fitwell capacity DATA``: accuracy against parameters, from one population."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fitwell.cli.common import JsonOption, RunsOption, parse_time
from fitwell.cli.options import with_plan_options
from fitwell.cli.tune import show
from fitwell.errors import PlanError
from fitwell.plan import Plan


@with_plan_options
def command(
    *,
    plan: Plan,
    sizes: Annotated[
        str | None,
        typer.Option(help="Widths of the first hidden layer: 0,8,64; 0 is a linear model.", metavar="WIDTHS"),
    ] = None,
    resamples: Annotated[
        int, typer.Option(help="Training sets on which each size is trained.", show_default=True)
    ] = 4,
    within: Annotated[
        str | None, typer.Option("--time", help="At most: 90s, 5m, 2h.", metavar="TIME")
    ] = None,
    runs: RunsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Find which size of model is too little or too much."""
    from fitwell.tuned import capacity
    from fitwell.views.study import StudyProgress

    observer = StudyProgress(sys.stderr if json_output else sys.stdout)
    study = capacity(
        plan, parse_sizes(sizes), resamples=resamples, seconds=None if within is None else parse_time(within),
        runs=runs, observer=observer,
    )  # fmt: skip
    show(study, observer, json_output)


def parse_sizes(text: str | None) -> list[int] | None:
    """The numbers of ``8,16,32``; None where nothing is given.

    Raises:
        PlanError: it is something else.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise PlanError(f"the sizes are {text!r}", "whole numbers with commas between", "try --sizes 8,16,32")
    return [int(part) for part in parts]
