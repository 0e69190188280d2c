"""Which lines of a program may have changed a tensor in place that backward needed.

Autograd only says what made the tensor and how often it was changed. The graph still knows which operation kept the
tensor, the frames what it is called, and the source which lines change something of that name.
"""

from __future__ import annotations

import ast
import linecache
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from fitwell.watching.source import Where, attributes, origin, variables

MOST_NODES = 5_000  # of the graph
MOST_LINES = 3
MOST_FILES = 20
_CHANGED = re.compile(
    r"modified by an inplace operation: \[\S+ \[([\d, ]*)\]\](?:, which is output \d+ of (\w+),)? is at version (\d+)"
)
# What these methods end with is no change of values.
_HARMLESS = {"requires_grad_", "share_memory_", "zero_grad_", "retain_grad_", "eval_", "__init__", "_"}
_CHECKPOINTS = ("checkpoint", "checkpoint_sequential", "gradient_checkpointing_enable")
_VIEWS = ("T", "AsStrided", "Transpose")  # by which layers turn their weights
_SIGNS: Mapping[str, tuple[type[ast.operator], ...]] = {
    "Mul": (ast.Mult,), "Div": (ast.Div,), "Pow": (ast.Pow,), "Add": (ast.Add,), "Sub": (ast.Sub,),
    "Mm": (ast.MatMult,), "Bmm": (ast.MatMult,),
}  # fmt: skip


@dataclass(frozen=True)
class _Change:
    """A line that changes something in place."""

    where: Where
    name: str  # of what it changes, or of the optimizer that steps; "" if that is unknown
    operation: str = ""  # what it does, such as ``add``
    steps: bool = False  # it is the step of an optimizer, which changes parameters
    layer: bool = False  # it makes a layer that changes what it is given


def changed_in_place(message: str, frames: Iterable[FrameType], line: Where) -> dict[str, Any] | None:
    """As JSON the lines that may have changed a tensor, and the operation that kept it; None if it is no such error.

    ``changed`` (lines, the most likely first), ``certain``, ``likely`` (or a mere guess), ``step`` (they are steps
    of an optimizer), ``shape``, ``made_by`` and ``saved_by`` (operations), ``saved`` (a line).

    Args:
        message: of the error.
        frames: those that led to it, the outermost first.
        line: of the program where it was raised.
    """
    if "is being used in an in-place operation" in message or "is being modified inplace" in message:
        return {"changed": [line.plain()], "certain": True, "likely": True}
    match = _CHANGED.search(message)
    if match is None:
        return None
    shape = [int(size) for size in re.findall(r"\d+", match[1])]
    maker, version = (match[2] or "").split("Backward")[0], int(match[3])
    frames = list(frames)
    names, changes = set(_names(frames, shape, version)), list(_changes(frames))
    steps = _steps(changes, frames, shape, line) if maker in _VIEWS or not (maker or names) else []
    likelihood, found = (
        (1, steps) if steps else _likeliest(changes, names, set(_assigned(frames, maker)), maker)
    )
    operation = _keeper(frames) or maker
    uses = _uses(frames, operation, {change.name for change in found})
    saved = next(uses, None) if operation and not steps else None
    return {
        "shape": shape,
        "made_by": maker,
        "saved_by": operation,
        "saved": saved and saved.plain(),
        "changed": [change.where.plain() for change in found[:MOST_LINES]],
        "step": bool(steps),
        "certain": False,
        "likely": likelihood > 0,
    }


def _likeliest(
    changes: list[_Change], names: set[str], makers: set[str], maker: str
) -> tuple[int, list[_Change]]:
    """The lines for which most speaks, and how much that is."""
    best = max((_likely(change, names, makers, maker) for change in changes), default=0)
    return best, [change for change in changes if _likely(change, names, makers, maker) == best]


def _likely(change: _Change, names: set[str], makers: set[str], maker: str) -> int:
    """How much speaks for a line.

    A tensor of that name was changed so often, or is the result of the named operation; or the line itself is that
    operation: autograd names what made the tensor as it is now.
    """
    itself = bool(maker) and change.operation == maker.lower()
    named = 2 * (change.name in names) + (change.name in makers)
    return named + 2 * itself + change.layer - 2 * change.steps


def _steps(changes: list[_Change], frames: list[FrameType], shape: list[int], line: Where) -> list[_Change]:
    """The steps of optimizers that hold a parameter of this shape, the last one before the error first."""
    values = _values(frames)
    found = []
    for change in changes:
        groups = getattr(values.get(change.name), "param_groups", None)
        holds = groups is None or any(
            sorted(p.shape) == sorted(shape) for group in groups for p in group["params"]
        )
        if change.steps and holds:
            found.append(change)
    far = 10**6  # lines after the error were run in the last turn of the loop

    def distance(change: _Change) -> int:
        return (line.line - change.where.line) % far + far * (change.where.file != line.file)

    return sorted(found, key=distance)[:1]


def _keeper(frames: list[FrameType]) -> str:
    """The operation in the graph of the loss that kept the changed tensor, found by asking each for what it kept."""
    torch = sys.modules["torch"]
    if _recomputes(frames):
        return ""
    roots = [
        value
        for frame in frames
        for name, value in list(variables(frame).items())[:100]
        if type(value) is torch.Tensor and (name == "self" or frame is frames[-1])
    ]
    seen: set[Any] = set()
    waiting = [root.grad_fn for root in roots if root.grad_fn is not None]
    while waiting and len(seen) < MOST_NODES:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if _kept_what_changed(node):
            return str(node.name()).split("Backward")[0]
        waiting += [after for after, _ in node.next_functions if after is not None]
    return ""


def _recomputes(frames: list[FrameType]) -> bool:
    """Whether the program may use checkpoints of activations: asking for what was kept would run its layers again."""
    return any(
        isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in _CHECKPOINTS
        for _, tree in _trees(frames)
        for node in ast.walk(tree)
    )


def _kept_what_changed(node: Any) -> bool:
    for name in dir(node):
        if name.startswith("_saved_"):
            try:
                getattr(node, name)
            except RuntimeError as error:
                if "inplace operation" in str(error):
                    return True
    return False


def _names(frames: list[FrameType], shape: list[int], version: int) -> Iterator[str]:
    """What the program calls tensors of this shape that were changed so often."""
    torch = sys.modules["torch"]
    for frame in _own(frames):
        scope = dict(variables(frame))
        scope |= {f"self.{name}": value for name, value in attributes(scope.get("self")).items()}
        for name, value in scope.items():
            if type(value) is torch.Tensor and list(value.shape) == shape and _version(value) == version:
                yield name


def _version(tensor: Any) -> int:
    try:
        return int(tensor._version)
    except RuntimeError:  # tensors of inference have none
        return -1


def _own(frames: list[FrameType]) -> list[FrameType]:
    return [frame for frame in frames if origin(frame.f_code.co_filename) == "program"]


def _trees(frames: list[FrameType]) -> Iterator[tuple[str, ast.Module]]:
    """The source of the program: of the files on the way to the error, and of all modules that are its own."""
    files = [frame.f_code.co_filename for frame in reversed(_own(frames))]
    for module in list(sys.modules.values()):
        file = attributes(module).get("__file__")
        if isinstance(file, str) and file.endswith(".py") and origin(file) == "program":
            files.append(file)
    for file in list(dict.fromkeys(files))[:MOST_FILES]:
        try:
            yield file, ast.parse("".join(linecache.getlines(file)))
        except (SyntaxError, ValueError, RecursionError):
            continue


def _place(file: str, node: ast.expr | ast.stmt, function: str = "") -> Where:
    return Where(file, node.lineno, function, linecache.getline(file, node.lineno).strip())


def _changes(frames: list[FrameType]) -> Iterator[_Change]:
    """The lines that change something in place."""
    values = _values(frames)
    for file, tree in _trees(frames):
        for node in ast.walk(tree):
            for name in _targets(node):
                if not _is_number(values, name):
                    yield _Change(_place(file, node), name, _operation(node))  # type: ignore[arg-type]
            if isinstance(node, ast.Call) and _is_step(node, values):
                yield _Change(_place(file, node), _name(node.func.value), steps=True)  # type: ignore[attr-defined]
            if isinstance(node, ast.Call) and _is_layer(node):
                yield _Change(_place(file, node), "", _operation(node), layer=True)


def _values(frames: list[FrameType]) -> dict[str, Any]:
    """The variables of the program, the innermost first where several have a name."""
    values: dict[str, Any] = {}
    for frame in _own(frames):
        values |= frame.f_globals | dict(variables(frame))
        values |= {f"self.{name}": value for name, value in attributes(values.get("self")).items()}
    return values


def _is_number(values: Mapping[str, Any], name: str) -> bool:
    """Whether a name is known to be of no tensor: ``epoch += 1``."""
    return isinstance(values.get(name), int | float | str | list | dict | set)


def _targets(node: ast.AST) -> Iterator[str]:
    """The names of what a statement or a call changes in place."""
    if isinstance(node, ast.AugAssign):
        yield _name(node.target)
    elif isinstance(node, ast.Assign):
        yield from (_name(target) for target in node.targets if isinstance(target, ast.Subscript))
    elif isinstance(node, ast.Call):
        yield from _called(node)


def _operation(node: ast.AST) -> str:
    """What a change does, as the graph calls it in lower case: ``add`` for ``x += y``, ``x.add_(y)``; ``relu``."""
    if isinstance(node, ast.AugAssign):
        return next((name.lower() for name, signs in _SIGNS.items() if isinstance(node.op, signs)), "")
    if isinstance(node, ast.Assign):
        return "copyslices"
    return _plain(ast.unparse(node.func).rpartition(".")[2]) if isinstance(node, ast.Call) else ""


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _called(node: ast.Call) -> Iterator[str]:
    """What ``x.add_(y)``, ``F.relu_(x)``, ``F.relu(x, inplace=True)`` and ``torch.add(x, y, out=z)`` change."""
    function = node.func
    called = function.attr if isinstance(function, ast.Attribute) else _name(function)
    argument = _name(node.args[0]) if node.args else ""
    if called.endswith("_") and not called.startswith("_") and called not in _HARMLESS:
        owner = _name(function.value) if isinstance(function, ast.Attribute) else ""
        module = owner in ("F", "torch", "functional", "nn.functional", "torch.nn.functional", "")
        if not owner.endswith(("init", "utils")) and not called.startswith("clip_grad"):
            yield argument if module else owner
    for keyword in node.keywords:
        if keyword.arg == "inplace" and argument and ast.unparse(keyword.value) == "True":
            yield argument
        elif keyword.arg == "out":
            yield _name(keyword.value)


def _is_layer(node: ast.Call) -> bool:
    """Whether a call makes a layer that changes what it is given: ``nn.ReLU(inplace=True)``, ``nn.ReLU(True)``."""
    told = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "inplace"]
    name = ast.unparse(node.func).rpartition(".")[2]
    if name in ("ReLU", "ReLU6", "SiLU", "SELU") and node.args:
        told.append(ast.unparse(node.args[0]))
    return "True" in told and name[:1].isupper()


def _is_step(node: ast.Call, values: Mapping[str, Any]) -> bool:
    """Whether a call may be the step of an optimizer; a scheduler changes no parameter."""
    if not (isinstance(node.func, ast.Attribute) and node.func.attr == "step"):
        return False
    owner = _name(node.func.value)
    value = values.get(owner)
    optimizer = sys.modules["torch"].optim.Optimizer
    return issubclass(type(value), optimizer) if value is not None else "sched" not in owner.lower()


def _name(node: ast.AST) -> str:
    """``x`` for ``x``, ``x[0]`` and ``x.data``; ``self.h`` for ``self.h``; "" for what has no name."""
    while isinstance(node, ast.Subscript) or (isinstance(node, ast.Attribute) and node.attr == "data"):
        node = node.value
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def _assigned(frames: list[FrameType], operation: str) -> Iterator[str]:
    """The names that are given to results of an operation."""
    for _, tree in _trees(frames):
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and _computes(node.value, operation):
                yield from (_name(target) for target in node.targets)


def _computes(node: ast.expr, operation: str) -> bool:
    """Whether an expression is the result of an operation of the graph: ``Exp`` is ``x.exp()`` or ``torch.exp(x)``."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, _SIGNS.get(operation, ()))
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    called = function.attr if isinstance(function, ast.Attribute) else _name(function)
    return bool(called) and _plain(called) == operation.lower()


def _uses(frames: list[FrameType], operation: str, names: set[str]) -> Iterator[Where]:
    """The lines where an operation is computed with, or gives, something of these names; nearest to the error first."""
    for file, tree in _trees(frames):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Assign | ast.Return | ast.Expr | ast.AugAssign) or node.value is None:
                continue
            parts = [part for part in ast.walk(node.value) if isinstance(part, ast.expr)]
            mentioned = {_name(part) for part in parts}
            if isinstance(node, ast.Assign):
                mentioned |= {_name(target) for target in node.targets}
            if any(_computes(part, operation) for part in parts) and (mentioned & names or not names - {""}):
                yield _place(file, node)
