"""Keep numbers, or tensors without their graphs, from step to step."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from fitwell.patch import Code, Edit, called
from fitwell.patching.gradients import backwards
from fitwell.remedy import About, Remedy

LOSS = re.compile(r"loss|cost|objective", re.IGNORECASE)
STORES = ("append", "extend", "insert", "add", "update", "put", "record", "push")
VALUES = ("item", "detach", "tolist", "numpy", "data", "backward")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    statement = code.statement(about.line) if about.line else None
    if statement is None:
        return ()
    return _numbers(code, statement) or _carried(code, statement)


def _numbers(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """Losses that are added up, or stored, as numbers."""
    kept, values = _keeps(code, statement)
    if kept is None:
        return ()
    roots = {
        node.id
        for call in backwards(code)
        for node in ast.walk(call)
        if isinstance(node, ast.Name) and code.function(node) is code.function(statement)
    }
    if kept in roots:
        return ()
    losses = [
        node
        for value in values
        for node in ast.walk(value)
        if isinstance(node, ast.Name) and node.id != kept and (node.id in roots or LOSS.search(node.id))
        and not _is_value(code, node)
    ]  # fmt: skip
    way = "detach" if _is_used_as_tensor(code, kept) else "item"
    return [Edit(code.span(node)[1], code.span(node)[1], f".{way}()") for node in losses]


def _keeps(code: Code, statement: ast.stmt) -> tuple[str | None, list[ast.expr]]:
    """What values are kept in, and the values."""
    if isinstance(statement, ast.AugAssign):
        return code.segment(statement.target), [statement.value]
    if isinstance(statement, ast.Assign):
        target = statement.targets[0]
        parts = {
            code.segment(node)
            for node in ast.walk(statement.value)
            if isinstance(node, ast.Name | ast.Attribute)
        }
        if isinstance(target, ast.Subscript) or code.segment(target) in parts:
            return code.segment(target), [statement.value]
    call = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(call, ast.Call) and called(call) in STORES and isinstance(call.func, ast.Attribute):
        return code.segment(call.func.value), list(call.args)
    return None, []


def _is_value(code: Code, node: ast.expr) -> bool:
    """Whether it is used as a number already, or is called."""
    above = code.parent(node)
    if isinstance(above, ast.Attribute):
        return above.attr in VALUES
    return isinstance(above, ast.Call) and (above.func is node or called(above) in ("float", "int", "len"))


def _is_used_as_tensor(code: Code, kept: str) -> bool:
    """Whether what is kept is asked for something that only tensors have, or given to torch."""
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Attribute) and code.segment(node.value) == kept and node.attr not in STORES:
            return True
        given = (
            node.args if isinstance(node, ast.Call) and code.segment(node.func).startswith("torch.") else []
        )
        if any(code.segment(each) == kept for each in given):
            return True
    return False


def _carried(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """A state that a step takes from the one before, without its graph."""
    loop = next(iter(code.loops(statement)), None)
    assigned = [node for node in ast.walk(loop) if isinstance(node, ast.Assign)] if loop is not None else []
    for node in assigned:
        if not isinstance(node.value, ast.Call) or not isinstance(node.targets[0], ast.Tuple):
            continue
        given = {each.id for each in node.value.args if isinstance(each, ast.Name)}
        states = [each.id for each in node.targets[0].elts if isinstance(each, ast.Name) and each.id in given]
        if len(states) == 1 and loop is not None and not _is_set(loop, states[0], node):
            state = states[0]
            plain = f"{state}.detach()"
            if "LSTM" in code.text:
                plain = f"tuple(each.detach() for each in {state})"
            return (code.before(node, f"{state} = {state} if {state} is None else {plain}"),)
    return ()


def _is_set(loop: ast.For | ast.While, name: str, but: ast.stmt) -> bool:
    """Whether a loop sets a variable by another statement, too."""
    return any(
        isinstance(node, ast.Assign)
        and node is not but
        and any(isinstance(part, ast.Name) and part.id == name for t in node.targets for part in ast.walk(t))
        for node in ast.walk(loop)
    )


REMEDY = Remedy(
    says="keep numbers or detached tensors from step to step, not their graphs",
    treats={"graph-retained": 1},
    costs="nothing",
    not_when="the losses of several steps are meant to be propagated back together",
    patch=_patch,
)
