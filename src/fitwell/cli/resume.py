"""``fitwell resume RUN``: go on where a training was stopped."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from fitwell.cli.common import JsonOption, RunsOption


def command(
    run: Annotated[str, typer.Argument(help="Path or name of a run, or `last`.", metavar="RUN")],
    runs: RunsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Go on with a training that was stopped or killed.

    It ends with the very result that it would have had.
    """
    from fitwell.errors import RunError
    from fitwell.fitting import resume
    from fitwell.run import find_run
    from fitwell.views.console import Progress, summary

    if (found := find_run(run, runs)).watched:
        raise RunError(
            f"run {found.name} was only watched: fitwell did not train it",
            "a run of `fitwell train`",
            "run the script again: `fitwell watch SCRIPT`",
        )
    progress = Progress(sys.stderr if json_output else sys.stdout)
    done = resume(run, runs=runs, observer=progress)
    progress.say(*summary(done))
    if json_output:
        typer.echo(json.dumps(done.result))
