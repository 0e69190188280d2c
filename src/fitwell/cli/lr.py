"""``fitwell lr DATA``: the learning-rate finder, with its picture."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from fitwell.cli.common import JsonOption
from fitwell.cli.options import with_plan_options
from fitwell.plan import Plan


@with_plan_options
def command(
    plan: Plan,
    out: Annotated[Path, typer.Option(help="Picture to write.", metavar="FILE")] = Path("learning_rate.png"),
    json_output: JsonOption = False,
) -> None:
    """Find a learning rate for DATA, with its picture.

    A copy of the model is trained while the rate grows; the suggestion is read from where its loss falls.
    """
    from fitwell.fitting import explore_rates
    from fitwell.views.figures import lr_finder, save

    found = explore_rates(plan)
    save(lr_finder(found), out)
    if json_output:
        typer.echo(json.dumps(dataclasses.asdict(found) | {"picture": str(out)}))
        return
    for reason in found.reasons:
        typer.echo(reason)
    typer.echo(f"suggested learning rate: {found.suggestion:g}")
    typer.echo(f"picture: {out}")
