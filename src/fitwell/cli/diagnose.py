"""``fitwell diagnose RUN``: what is wrong with a training, and why."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from fitwell.cli import FINDINGS
from fitwell.cli.common import JsonOption, RunsOption, known_rule
from fitwell.errors import PlanError

SEVERITIES = ("error", "warning", "advice")


def command(
    run: Annotated[str, typer.Argument(help="Path or name of a run, or `last`.", metavar="RUN")],
    runs: RunsOption = None,
    json_output: JsonOption = False,
    fail_on: Annotated[
        str | None,
        typer.Option(help="End with code 3 if there is a finding as severe.", metavar="error|warning"),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show also what is fine, and what could not be checked and why.")
    ] = False,
    why: Annotated[
        str | None, typer.Option(help="Show the proof of one rule, whether it holds or not.", metavar="NAME")
    ] = None,
) -> None:
    """Say what is wrong with a training, and prove it."""
    from fitwell.diagnosing import diagnose, rules
    from fitwell.run import find_run
    from fitwell.views import diagnosis
    from fitwell.views.console import make_console, put

    if fail_on not in (None, "error", "warning"):
        raise PlanError(f"--fail-on is {fail_on!r}", "error or warning", "give one of them")
    rule = None if why is None else known_rule(why)
    made = diagnose(find_run(run, runs))
    if why is not None and rule is not None and json_output:
        proof = made.proofs[why]
        lines = [line.plain() for line in proof.evidence]
        typer.echo(json.dumps({"name": why, "holds": proof.holds, "evidence": lines}))
    elif json_output:
        typer.echo(json.dumps(made.plain()))
    elif why is not None and rule is not None:
        put(make_console(), *diagnosis.why(why, rules()[why], made.proofs[why]))
    else:
        put(make_console(), *diagnosis.diagnosis(made, everything))
    if fail_on and any(
        SEVERITIES.index(finding.severity) <= SEVERITIES.index(fail_on) for finding in made.findings
    ):
        raise typer.Exit(FINDINGS)
