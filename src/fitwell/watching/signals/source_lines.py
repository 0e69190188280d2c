"""Lines of the program that may be at fault, and those that call its models: so that a finding can name them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from fitwell.watching.moments import Backward, Call, LossCall, ModuleCall
from fitwell.watching.places import lines_of
from fitwell.watching.signal import Signal
from fitwell.watching.source import Where, origin, place, user_frame

MOST_FILES = 30
MOST_CALLS = 20  # ways to a call of a model
MOST_DEEP = 8  # lines of one

Line = tuple[CodeType, int]


class _SourceLines:
    def __init__(self) -> None:
        self._files: dict[str, None] = {}
        self._calls: dict[tuple[bool, tuple[Line, ...]], dict[str, Any]] = {}
        self._classes: set[type] = set()

    def on_call(self, call: Call) -> None:
        self._ran(call.where)

    def on_loss(self, loss: LossCall) -> None:
        self._ran(loss.where)

    def on_backward(self, backward: Backward) -> None:
        self._ran(backward.where)

    def on_module(self, call: ModuleCall) -> None:
        kind = type(call.module)
        if kind not in self._classes:
            self._classes.add(kind)
            code = getattr(inspect.getattr_static(kind, "forward", None), "__code__", None)
            self._file(code.co_filename if code is not None else "")
        if call.depth or len(self._calls) >= MOST_CALLS or next(call.module.parameters(), None) is None:
            return
        path = _path(user_frame())
        key = call.part != "train", tuple(path)
        if path and key not in self._calls:
            self._file(path[0][0].co_filename)
            self._calls[key] = {
                "part": "train" if call.part == "train" else "held-out",
                "training": call.module.training,
            }

    def facts(self) -> dict[str, Any]:
        """By kind the lines that may be at fault; and ``calls`` of models, by ``part`` and mode at the first."""
        self._file(getattr(sys.modules.get("__main__"), "__file__", None) or "")
        return {**lines_of(self._files), "calls": list(self._called())}

    def _called(self) -> Iterator[dict[str, Any]]:
        """The lines that call a model; of a line that training shares with evaluation, the line that leads there."""
        trains = {line for held_out, path in self._calls if not held_out for line in path}
        for (held_out, path), about in self._calls.items():
            own = (line for line in path if line not in trains)
            code, number = next(own, path[0]) if held_out else path[0]
            yield place(code, number).plain() | about

    def _ran(self, where: Where | None) -> None:
        if where is not None:
            self._file(where.file)

    def _file(self, file: str) -> None:
        if file and file not in self._files and len(self._files) < MOST_FILES and origin(file) == "program":
            self._files[file] = None


def _path(frame: FrameType | None) -> list[Line]:
    """The lines of the program that lead to a call, the innermost first."""
    found: list[Line] = []
    while frame is not None and len(found) < MOST_DEEP:
        if origin(frame.f_code.co_filename) == "program":
            found.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return found


SIGNAL = Signal(units={}, cost="constant", start=_SourceLines, parts=("train", "held-out"))
