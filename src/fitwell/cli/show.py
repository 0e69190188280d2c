"""``fitwell show RUN``: a run's plan, curves and result."""

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
    """Show what a run or a study was and what came of it."""
    from fitwell.run import find_run
    from fitwell.study import studied
    from fitwell.views import cures, treatment
    from fitwell.views.console import make_console, put, show

    found = find_run(run, runs)
    if json_output:
        more = {"facts": found.facts} if found.watched else {"plan": json.loads(found.plan.to_json())}
        treated = cures.recorded(found)
        more |= {"treatment": treated.plain()} if treated else {}
        more |= studied(found, everything=True)
        typer.echo(json.dumps(found.info | {"run": str(found.path)} | more))
    else:
        put(make_console(), *show(found), *treatment.brief(found))
