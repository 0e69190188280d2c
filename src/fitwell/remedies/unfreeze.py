"""Let what should learn get gradients again."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from fitwell.patch import Code, Edit, called
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """What freezes is removed: on the line, and what is frozen of the same model in that function."""
    found = list(_freezing(code))
    on = [
        (node, root)
        for node, root in found
        if about.line and node.lineno <= about.line <= (node.end_lineno or 0)
    ]
    if not on:
        return ()
    place, root = code.function(on[0][0]), on[0][1]
    same = [node for node, its in found if its == root and code.function(node) is place]
    edits: dict[tuple[int, int], Edit] = {}
    for node in same:
        edit = _without(code, node)
        edits[edit.start, edit.end] = edit
    return list(edits.values())


def _freezing(code: Code) -> Iterator[tuple[ast.expr, str]]:
    """Each ``False`` that freezes parameters, and the variable of the model that they are taken from."""
    for node in ast.walk(code.tree):
        if (
            isinstance(node, ast.Call)
            and called(node) == "requires_grad_"
            and isinstance(node.func, ast.Attribute)
        ):
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            if given and _is_false(given[0]):
                yield given[0], _root(code, node.func.value)
        elif isinstance(node, ast.Assign) and _is_false(node.value):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and target.attr == "requires_grad":
                    yield node.value, _root(code, target.value)


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _root(code: Code, node: ast.expr) -> str:
    """The first variable of ``model.head[0].bias``; of a variable of a loop, that of what the loop goes over."""
    names = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
    root = names[0].id if names else ""
    for loop in code.loops(node):
        if isinstance(loop, ast.For) and root in {
            n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)
        }:
            return _root(code, loop.iter)
    if root == "self" and isinstance(node, ast.Attribute):
        return code.segment(node).split(".")[1]
    return root


def _without(code: Code, node: ast.expr) -> Edit:
    """Without the statement that freezes, and the loop that does nothing else; else ``True`` in its place."""
    statement = code.statement(node)
    alone = (isinstance(statement, ast.Assign) and statement.value is node) or (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and called(statement.value) == "requires_grad_"
    )
    if statement is None or not alone:
        return code.replace(node, "True")
    parent = code.parent(statement)
    while isinstance(parent, ast.For | ast.If) and parent.body == [statement] and not parent.orelse:
        statement, parent = parent, code.parent(parent)
    return code.remove(statement)


REMEDY = Remedy(
    says="do not freeze the parameters that should learn",
    treats={"parameters-frozen": 1},
    costs="gradients and a state of the optimizer for these parameters",
    not_when="the frozen layers were trained before, and the last one is meant to stay as it is",
    patch=_patch,
)
