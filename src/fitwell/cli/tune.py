"""``fitwell tune DATA``: search for settings that train better, many trainings as one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fitwell.cli import FAILED
from fitwell.cli.common import JsonOption, RunsOption, parse_time
from fitwell.cli.options import with_plan_options
from fitwell.plan import Plan

if TYPE_CHECKING:
    from fitwell.study import StudyRecord


@with_plan_options
def command(  # noqa: PLR0913 - each is an option
    *,
    plan: Plan,
    trials: Annotated[
        int | None, typer.Option(help="Trainings to try, at most [64].", metavar="NUMBER")
    ] = None,
    method: Annotated[
        str, typer.Option(help="auto, grid, random or bayes.", metavar="METHOD", show_default=True)
    ] = "auto",
    within: Annotated[
        str | None, typer.Option("--time", help="At most: 90s, 5m, 2h.", metavar="TIME")
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(help="What may be tried, as TOML: lr = {low=1e-4, high=0.1, log=true}.", metavar="FILE"),
    ] = None,
    cv: Annotated[
        int | None, typer.Option("--cv", help="Train each trial on so many folds.", metavar="FOLDS")
    ] = None,
    halving: Annotated[bool, typer.Option(help="Give up the worse half of the trials early.")] = True,
    ray: Annotated[
        str | None,
        typer.Option("--ray", help="Train on a Ray cluster: local, auto or its address.", metavar="ADDRESS"),
    ] = None,
    runs: RunsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Search for settings that train better on DATA.

    Many trainings go on as one; the best is compared with the default on fresh seeds.
    """
    from fitwell.space import Space
    from fitwell.tuned import tune
    from fitwell.views.study import StudyProgress

    asked = None if space is None else Space.from_toml(space)
    observer = StudyProgress(sys.stderr if json_output else sys.stdout)
    study = tune(
        plan, asked, trials=trials, method=method, seconds=None if within is None else parse_time(within),
        cv=cv, halving=halving, ray=ray, runs=runs, observer=observer,
    )  # fmt: skip
    show(study, observer, json_output)


def show(study: StudyRecord, observer: Any, json_output: bool) -> None:
    """What came of a study; a failure if no trial ended well."""
    from fitwell.study import studied
    from fitwell.views.study import summary

    if json_output:
        typer.echo(json.dumps({"run": str(study.path)} | studied(study, everything=True)))
    else:
        observer.progress.say(*summary(study))
    if not study.ranked():
        raise typer.Exit(FAILED)
