"""Run a script in a forked process, watched or not: so that torch need not be imported anew for each."""

from __future__ import annotations

import atexit
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fitwell.run import Run, list_runs
from fitwell.watched import what_if
from fitwell.watching.launch import Program, launch
from fitwell.watching.session import Session

# torch imports the second for the first optimizer
for slow in ("sklearn.datasets", "torch._dynamo", "fitwell.treating.forks.what_if"):
    importlib.import_module(slow)  # here, once for all scripts


@dataclass(frozen=True)
class Outcome:
    """What is seen of a program from outside."""

    code: int
    output: str
    errors: str


def run_script(
    script: Path,
    folder: Path,
    *,
    runs: Path | None = None,
    arguments: tuple[str, ...] = (),
    budget: float = 0.03,
) -> Outcome:
    """Run a script in a folder of its own; watched if there is a folder for runs.

    Raises:
        AssertionError: the child process ended in a way that no program does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        _be(script, folder, runs, arguments, budget)
    _, status = os.waitpid(child, 0)
    texts = ((folder / name).read_text() for name in ("stdout", "stderr"))
    return Outcome(os.waitstatus_to_exitcode(status), *texts)


def _be(script: Path, folder: Path, runs: Path | None, arguments: tuple[str, ...], budget: float) -> None:
    """Become the program, as far as a forked process can."""
    code = 70
    try:
        os.chdir(folder)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        sys.excepthook = sys.__excepthook__
        signal.signal(signal.SIGINT, signal.default_int_handler)
        atexit._clear()
        code = _run(Program(str(script), arguments), runs, budget)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _run(program: Program, runs: Path | None, budget: float) -> int:
    about = {"argv": [program.name]}
    session = None if runs is None else Session(program.title, about, runs, budget, what_if)
    try:
        launch(program, session, lambda: None)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def only_run(folder: Path) -> Run:
    """The run in a folder that has one."""
    (run,) = list_runs(folder)
    return run


def signals_of(run: Run) -> Mapping[str, list[float]]:
    """The values of each signal, without those that were not finite."""
    return {name: [value for _, value in run.curve(name)] for name in run.signals()}
