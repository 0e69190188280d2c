"""Run somebody's program as ``python PROGRAM`` would, and watch it from the moment that it imports torch."""

from __future__ import annotations

import atexit
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from fitwell.errors import PlanError
from fitwell.watching.failure import explain
from fitwell.watching.session import Session


@dataclass(frozen=True)
class Program:
    """A script, or a module that is run with ``-m``.

    Args:
        name: the path of the script (a folder or archive with ``__main__.py`` too), or the name of the module.
        arguments: what it finds in ``sys.argv`` after its name.
        is_module: which of the two.
    """

    name: str
    arguments: Sequence[str]
    is_module: bool = False

    def check(self) -> None:
        """Raise PlanError if there is no such program."""
        if self.is_module:
            return
        if not Path(self.name).exists():
            raise PlanError(f"can't open {self.name}: there is no such file", "a Python script", "check the path")

    @property
    def title(self) -> str:
        """What the run is called."""
        return self.name if self.is_module else Path(self.name).name


def launch(program: Program, session: Session | None, at_end: Callable[[], None]) -> None:
    """Run a program in this process, in the place of whatever is ``__main__`` now.

    What it raises goes on to Python, which ends the process as it ends any other: with the program's traceback, its
    exit code and its exit handlers.

    Args:
        program: which.
        session: what watches it; None runs it unwatched.
        at_end: is called after everything else when the process ends, unless it is killed or ``os._exit`` is called.
    """
    process = os.getpid()
    failures: list[dict[str, Any]] = []

    def end() -> None:
        if session is not None and os.getpid() == process:
            session.stop(failures[-1] if failures else None)
            at_end()
            if failures and failures[-1]["type"] == "KeyboardInterrupt":
                _die_of_interrupt()

    atexit.register(end)  # the first that is registered is the last that is called
    if session is not None:
        when_torch_is_imported(session.start)
    try:
        _run(program)
    except BaseException as error:
        if not isinstance(error, SystemExit):
            failures.append(explain(error))
        _hide_own_frames()
        raise


def _die_of_interrupt() -> None:
    """End as Python does after an interrupt that nobody caught: what ran since made it forget."""
    if os.name == "posix":
        sys.stdout.flush()
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


def _run(program: Program) -> None:
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = sys.modules["builtins"]
    main.__dict__["__annotations__"] = {}
    _run.replaced = sys.modules["__main__"]  # type: ignore[attr-defined]  # else its functions would lose their globals
    sys.modules["__main__"] = main
    sys.argv = [program.name, *program.arguments]
    if program.is_module:
        sys.path[0] = os.getcwd()
        _as_main(program.name, alter_argv=True)
    elif Path(program.name).is_dir() or not _is_source(program.name):
        sys.path[0] = program.name
        _as_main("__main__", alter_argv=False)
    else:
        path = os.path.abspath(program.name)
        sys.path[0] = os.path.dirname(os.path.realpath(path))
        loader = importlib.machinery.SourceFileLoader("__main__", path)
        main.__dict__.update(__file__=path, __loader__=loader, __package__=None, __cached__=None)
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        exec(code, main.__dict__)


def _as_main(name: str, alter_argv: bool) -> None:
    """What Python itself does for ``python -m``; so the traceback is the same, too."""
    import runpy

    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _is_source(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) != b"PK\3\4"


def _hide_own_frames() -> None:
    """Let the traceback begin where the program does: Python's own hook, or the program's, is given the rest."""
    show = sys.excepthook

    def show_program(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        shown = _of_program(trace)
        error.__traceback__ = shown
        sys.excepthook = show
        show(kind, error, shown)

    sys.excepthook = show_program


def _of_program(trace: TracebackType | None) -> TracebackType | None:
    here = Path(__file__)
    last = trace
    entry = trace
    while entry is not None:
        if Path(entry.tb_frame.f_code.co_filename) == here:
            last = entry.tb_next
        entry = entry.tb_next
    return last


def when_torch_is_imported(act: Callable[[], Any]) -> None:
    """Call this at once if torch is there, else when the program imports it.

    To import it earlier could change the program: it may set ``OMP_NUM_THREADS`` or ``CUDA_VISIBLE_DEVICES`` first.
    """
    if "torch" in sys.modules:
        act()
    else:
        sys.meta_path.insert(0, _TorchFinder(act))


class _TorchFinder(MetaPathFinder):
    """Is asked for every import, until torch is imported."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The usual specification of torch, whose loader calls ``act`` when torch is there."""
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("torch")
        loader = None if spec is None else spec.loader
        if loader is None:
            return spec
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.__dict__["exec_module"]
            load(module)
            self.act()

        loader.__dict__["exec_module"] = exec_module
        return spec


