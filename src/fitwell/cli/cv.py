"""``fitwell cv DATA``: cross-validation, all folds as one population."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fitwell.cli.common import JsonOption, RunsOption
from fitwell.cli.options import with_plan_options
from fitwell.cli.tune import show
from fitwell.plan import Plan


@with_plan_options
def command(
    *,
    plan: Plan,
    folds: Annotated[
        int, typer.Option(help="Parts, each of which is validated on once.", show_default=True)
    ] = 5,
    runs: RunsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Train on every fold of DATA, and say how sure it is.

    Classes keep their shares; --group keeps groups in one fold, --time validates on what comes later.
    """
    from fitwell.tuned import cross_validate
    from fitwell.views.study import StudyProgress

    observer = StudyProgress(sys.stderr if json_output else sys.stdout)
    show(cross_validate(plan, folds, runs=runs, observer=observer), observer, json_output)
