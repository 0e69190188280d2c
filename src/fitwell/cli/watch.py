"""``fitwell watch SCRIPT``: run somebody's training as it is, and see into it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fitwell.cli import Launch
from fitwell.cli.common import RunsOption
from fitwell.errors import PlanError


def command(
    program: Annotated[
        list[str],
        typer.Argument(help="A script and its arguments.", metavar="SCRIPT [ARGS]...", show_default=False),
    ],
    module: Annotated[
        bool, typer.Option("-m", help="SCRIPT is the name of a module, as in `python -m`.")
    ] = False,
    budget: Annotated[str, typer.Option(help="The share of the wall time that watching may take.")] = "3%",
    runs: RunsOption = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the result to this file as JSON.", metavar="FILE")
    ] = None,
) -> None:
    """Run a training script unchanged, and see into it.

    The script gets its arguments, its output, its exit code; what was seen is told on stderr at the end.
    Options of fitwell come before SCRIPT.
    """
    from fitwell.watched import program_to_watch
    from fitwell.watching.launch import Program

    name, *arguments = program
    share = parse_share(budget)
    raise Launch(program_to_watch(Program(name, arguments, module), runs, share, json_file))


command.options_first = True  # type: ignore[attr-defined]  # what follows SCRIPT is the script's


def parse_share(text: str) -> float:
    """A share from ``3%`` or ``0.03``.

    Raises:
        PlanError: it is no number, or not between 0 and 1.
    """
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise PlanError(f"the budget is {text!r}", "a share such as 3% or 0.03", "give another --budget")
    return value
