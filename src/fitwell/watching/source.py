"""Where in somebody's program something happened."""

from __future__ import annotations

import dis
import inspect
import linecache
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from os import sep
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_FITWELL = str(Path(__file__).parents[1]) + sep
_BENEATH = tuple(_FITWELL + str(Path(name)) for name in ("watching/launch.py", "cli/__init__.py"))
_FOLDERS = tuple(
    {sysconfig.get_paths()[name] + sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_TORCH = tuple(f"{folder}torch{sep}" for folder in _FOLDERS)
_PACKAGES = tuple(f"{sep}{name}{sep}" for name in ("site-packages", "dist-packages"))
_TYPED = (
    "<stdin",
    "<ipython",
    "<doctest",
)  # other names in angle brackets are of code that some library wrote


@dataclass(frozen=True)
class Where:
    """A line of a program: file, line number, the function it is in, and its text."""

    file: str
    line: int
    function: str
    text: str

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def where(frame: FrameType | None = None) -> Where | None:
    """The innermost line of the program itself that led here; if it is all library code, of what called torch."""
    found = user_frame(frame)
    return None if found is None else place(found.f_code, found.f_lineno)


def place(code: CodeType, line: int) -> Where:
    """A line of a function."""
    text = linecache.getline(code.co_filename, line).strip()
    return Where(code.co_filename, line, code.co_qualname, text)


def user_frame(frame: FrameType | None = None) -> FrameType | None:
    """The innermost frame of the program itself, else the innermost that is neither torch's nor fitwell's."""
    frame = frame or sys._getframe(1)
    outside: FrameType | None = None
    while frame is not None and frame.f_code.co_filename not in _BENEATH:
        kind = origin(frame.f_code.co_filename)
        if kind == "program":
            return frame
        if kind == "library" and outside is None:
            outside = frame
        frame = frame.f_back
    return outside


def maker(thing: object) -> FrameType | None:
    """The frame of the program that makes a thing, though it may have written the class, too."""
    frame = user_frame()
    while frame is not None and frame.f_code.co_name == "__init__" and variables(frame).get("self") is thing:
        frame = frame.f_back
    return frame


@cache
def origin(file: str) -> str:
    """Whose code a file is: ``program``, ``library``, ``torch`` or ``fitwell``."""
    if file.startswith(_FITWELL):
        return "fitwell"
    if file.startswith(_TORCH):
        return "torch"
    if file.startswith("<"):
        return "program" if file.startswith(_TYPED) else "library"
    return "library" if file.startswith(_FOLDERS) or any(name in file for name in _PACKAGES) else "program"


def variable_name(thing: object, frame: FrameType | None) -> str:
    """What the program calls a thing: the name of a variable, or of an attribute of ``self``; "" if unknown."""
    return next((name for name, value in visible(frame) if value is thing), "")


def visible(frame: FrameType | None) -> Iterator[tuple[str, Any]]:
    """The names that a line of the program, and those that led to it, can use, with their values; nearest first."""
    while frame is not None:
        if origin(frame.f_code.co_filename) == "program":
            local = variables(frame)
            own = attributes(local.get("self"))
            for scope in (local, own, own.get("_modules", {}), frame.f_globals):
                for name, value in list(scope.items()):
                    if name != "self" and name.isidentifier() and not name.startswith("_"):
                        yield str(name), value
        frame = frame.f_back


def variables(frame: FrameType) -> Mapping[str, Any]:
    """The local variables of a frame; none if to ask for them could change the program.

    Before Python 3.13 the answer is the one dict that ``locals()`` gives in that frame: to ask updates it, and it keeps
    what is in it alive. So it is emptied afterwards, and left alone where the program may have a use for it.
    """
    if not frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # the names of a module or of a class
        return frame.f_locals
    if sys.version_info >= (3, 13):
        return dict(frame.f_locals)
    if _uses_locals(frame.f_code):
        return {}
    shared = frame.f_locals
    found = dict(shared)
    shared.clear()
    return found


@cache
def _uses_locals(code: CodeType) -> bool:
    """Whether a function calls ``locals()``, ``vars()`` or ``exec``; ``vars(args)`` is something else."""
    if not {"locals", "vars", "exec"}.intersection(code.co_names):
        return False
    return any(
        name.opname == "LOAD_GLOBAL"
        and (
            name.argval == "exec"
            or (name.argval in ("locals", "vars") and then.opname in ("PRECALL", "CALL"))
        )
        for name, then in pairwise(dis.get_instructions(code))
    )


def attributes(thing: object) -> Mapping[str, Any]:
    """The attributes that are kept in a thing itself, found without running anything of its class."""
    try:
        found = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return {}
    return found if isinstance(found, Mapping) else {}
