"""Where in somebody's program something happened."""

from __future__ import annotations

import linecache
import sys
import sysconfig
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_HERE = str(Path(__file__).parent)
_PATHS = sysconfig.get_paths()
_LIBRARIES = tuple({_PATHS[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})


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
    while frame is not None:
        kind = origin(frame.f_code.co_filename)
        if kind == "program":
            return frame
        if kind == "library" and outside is None:
            outside = frame
        frame = frame.f_back  # type: ignore[assignment]
    return outside


@cache
def origin(file: str) -> str:
    """Whose code a file is: ``program``, ``library``, ``torch`` or ``fitwell``."""
    if file.startswith(_HERE):
        return "fitwell"
    if f"{_separator()}torch{_separator()}" in file and file.startswith(_LIBRARIES):
        return "torch"
    return "library" if file.startswith((*_LIBRARIES, "<frozen")) else "program"


def _separator() -> str:
    return "\\" if sys.platform == "win32" else "/"


def variable_name(thing: object, frame: FrameType | None) -> str:
    """What the program calls a thing: the name of a variable, or of an attribute of ``self``; "" if unknown."""
    if frame is None:
        return ""
    own = frame.f_locals.get("self")
    scopes = (frame.f_locals, getattr(own, "__dict__", {}), getattr(own, "_modules", {}), frame.f_globals)
    for scope in scopes:
        for name, value in list(scope.items()):
            if value is thing and name != "self" and not name.startswith("__"):
                return str(name)
    return variable_name(thing, frame.f_back) if origin(frame.f_code.co_filename) == "program" else ""
