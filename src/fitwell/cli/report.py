"""``fitwell report RUN``: the report of a run, as one HTML page."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from fitwell.cli.common import JsonOption, RunsOption


def command(
    run: Annotated[str, typer.Argument(help="Path or name of a run, or `last`.", metavar="RUN")],
    runs: RunsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Write the report of a run anew and print where it is."""
    from fitwell.run import find_run
    from fitwell.views.report import write_report

    path = write_report(find_run(run, runs))
    typer.echo(json.dumps({"report": str(path)}) if json_output else path)
