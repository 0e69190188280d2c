"""Activations in a program's text: which one a finding means, and the text without it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from fitwell.patch import Code, Edit, called
from fitwell.patching.assignments import made
from fitwell.patching.expressions import beside, instead, operand
from fitwell.patching.layers import LISTS, drop, items, module_of

INSIDE = re.compile(r"atte?n|gate|gating|rout", re.IGNORECASE)  # weights of parts, not what a model ends with
SOFTMAX = ("softmax", "Softmax", "Softmax2d", "log_softmax", "LogSoftmax", "softmax_")
SIGMOID = ("sigmoid", "Sigmoid", "sigmoid_")
RANGES = ("relu", "ReLU", "relu_", "clamp", "clip", "clamp_", "hardtanh", "Hardtanh", "hardsigmoid", "Hardsigmoid",
          "relu6", "ReLU6", "abs", "softplus", "Softplus", "tanh", "Tanh", "tanh_", "clamp_min")  # fmt: skip
LAST = (*SOFTMAX, *SIGMOID, *RANGES, "exp", "Softsign", "softsign")
LOG = ("log_softmax", "LogSoftmax")
Way = Literal["called", "item", "added", "assigned"]


@dataclass(frozen=True)
class Applied:
    """An activation.

    Args:
        node: the call that applies it, or that makes the module that does.
        name: such as ``softmax`` or ``Softmax``.
        way: a function or module that is ``called``, an item of a list of layers, a statement that adds it to one, or
            a module that is ``assigned`` to a name.
    """

    node: ast.Call
    name: str
    way: Way


def activations(code: Code, names: Sequence[str]) -> list[Applied]:
    """All activations of these names, in order."""
    return sorted(_all(code, names), key=lambda each: code.span(each.node))


def _all(code: Code, names: Sequence[str]) -> Iterator[Applied]:
    for call in code.calls():
        name = called(call)
        if isinstance(call.func, ast.Call) and called(call.func) in names and call.args:
            yield Applied(call, called(call.func), "called")  # nn.Softmax(dim=1)(x)
        elif name in names:
            way = _way(code, call) if name[0].isupper() else "called"
            if way is not None and (way != "called" or operand(code, call) is not None):
                yield Applied(call, name, way)
        elif call.args and isinstance(call.func, ast.Name | ast.Attribute):
            modules = [called(each) for each in made(code, name)][-1:]
            yield from (Applied(call, each, "called") for each in modules if each in names)  # self.softmax(x)


def _way(code: Code, call: ast.Call) -> Way | None:
    """How a module that is made gets to where it is called."""
    above = code.parent(call)
    if isinstance(above, ast.Assign):
        return "assigned"
    holder = code.parent(above) if isinstance(above, ast.Tuple) and module_of(above) is call else above
    if isinstance(holder, ast.Call) and called(holder) in ("append", "add_module"):
        return "added"
    listed = isinstance(holder, ast.List) or (isinstance(holder, ast.Call) and called(holder) in LISTS)
    return "item" if listed else None


def meant(code: Code, names: Sequence[str], line: int | None) -> Applied | None:
    """The activation that a finding at a line is about: there, before it in its function, or the last of a model."""
    found = activations(code, names)
    if line is not None:
        there = [each for each in found if _starts(each) <= line <= (each.node.end_lineno or 0)]
        there = [each for each in there if each.node.lineno == line or _starts(each) == line] or there
        listed = [each for each in there if each.way == "item"]
        if there:
            last = [each for each in listed if _is_end(code, each)] or listed
            return last[-1] if last else there[0]  # the outermost
    outer = [each for each in found if not _inside(code, each)]
    return _before(code, outer, line) or _ends(code, outer)


def _starts(applied: Applied) -> int:
    """The line of the name of what is called."""
    return applied.node.func.end_lineno or applied.node.lineno


def _before(code: Code, found: list[Applied], line: int | None) -> Applied | None:
    """The last before a line in its function, unless that is the whole program."""
    statement = code.statement(line) if line is not None else None
    if statement is None or line is None:
        return None
    function = code.function(statement)
    before = [each for each in found if code.function(each.node) is function and each.node.lineno <= line]
    before = [each for each in before if each.way == "called"]
    return before[-1] if before else None


def _inside(code: Code, applied: Applied) -> bool:
    """Whether it makes weights of parts, or only what is shown."""
    statement = code.statement(applied.node)
    if applied.way != "called" or statement is None:
        return False
    owner = next((outer.name for outer in code.around(statement) if isinstance(outer, ast.ClassDef)), "")
    shown = any(
        isinstance(outer, ast.With) and "no_grad" in ast.unparse(outer.items[0])
        for outer in code.around(applied.node)
    )
    return shown or bool(INSIDE.search(f"{owner} {code.segment(statement)}"))


def _ends(code: Code, found: list[Applied]) -> Applied | None:
    """The only one that a model ends with: returned, assigned, or the last of its list."""
    ends = [each for each in found if _is_end(code, each)]
    return ends[0] if len(ends) == 1 else None


def _is_end(code: Code, applied: Applied) -> bool:
    if applied.way == "item":
        holder = _holder(code, applied)
        return holder is not None and module_of(items(holder)[-1]) is applied.node
    if applied.way == "assigned":
        return False  # its calls are among the others
    return applied.way == "added" or isinstance(code.statement(applied.node), ast.Return)


def _holder(code: Code, applied: Applied) -> ast.AST | None:
    """The list that an item is in."""
    around = (
        outer for outer in code.around(applied.node) if items(outer) and not isinstance(outer, ast.Tuple)
    )
    return next(
        (outer for outer in around if any(module_of(each) is applied.node for each in items(outer))), None
    )


def without(code: Code, applied: Applied) -> Edit | None:
    """The text without an activation."""
    node = applied.node
    if applied.way == "item":
        holder = _holder(code, applied)
        if holder is None:
            return None
        listed = items(holder)
        return drop(code, next(each for each in listed if module_of(each) is node), listed)
    if applied.way == "added":
        statement = code.statement(node)
        return None if statement is None else code.remove(statement)
    if applied.way == "assigned":
        identity = beside(code, node, "Identity")
        return None if identity is None else code.replace(node, f"{identity}()")
    inner = node.args[0] if isinstance(node.func, ast.Call) else applied_to(code, applied)
    return None if inner is None else instead(code, _around(code, applied), inner)


def applied_to(code: Code, applied: Applied) -> ast.expr | None:
    """What an activation is called with."""
    lower = called(applied.node) == applied.name
    return operand(code, applied.node) if lower else next(iter(applied.node.args), None)


def _around(code: Code, applied: Applied) -> ast.expr:
    """The activation with what only keeps its range: ``.exp()`` of a logarithm, a small number that is added."""
    node: ast.expr = applied.node
    while True:
        above = code.parent(node)
        method = code.parent(above) if isinstance(above, ast.Attribute) else above
        if applied.name in LOG and isinstance(method, ast.Call) and called(method) == "exp":
            node = method
        elif isinstance(above, ast.BinOp) and isinstance(above.op, ast.Add) and _is_small(above):
            node = above
        else:
            return node


def _is_small(sum_: ast.BinOp) -> bool:
    return any(
        isinstance(side, ast.Constant) and isinstance(side.value, float) and 0 < side.value < 1e-4
        for side in (sum_.left, sum_.right)
    )
