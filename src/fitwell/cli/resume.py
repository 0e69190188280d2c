"""``fitwell resume RUN``: go on where a training, or a study, was stopped."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fitwell.cli.common import JsonOption, RunsOption

if TYPE_CHECKING:
    from fitwell.run import Run


def command(
    run: Annotated[str, typer.Argument(help="Path or name of a run, or `last`.", metavar="RUN")],
    ray: Annotated[
        str | None,
        typer.Option("--ray", help="As for `fitwell tune`: a search goes on there.", metavar="ADDRESS"),
    ] = None,
    runs: RunsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Go on with a training or a study that was stopped or killed.

    A training ends with the very result that it would have had; no trial of a study is trained twice.
    """
    from fitwell.errors import RunError
    from fitwell.fitting import resume
    from fitwell.run import find_run
    from fitwell.training.distributed import one_voice
    from fitwell.views.console import Progress, summary

    if (found := find_run(run, runs)).watched:
        raise RunError(
            f"run {found.name} was only watched: fitwell did not train it",
            "a run of `fitwell train`",
            "run the script again: `fitwell watch SCRIPT`",
        )
    if found.study:
        _study(found, ray, runs, json_output)
        return
    with one_voice():
        progress = Progress(sys.stderr if json_output else sys.stdout)
        done = resume(run, runs=runs, observer=progress)
        progress.say(*summary(done))
        if json_output:
            typer.echo(json.dumps(done.result))


def _study(run: Run, ray: str | None, runs: Path | None, json_output: bool) -> None:
    from fitwell.cli.tune import show
    from fitwell.tuned import resume_study
    from fitwell.views.study import StudyProgress

    observer = StudyProgress(sys.stderr if json_output else sys.stdout)
    show(resume_study(run.path, ray=ray, runs=runs, observer=observer), observer, json_output)
