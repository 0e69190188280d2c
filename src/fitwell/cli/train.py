"""``fitwell train DATA``: from raw data to a model that fits well."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from fitwell.cli.common import JsonOption, RunsOption
from fitwell.cli.options import with_plan_options
from fitwell.errors import PlanError
from fitwell.plan import Plan

if TYPE_CHECKING:
    from fitwell.treatment import Treatment


@with_plan_options
def command(
    plan: Plan,
    runs: RunsOption = None,
    json_output: JsonOption = False,
    explain_plan: Annotated[
        bool, typer.Option("--explain-plan", help="Show every setting and its reason; train nothing.")
    ] = False,
    treat: Annotated[
        bool,
        typer.Option("--treat", help="Mend what is wrong, and prove it; until it fits, or nothing helps."),
    ] = False,
) -> None:
    """Train a model on DATA with good defaults.

    It leaves a saved model, its learning curves and an honest report.
    """
    from fitwell.training.distributed import one_voice

    with one_voice():
        if explain_plan:
            _explain(plan, json_output)
            return
        stream = sys.stderr if json_output else sys.stdout
        result = _treat(plan, runs, stream) if treat else _train(plan, runs, stream)
        if json_output:
            typer.echo(json.dumps(result))


def _train(plan: Plan, runs: Path | None, stream: TextIO) -> dict[str, Any]:
    from fitwell.fitting import fit
    from fitwell.views.console import Progress, summary

    progress = Progress(stream)
    run = fit(plan, runs=runs, observer=progress)
    progress.say(*summary(run))
    return run.result


def _treat(plan: Plan, runs: Path | None, stream: TextIO) -> dict[str, Any]:
    """Train, then treat as long as that helps; every run that has ended stays, whatever stops it."""
    from fitwell.errors import DivergedError
    from fitwell.fitting import fit
    from fitwell.run import Run
    from fitwell.training.distributed import processes
    from fitwell.treating.plans import treat_again
    from fitwell.views.console import Progress, summary
    from fitwell.views.report import write_report
    from fitwell.views.treatment import closing, treatment

    if processes() > 1:
        raise PlanError(
            f"--treat in {processes()} processes",
            "one process, for a treatment trains many models",
            "leave out --treat; then `fitwell treat last`",
        )
    progress, diverged = Progress(stream), None
    try:
        first: Run = fit(plan, runs=runs, observer=progress)
        progress.say(*summary(first))
    except DivergedError as error:
        first, diverged = Run(error.run), error
        progress.say(error.happened)
    found: list[Treatment] = []

    def tell(treated: Treatment) -> None:
        found.append(treated)
        progress.say("", *treatment(treated))
        if Run(treated.run).state == "done":
            write_report(Run(treated.run))

    run = treat_again(first, fit=fit, runs=runs, observe=lambda: Progress(stream), tell=tell)
    if diverged and run is first:
        raise diverged
    if run is not first:
        progress.say(*summary(run), "")
    progress.say(*closing(run, found))
    return run.result | {"treatments": [treated.plain() for treated in found]}


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
