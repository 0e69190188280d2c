"""``fitwell train DATA``: from raw data to a model that fits well."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from fitwell.cli.common import JsonOption, RunsOption
from fitwell.cli.options import with_plan_options
from fitwell.plan import Plan


@with_plan_options
def command(
    plan: Plan,
    runs: RunsOption = None,
    json_output: JsonOption = False,
    explain_plan: Annotated[
        bool, typer.Option("--explain-plan", help="Show every setting and its reason; train nothing.")
    ] = False,
) -> None:
    """Train a model on DATA with good defaults.

    It leaves a saved model, its learning curves and an honest report.
    """
    if explain_plan:
        _explain(plan, json_output)
        return
    from fitwell.fitting import fit
    from fitwell.views.console import Progress, summary

    progress = Progress(sys.stderr if json_output else sys.stdout)
    run = fit(plan, runs=runs, observer=progress)
    progress.say(*summary(run))
    if json_output:
        typer.echo(json.dumps(run.result))


def _explain(plan: Plan, as_json: bool) -> None:
    from fitwell.fitting import foresee
    from fitwell.views.console import make_console, plan_table, put

    decided, reasons, forecast = foresee(plan)
    rows = [(path, value, reasons.get(path, why)) for path, value, why in decided.settings()]
    if as_json:
        plain = {path: {"value": value, "why": why} for path, value, why in rows}
        typer.echo(json.dumps({"settings": plain, "forecast": forecast.lines()}, default=str))
        return
    console = make_console()
    put(console, plan_table(rows), *forecast.lines())
