"""watch(): the verb that looks at any training, and ends with what was seen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from fitwell.run import Run
from fitwell.watching.session import BUDGET, Session, watching

if TYPE_CHECKING:
    from fitwell.watching.launch import Program
    from fitwell.watching.session import Companion
    from fitwell.watching.watcher import Watcher


@contextmanager
def watch(title: str = "", *, runs: str | Path | None = None, budget: float = BUDGET) -> Iterator[Run]:
    """Watch whatever the block trains with torch, without changing it.

        with fitwell.watch() as run:
            train()
        run.curve("loss/train"); run.to_frame(); run.facts

    It ends with a summary on stderr.

    Args:
        title: what the run is called; by default the name of the script.
        runs: the folder of runs; by default FITWELL_RUNS, else ``runs`` here.
        budget: the share of the wall time that watching may take.

    Raises:
        StorageError: the folder of runs can't be written.
    """
    run: Run | None = None
    try:
        with watching(title, runs=runs, budget=budget, accompany=what_if) as run:
            yield run
    finally:
        if run is not None:
            show_summary(run.path, sys.stderr)


def what_if(watcher: Watcher) -> Companion:
    """The experiments that go along with a watched program."""
    from fitwell.treating.forks.what_if import WhatIf

    return WhatIf(watcher)


def program_to_watch(
    program: Program, runs: str | Path | None, budget: float, json_file: Path | None
) -> Callable[[], None]:
    """What runs a program as ``python`` would, and watches it; the end of the process writes the summary to stderr.

    Of a distributed training the first rank is watched.

    Args:
        program: which.
        runs: the folder of runs.
        budget: the share of the wall time that watching may take.
        json_file: gets the result, what was not seen, and what watching cost.

    Raises:
        PlanError: there is no such program.
        StorageError: the folder of runs can't be written.
    """
    from fitwell.watching.launch import launch

    program.check()
    if os.environ.get("RANK", "0") not in ("", "0"):
        return partial(launch, program, None, lambda: None)
    argv = [program.name, *program.arguments]
    told = {"argv": argv, "module": program.is_module, "folder": os.getcwd()}
    session = Session(program.title, told, runs, budget, what_if)
    target = None if json_file is None else json_file.absolute()  # the program may go to another folder
    stdout, stderr = sys.stdout, sys.stderr  # it may exchange, close and redirect them

    def end() -> None:
        with suppress(Exception):
            stdout.flush()  # the summary comes after everything the program wrote
        if target is not None:
            _write_result(session.run.path, target, stderr)
        show_summary(session.run.path, stderr)

    return partial(launch, program, session, end, partial(show_summary, session.run.path, StringIO()))


def _write_result(folder: Path, path: Path, stderr: TextIO) -> None:
    from fitwell.run.files import write_json

    try:
        run = Run(folder)
        extra = {name: run.facts.get(name, {}) for name in ("unseen", "overhead", "failure")}
        write_json(path, run.result | {"state": run.state} | extra)
    except Exception as error:  # the program has ended, and how it ended must stay as it is
        _say(str(error), stderr)


def show_summary(folder: Path, stderr: TextIO | None) -> None:
    """Write what was seen in a run to stderr, where it does not mix with the program's own output."""
    if stderr is None:
        return
    try:
        from fitwell.views.console import make_console, put
        from fitwell.views.watched import summary

        console = make_console(stderr)
        console.on_broken_pipe = _stop_writing  # type: ignore[method-assign]  # rich would end the process
        put(console, *summary(Run(folder)))
    except Exception as error:
        _say(f"fitwell: the summary of {folder} failed: {error!r}", stderr)


def _stop_writing() -> None:
    raise BrokenPipeError("nobody reads it")


def _say(text: str, stderr: TextIO) -> None:
    with suppress(Exception):  # the program closed it
        print(text, file=stderr)
