"""``fitwell samples DATA``: accuracy against the number of training samples."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fitwell.cli.capacity import parse_sizes
from fitwell.cli.common import JsonOption, RunsOption
from fitwell.cli.options import with_plan_options
from fitwell.cli.tune import show
from fitwell.plan import Plan


@with_plan_options
def command(
    *,
    plan: Plan,
    sizes: Annotated[
        str | None,
        typer.Option(
            help="Numbers of training samples: 100,1000; by default halves of all.", metavar="NUMBERS"
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option(help="Trainings with each number of samples.", show_default=True)
    ] = 3,
    runs: RunsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Find out whether more of DATA would help."""
    from fitwell.tuned import learning_curve
    from fitwell.views.study import StudyProgress

    observer = StudyProgress(sys.stderr if json_output else sys.stdout)
    study = learning_curve(plan, parse_sizes(sizes), repeats=repeats, runs=runs, observer=observer)
    show(study, observer, json_output)
