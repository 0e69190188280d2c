"""The process of a rerun: become somebody's program, with other seeds, another text, or something changed in it."""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fitwell.treating.reruns.rerun import LOG, Rerun
from fitwell.treating.reruns.seeds import shift_seeds, shift_torch
from fitwell.treating.reruns.sources import replace_sources
from fitwell.treating.reruns.touched_files import keep_touched
from fitwell.watching.launch import Program, launch
from fitwell.watching.session import Companion, Session

if TYPE_CHECKING:
    from fitwell.watching.watcher import Watcher

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
BUDGET = 0.3  # of the wall time: with less, short trainings have answers counted in their first passes alone


class _Changed(Session):
    """Watches a training in which something is changed first."""

    def __init__(self, what: Rerun, program: Program) -> None:
        told = {"argv": [what.name, *what.arguments], "module": what.is_module, "folder": what.folder}
        accompany = None if what.parent else _what_if
        super().__init__(program.title, told, what.runs, budget=BUDGET, accompany=accompany)
        self.what, self.with_torch = what, [self._change]
        self.run.update(parent=what.parent or None, seed=what.seed)

    def start(self) -> None:
        """Do what waited for torch, and then begin to watch."""
        for act in self.with_torch:
            act()
        super().start()

    def _change(self) -> None:
        if self.what.seed:
            shift_torch(self.what.seed)
        if self.what.changes:
            from fitwell.treating.changing.live import Live, apply

            apply(self.what.changes, Live())


def _what_if(watcher: Watcher) -> Companion:
    """The run that is treated is examined as ``fitwell watch`` would."""
    from fitwell.treating.forks.what_if import WhatIf

    return WhatIf(watcher)


def run_here(what: Rerun, shown: bool = False) -> None:
    """Become the program, in this process, which is good for nothing else afterwards.

    What the program raises goes on to Python; the run is complete when the process ends.

    Args:
        what: is run.
        shown: let the output go where this process writes to; else the folder of the run gets it.
    """
    os.chdir(what.folder)
    program = Program(what.name, what.arguments, what.is_module)
    session = _Changed(what, program)
    if what.parent:
        changes = [change.plain() for change in what.changes]
        session.run.update(changes=changes, edited=sorted(what.sources))
    if not shown:
        _write_to(session.run.path / LOG)
    if what.kept:
        left_out = [os.path.realpath(folder) for folder in (what.runs, what.kept)]
        session.with_torch.append(keep_touched(Path(what.kept), left_out, keep_large=not what.parent))
    if what.seed:
        shift_seeds(what.seed)
    if what.sources:
        replace_sources(what.sources)
    launch(program, session, lambda: None)


def _write_to(path: Path) -> None:
    """Let this file get what the process writes."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)


def become(what: Rerun) -> NoReturn:
    """In a forked process: be the program as far as it can be, and end."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        sys.excepthook = sys.__excepthook__
        atexit._clear()
        code = _code_of(what)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _code_of(what: Rerun) -> int:
    """Run a program; what it raises is shown as Python would."""
    try:
        run_here(what)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def _end_with_parent() -> None:
    """Nobody would stop it, or put its files back; Linux alone can do that."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)


if __name__ == "__main__":
    _end_with_parent()
    asked = Rerun.from_plain(json.loads(Path(sys.argv[1]).read_text()))
    run_here(asked, shown=not asked.parent)
