"""Run somebody's program as ``python PROGRAM`` would, and watch it from the moment that it imports torch."""

from __future__ import annotations

import atexit
import importlib.machinery
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from fitwell.errors import PlanError
from fitwell.watching.failure import failure_of
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
        reasons = {os.F_OK: "there is no such file", os.R_OK: "permission was denied"}
        for wanted, reason in reasons.items():
            if not os.access(self.name, wanted):
                raise PlanError(f"can't open {self.name}: {reason}", "a Python script", "check the path")

    @property
    def title(self) -> str:
        """What the run is called."""
        return self.name if self.is_module else Path(os.path.abspath(self.name)).name


def launch(
    program: Program,
    session: Session | None,
    at_end: Callable[[], None],
    rehearse: Callable[[], None] = lambda: None,
) -> None:
    """Run a program in this process, in the place of whatever is ``__main__`` now.

    What it raises goes on to Python, which ends the process as it ends any other: with the program's traceback, its
    exit code and its exit handlers.

    Args:
        program: which.
        session: what watches it; None runs it unwatched.
        at_end: is called after everything else when the process ends, unless it is killed or ``os._exit`` is called.
            It must not raise.
        rehearse: is called when the program is interrupted, and imports what ``at_end`` needs. After a
            KeyboardInterrupt Python ends by SIGINT, but forgets to if a text is compiled in the meantime, as
            ``dataclass`` does for every class: this must happen before Python takes note of it.
    """
    process = os.getpid()
    failures: list[dict[str, Any]] = []

    def end() -> None:
        if session is not None and os.getpid() == process:
            session.stop(failures[-1] if failures else None)
            at_end()

    atexit.register(end)  # the first that is registered is the last that is called
    if session is not None:
        when_torch_is_imported(session.start)
    try:
        _run(program)
    except BaseException as error:
        failure = failure_of(error)
        if failure is not None:
            failures.append(failure)
        if session is not None and isinstance(error, KeyboardInterrupt):
            rehearse()
        _hide_own_frames()
        raise


def _run(program: Program) -> None:
    main = ModuleType("__main__")
    main.__dict__.update(__annotations__={}, __builtins__=sys.modules["builtins"])
    _run.replaced = sys.modules["__main__"]  # type: ignore[attr-defined]  # else its functions would lose their globals
    sys.modules["__main__"] = main
    sys.argv = ["-m" if program.is_module else program.name, *program.arguments]
    path = os.path.join(os.getcwd(), program.name)
    if program.is_module:
        _put_first_on_path(os.getcwd(), always=False)
        _as_main(program.name, alter_argv=True)
    elif pkgutil.get_importer(path) is not None:  # a folder or an archive
        _put_first_on_path(path, always=True)
        _as_main("__main__", alter_argv=False)
    else:
        _put_first_on_path(os.path.dirname(os.path.realpath(path)), always=False)
        loader = importlib.machinery.SourceFileLoader("__main__", path)
        main.__dict__.update(__file__=path, __loader__=loader, __package__=None, __cached__=None)
        exec(compile(loader.get_data(path), path, "exec", dont_inherit=True), main.__dict__)


def _put_first_on_path(folder: str, always: bool) -> None:
    """In the place of fitwell's own folder; with ``python -P`` there is none, and none is wanted but of an archive."""
    if not sys.flags.safe_path:
        sys.path[0] = folder
    elif always:
        sys.path.insert(0, folder)


def _as_main(name: str, alter_argv: bool) -> None:
    """What Python itself does for ``python -m``; so the traceback is the same, too."""
    import runpy

    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _hide_own_frames() -> None:
    """Let the traceback begin where the program does: Python's own hook, or the program's, is given the rest."""
    show = getattr(sys, "excepthook", sys.__excepthook__)

    def show_program(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        shown = _of_program(trace)
        error.__traceback__ = shown
        sys.excepthook = show
        show(kind, error, shown)

    sys.excepthook = show_program


def _of_program(trace: TracebackType | None) -> TracebackType | None:
    """What comes after the frames of this file; everything, if there are none."""
    entry = trace
    while entry is not None and not _is_own(entry):
        entry = entry.tb_next
    if entry is None:
        return trace
    while entry is not None and _is_own(entry):
        entry = entry.tb_next
    return entry


def _is_own(entry: TracebackType) -> bool:
    return entry.tb_frame.f_code.co_filename == launch.__code__.co_filename


def when_torch_is_imported(act: Callable[[], Any]) -> None:
    """Call this at once if torch is there, else when the program imports it.

    To import it earlier could change the program: it may set ``OMP_NUM_THREADS`` or ``CUDA_VISIBLE_DEVICES`` first.
    """
    when_imported("torch", act)


def when_imported(name: str, act: Callable[[], Any]) -> None:
    """The same for any package; of each, one may wait at a time."""
    if name in sys.modules:
        act()
    else:
        sys.meta_path.insert(0, _Finder(name, act))


class _Finder(MetaPathFinder):
    """Is asked for every import, until one package is imported. To look for it is not to import it."""

    def __init__(self, name: str, act: Callable[[], Any]) -> None:
        self.name, self.act = name, act

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The usual specification of the package, whose loader calls ``act`` when it is there."""
        if fullname != self.name:
            return None
        others = [finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec")]
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            self._tell_of(spec.loader)
        return spec

    def _tell_of(self, loader: Any) -> None:
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            load(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
                self.act()

        # Python leaves the frames of its own import machinery out of a traceback; this one is among them.
        exec_module.__code__ = exec_module.__code__.replace(
            co_filename="<frozen importlib._bootstrap_external>"
        )
        loader.exec_module = exec_module
