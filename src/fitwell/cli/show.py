"""``fitwell show RUN``: a run's plan, curves and result."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from fitwell.cli.options import JsonOption, RunsOption


def command(
    run: Annotated[str, typer.Argument(help="Path or name of a run, or `last`.", metavar="RUN")],
    runs: RunsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show what a run was and what came of it."""
    from fitwell.run import find_run
    from fitwell.views.console import make_console, put, show

    found = find_run(run, runs)
    if json_output:
        typer.echo(
            json.dumps(found.info | {"run": str(found.path), "plan": json.loads(found.plan.to_json())})
        )
    else:
        put(make_console(), *show(found))
