"""``fitwell treat SCRIPT`` and ``fitwell treat RUN``: find what mends a training, and prove it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from fitwell.cli import FAILED
from fitwell.cli.common import JsonOption, RunsOption, parse_time
from fitwell.errors import PlanError

if TYPE_CHECKING:
    from pathlib import Path

    from fitwell.run import Run
    from fitwell.treatment import Treatment

TERMINATED = 143


def command(  # noqa: PLR0913 - each is an option
    *,
    context: typer.Context,
    program: Annotated[
        list[str],
        typer.Argument(
            help="A script and its arguments, or a run.", metavar="SCRIPT|RUN [ARGS]...", show_default=False
        ),
    ],
    module: Annotated[
        bool, typer.Option("-m", help="SCRIPT is the name of a module, as in `python -m`.")
    ] = False,
    remedy: Annotated[str | None, typer.Option(help="Try this remedy alone.", metavar="NAME")] = None,
    seeds: Annotated[int, typer.Option(help="Pairs of trainings that verify the best, at least.")] = 3,
    time: Annotated[str | None, typer.Option(help="At most: 90s, 30m, 2h.", metavar="TIME")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write a confirmed patch into the script.")] = False,
    runs: RunsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Find what mends a training, and prove it on fresh seeds.

    The script runs as it is, then with remedies; its text stays without --write. Options come before SCRIPT.
    """
    from fitwell.treated import run_meant, treat

    name, *arguments = program
    seconds = None if time is None else parse_time(time)
    run = None if module else run_meant(name, runs)
    if run is not None and arguments:
        _with_options_in_front(context, arguments, name)
        return
    if run is not None and write and _written_at_once(run):
        return
    with _ending_tidily():
        made = treat(
            run or name, arguments=arguments, module=module, remedy=remedy, seeds=seeds, runs=runs,
            seconds=seconds, say=lambda text: print(text, file=sys.stderr, flush=True),  # noqa: T201
        )  # fmt: skip
    _show(made, json_output)
    if write:
        _write(made)
    if made.cure is None and not _is_fine(made):
        raise typer.Exit(FAILED)


command.options_first = True  # type: ignore[attr-defined]  # what follows SCRIPT is the script's


@contextmanager
def _ending_tidily() -> Iterator[None]:
    """Let a SIGTERM end it as Ctrl-C does: what runs is stopped, and files are put back."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _with_options_in_front(context: typer.Context, arguments: list[str], run: str) -> None:
    """A run has no arguments: what follows it are options, too."""
    given = []
    for option in context.command.params:
        value = context.params.get(option.name or "")
        if option.param_type_name == "option" and value not in (None, False, option.default):
            given += [option.opts[0]] if value is True else [option.opts[0], str(value)]
    again = context.command.make_context("treat", [*given, *arguments, run], parent=context.parent)
    if again.params["program"] != [run]:
        raise PlanError(f"{arguments[-1]!r} was given after run {run}", "options alone", "leave it out")
    context.command.invoke(again)


def _written_at_once(run: Run) -> bool:
    """Write the patch that was found before, if there is one."""
    from fitwell.treated import write_cure
    from fitwell.treating.script import SOURCES

    if not run.watched:
        raise PlanError("--write was given for a run of fitwell's own", "a script", "leave it out")
    if not (run.path / SOURCES).is_file():
        return False
    _say_written(write_cure(run))
    return True


def _is_fine(made: Treatment) -> bool:
    """Whether there was nothing to treat."""
    from fitwell.diagnosing import diagnose
    from fitwell.run import Run

    run = Run(made.run)
    return not made.tried and run.state == "done" and not diagnose(run).findings


def _show(made: Treatment, json_output: bool) -> None:
    if json_output:
        typer.echo(json.dumps(made.plain()))
        return
    from fitwell.views.console import make_console, put
    from fitwell.views.treatment import treatment

    put(make_console(), *treatment(made))


def _write(made: Treatment) -> None:
    """Write what was confirmed; else say why nothing is written."""
    from fitwell.run import Run
    from fitwell.treated import write_cure

    if made.answer == "confirmed" and made.diff:
        _say_written(write_cure(Run(made.run)))
    else:
        reason = "the cure is none of the text" if made.answer == "confirmed" else "no patch was confirmed"
        print(f"nothing is written: {reason}", file=sys.stderr)  # noqa: T201


def _say_written(files: list[Path]) -> None:
    for file in files:
        print(f"written: {file}", file=sys.stderr)  # noqa: T201
