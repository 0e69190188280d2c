"""``fitwell runs``: the runs in the folder of runs."""

from __future__ import annotations

import json

import typer

from fitwell.cli.common import JsonOption, RunsOption


def command(runs: RunsOption = None, json_output: JsonOption = False) -> None:
    """List the runs, oldest first."""
    from fitwell.run import list_runs, runs_folder
    from fitwell.study import studied
    from fitwell.views.console import make_console, put, runs_table

    found = list_runs(runs)
    if json_output:
        typer.echo(json.dumps([{"run": str(run.path)} | run.info | studied(run) for run in found]))
    elif found:
        put(make_console(), runs_table(found))
    else:
        typer.echo(f"no runs in {runs_folder(runs)}; `fitwell train digits` makes one")
