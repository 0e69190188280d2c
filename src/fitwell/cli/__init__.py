"""The command line: one command a file, each a function called ``command``.

Exit codes: 0; 1 failed; 2 usage; 3 there are findings, and `--fail-on` was given; 75 stopped by SIGTERM with
everything saved; 130 by Ctrl-C.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import typer
from typer.core import TyperGroup

from fitwell.discovery import members
from fitwell.errors import FitwellError, PlanError, Preempted

FAILED, USAGE, FINDINGS, PREEMPTED, INTERRUPTED = 1, 2, 3, 75, 130


class Launch(Exception):  # noqa: N818 - nothing went wrong
    """A command is done with its options, and what is left must not run beneath the command line's own frames."""

    def __init__(self, program: Callable[[], None]) -> None:
        super().__init__()
        self.program = program


def main() -> None:
    """Run a command and exit with its code; a user's mistake is told in three lines, without a traceback."""
    try:
        application(*sys.argv[1:2])(prog_name="fitwell")
    except Launch as launch:
        program = launch.program
    program()


def application(wanted: str = "") -> TyperGroup:
    """The commands that are found in this folder; if it is one of them, the wanted one alone, which is quicker."""
    app = typer.Typer(
        help="Train neural networks that fit well, and say why when they don't.",
        no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    )  # fmt: skip

    @app.callback(invoke_without_command=True)
    def version(
        version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
    ) -> None:
        if version:
            from fitwell import __version__

            typer.echo(__version__)
            raise typer.Exit

    for name, command in _commands(wanted).items():
        settings = {"allow_interspersed_args": not getattr(command, "options_first", False)}
        app.command(name, context_settings=settings)(_exiting(command))
    group = cast("TyperGroup", typer.main.get_command(app))
    # Its own page is a short list: rich would take longer to import than all the rest.
    group.rich_markup_mode = None
    return group


def _commands(wanted: str) -> dict[str, Callable[..., None]]:
    if wanted.isidentifier() and (Path(__file__).parent / f"{wanted}.py").exists():
        command = getattr(importlib.import_module(f"fitwell.cli.{wanted}"), "command", None)
        if command is not None:
            return {wanted: command}
    return members("fitwell.cli", "command")


def _exiting(command: Callable[..., None]) -> Callable[..., None]:
    """The command with its failures turned into messages and exit codes."""

    @functools.wraps(command)
    def exiting(*args: object, **kwargs: object) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except FitwellError as error:
            sys.exit(_tell(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            _drop_output()  # its reader went away (`fitwell runs | head`): nobody is left to tell
            sys.exit(FAILED)
        except OSError as error:
            _drop_output()
            sys.exit(_tell(FitwellError(str(error), "files that can be read and written", "check the file")))

    return exiting


def _drop_output() -> None:
    """What could not be written would be tried again when Python ends, with a traceback."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(error: FitwellError) -> int:
    from fitwell.views.console import error as show_error

    if isinstance(error, Preempted):
        print(f"{error.happened}\ngo on with: {error.fix}", file=sys.stderr)  # noqa: T201
        return INTERRUPTED if error.signal == signal.SIGINT else PREEMPTED
    show_error(error)
    return USAGE if isinstance(error, PlanError) else FAILED
