"""What ended a program: the exception, the line it came from, and the tensors in it."""

from __future__ import annotations

import ast
import sys
import textwrap
import linecache
from collections.abc import Iterator
from itertools import islice
from types import FrameType, TracebackType
from typing import Any

from fitwell.watching.source import origin, place

MOST_OPERANDS = 12


def explain(error: BaseException) -> dict[str, Any]:
    """As JSON: type, message, where (the innermost line of the program itself), operands.

    Operands are the tensors and modules that are named in that line, and in the lines of torch that it led to:
    name, shape, dtype, device; of a module its class and the shapes of its own parameters.
    """
    entries = [entry for entry in _entries(error.__traceback__) if origin(entry[0].f_code.co_filename) != "fitwell"]
    own = [i for i, (frame, _, _) in enumerate(entries) if origin(frame.f_code.co_filename) == "program"]
    first = own[-1] if own else max(0, len(entries) - 1)
    result: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, SyntaxError) and error.filename:
        return result | {"where": _of_syntax(error), "operands": []}
    if not entries:
        return result | {"where": None, "operands": []}
    frame, line, _ = entries[first]
    return result | {"where": place(frame.f_code, line).plain(), "operands": _operands(entries[first:])}


def _of_syntax(error: SyntaxError) -> dict[str, Any]:
    text = (error.text or "").strip()
    return {"file": error.filename, "line": error.lineno or 0, "function": "<module>", "text": text}


Entry = tuple[FrameType, int, int]


def _entries(traceback: TracebackType | None) -> Iterator[Entry]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno, traceback.tb_lasti
        traceback = traceback.tb_next


def _operands(entries: list[Entry]) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for entry in entries:
        for name, value in _named(entry):
            described = _described(value)
            if described and id(value) not in found and len(found) < MOST_OPERANDS:
                found[id(value)] = {"name": name} | described
    return list(found.values())


def _named(entry: Entry) -> Iterator[tuple[str, Any]]:
    """The variables and attributes in the expression that failed, with their values."""
    frame, line, instruction = entry
    try:
        tree = ast.parse(textwrap.dedent(_expression(frame, line, instruction)))
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)):
            value = _value(node, frame)
            if value is not None:
                yield ast.unparse(node), value


def _expression(frame: FrameType, line: int, instruction: int) -> str:
    """The source of what failed: of the instruction if Python knows its columns, else of the line."""
    positions = next(islice(frame.f_code.co_positions(), instruction // 2, None), (None,) * 4)
    start, end, column, end_column = positions
    file = frame.f_code.co_filename
    if start is None or end is None or column is None or end_column is None:
        return linecache.getline(file, line)
    lines = [linecache.getline(file, number).encode() for number in range(start, end + 1)]
    lines[-1] = lines[-1][:end_column]
    lines[0] = lines[0][column:]
    return b"".join(lines).decode(errors="replace")


def _value(node: ast.expr, frame: FrameType) -> Any:
    """The value of ``a`` or ``a.b.c``, found without calling anything of the program; None if there is none."""
    if isinstance(node, ast.Name):
        return frame.f_locals.get(node.id, frame.f_globals.get(node.id))
    if not isinstance(node, ast.Attribute):
        return None
    own = getattr(_value(node.value, frame), "__dict__", {})
    for scope in (own, *(own.get(name, {}) for name in ("_parameters", "_buffers", "_modules"))):
        if isinstance(scope, dict) and node.attr in scope:
            return scope[node.attr]
    return None


def _described(value: Any) -> dict[str, Any] | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    if isinstance(value, torch.Tensor):
        return {"shape": list(value.shape), "dtype": str(value.dtype), "device": str(value.device)}
    if isinstance(value, torch.nn.Module):
        shapes = {name: list(p.shape) for name, p in value.named_parameters(recurse=False)}
        return {"class": type(value).__name__, "parameters": shapes}
    return None
