"""What ended a program: the exception, the line it came from, and the tensors in it."""

from __future__ import annotations

import ast
import dis
import linecache
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice, pairwise
from types import FrameType, TracebackType
from typing import Any

from fitwell.watching.in_place import changed_in_place
from fitwell.watching.source import Where, attributes, origin, place, variables

MOST_OPERANDS = 12
MOST_PARTS = 5_000
LONGEST_MESSAGE = 10_000  # letters
# DataLoader tells of an exception in one of its workers in the message of another one of the same type.
_IN_WORKER = re.compile(r'^  File "(.+)", line (\d+), in (\S+)\n    (.*)', re.MULTILINE)


def failure_of(error: BaseException) -> dict[str, Any] | None:
    """What ``explain`` says of what ended a program; None if it ended well, such as by ``sys.exit(0)``."""
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return None
    return explain(error)


def explain(error: BaseException) -> dict[str, Any]:
    """As JSON: type, message, where (the innermost line of the program itself), operands.

    Operands are the tensors and modules that are named in that line, and in the lines of libraries that it led to:
    name, shape, dtype, device, and the range of whole numbers; of a module its class and the shapes of its own
    parameters. After a change in place: ``in_place``, see ``changed_in_place``.
    """
    message = _message(error)
    result: dict[str, Any] = {"type": type(error).__name__, "message": message, "where": None, "operands": []}
    try:
        return result | _cause(error, message)
    except Exception:  # whatever it is, the program must end as it would without us
        return result


def _message(error: BaseException) -> str:
    try:
        return str(error)[:LONGEST_MESSAGE]
    except Exception:
        return "<exception str() failed>"  # as Python has it


def _cause(error: BaseException, message: str) -> dict[str, Any]:
    """Where it happened, and the operands."""
    if isinstance(error, SyntaxError) and error.filename and origin(error.filename) == "program":
        text = (error.text or "").strip()
        return {"where": Where(error.filename, error.lineno or 0, "<module>", text).plain()}
    entries = [
        entry for entry in _entries(error.__traceback__) if origin(entry[0].f_code.co_filename) != "fitwell"
    ]
    if not entries:
        return {}
    own = [i for i, (frame, _, _) in enumerate(entries) if origin(frame.f_code.co_filename) == "program"]
    first = own[-1] if own else len(entries) - 1
    frame, line, _ = entries[first]
    where = _in_worker(message) or place(frame.f_code, line)
    found: dict[str, Any] = {"where": where.plain(), "operands": _operands(entries[first:])}
    if (given := _given_by(entries, own)) is not None:
        found["given_by"] = given.plain()
    if "in-place" in message or "inplace" in message:
        with suppress(Exception):  # it searches much; what is known already must not be lost by it
            found["in_place"] = changed_in_place(message, [frame for frame, _, _ in entries], where)
    return found


def _given_by(entries: list[Entry], own: list[int]) -> Where | None:
    """The line that called the functions which passed on as it is what failed in the innermost; None if none did.

    Args:
        entries: of the traceback.
        own: those of the program.
    """
    found: Where | None = None
    for outer, inner in reversed(list(pairwise(own))):
        if not _passed_on(entries[inner]) or origin(entries[outer + 1][0].f_code.co_filename) == "library":
            break
        frame, line, _ = entries[outer]
        found = place(frame.f_code, line)
    return found


def _passed_on(entry: Entry) -> bool:
    """Whether all tensors of an expression that are variables are arguments of the function, not assigned since."""
    frame, _, instruction = entry
    code, local = frame.f_code, variables(frame)
    arguments = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    stored: set[str] = set()
    for each in dis.get_instructions(code):
        if each.opname.startswith("STORE_FAST") and each.offset < instruction:
            stored.update(each.argval if isinstance(each.argval, tuple) else (each.argval,))
    tensors = {
        name for name, value in _named(entry) if name in local and "dtype" in (_described(value) or {})
    }
    return bool(tensors) and tensors <= arguments - stored


def _in_worker(message: str) -> Where | None:
    """The line of the program in the traceback of a DataLoader's worker, if the message holds one."""
    _, worker, trace = message.partition("\nOriginal Traceback (most recent call last):\n")
    found = [entry for entry in _IN_WORKER.findall(trace) if origin(entry[0]) == "program"]
    if not worker or not found:
        return None
    file, line, function, text = found[-1]
    return Where(file, int(line), function, text)


Entry = tuple[FrameType, int, int]


def _entries(traceback: TracebackType | None) -> Iterator[Entry]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno, traceback.tb_lasti
        traceback = traceback.tb_next


def _operands(entries: list[Entry]) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    known: dict[int, str] = {}  # what the program itself calls the parts of its modules
    for entry in entries:
        for name, value in _named(entry):
            described = _described(value)
            if described and id(value) not in found and len(found) < MOST_OPERANDS:
                found[id(value)] = {"name": known.get(id(value), name)} | described
            if described and "class" in described and id(value) not in known:
                known |= _parts(known.get(id(value), name), value)
    return list(found.values())


def _parts(name: str, module: Any) -> dict[int, str]:
    """The modules and parameters within a module by identity, with their full names: ``self.net.2.weight``."""
    found: dict[int, str] = {}
    waiting = [(name, module)]
    while waiting and len(found) < MOST_PARTS:
        name, module = waiting.pop()
        found.setdefault(id(module), name)
        own = attributes(module)
        for key, parameter in (own.get("_parameters") or {}).items():
            if parameter is not None:
                found.setdefault(id(parameter), f"{name}.{key}")
        waiting += [(f"{name}.{key}", part) for key, part in (own.get("_modules") or {}).items()]
    return found


def _named(entry: Entry) -> Iterator[tuple[str, Any]]:
    """The variables and attributes in the expression that failed, with their values."""
    frame, line, instruction = entry
    try:
        tree = ast.parse(textwrap.dedent(_expression(frame, line, instruction)))
    except (SyntaxError, ValueError):
        return
    scope = {**frame.f_globals, **variables(frame)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)):
            value = _value(node, scope)
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


def _value(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    """The value of ``a`` or ``a.b.c``, found without running anything of the program; None if there is none."""
    if isinstance(node, ast.Name):
        return scope.get(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    own = attributes(_value(node.value, scope))
    for names in (own, *(own.get(name) for name in ("_parameters", "_buffers", "_modules"))):
        if isinstance(names, Mapping) and node.attr in names:
            return names[node.attr]
    return None


def _described(value: Any) -> dict[str, Any] | None:
    torch: Any = sys.modules.get("torch")
    if not hasattr(torch, "nn"):  # it is not there, or something else has its name
        return None
    # Not isinstance, which asks an object for its __class__.
    if issubclass(type(value), torch.Tensor):
        with torch._C.DisableTorchFunctionSubclass():
            told = {"shape": _shape(value), "dtype": str(value.dtype), "device": str(value.device)}
            return told | _range(value)
    if issubclass(type(value), torch.nn.Module):
        own = attributes(value).get("_parameters", {})
        shapes = {name: _shape(parameter) for name, parameter in own.items() if parameter is not None}
        return {"class": type(value).__name__, "parameters": shapes}
    return None


def _range(tensor: Any) -> dict[str, Any]:
    """The lowest and the highest value of whole numbers, which may be labels or indices."""
    whole = str(tensor.dtype).startswith(("torch.int", "torch.uint"))
    if not whole or tensor.device.type != "cpu" or tensor.layout is not sys.modules["torch"].strided:
        return {}
    return {"range": [int(tensor.min()), int(tensor.max())]} if tensor.numel() else {}


def _shape(tensor: Any) -> list[int] | None:
    try:
        return list(tensor.shape)
    except RuntimeError:  # a lazy layer does not know it yet
        return None
