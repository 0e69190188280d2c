"""Compare each prediction with its own target: give both the same shape."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from fitwell.patch import Code, Edit, called, number
from fitwell.patching.expressions import alike
from fitwell.patching.losses import REGRESSION, losses
from fitwell.patching.statements import is_on
from fitwell.remedy import About, Remedy

SIZES = ("pow", "square", "abs", "mean", "norm", "sum")
STATISTIC = re.compile(r"mean|average|center|\bmu\b|mode|\bmin\b|\bmax\b|shift|bias", re.IGNORECASE)


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """Of all comparisons, for training and for evaluation; where shapes are equal it changes nothing."""
    of_losses = [
        (each.input, each.target) for each in losses(code, *REGRESSION) if is_on(each.call, about.line)
    ]
    differences = list(_differences(code))
    if of_losses or not differences:
        of_losses = [(each.input, each.target) for each in losses(code, *REGRESSION)]
    pairs = [*of_losses, *differences]
    edits = [alike(code, prediction, target) for prediction, target in pairs if prediction and target]
    return tuple(edit for edit in edits if edit is not None)


def _differences(code: Code) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Predictions and targets whose difference is squared, or so."""
    for node in ast.walk(code.tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and _is_error(code, node):
            yield node.left, node.right


def _is_error(code: Code, node: ast.BinOp) -> bool:
    """Whether a difference is that of a prediction and a target."""
    sides = node.left, node.right
    if any(number(side) is not None or STATISTIC.search(ast.unparse(side)) for side in sides):
        return False
    if any(isinstance(side, ast.BinOp) for side in sides):
        return False
    names = [{part.id for part in ast.walk(side) if isinstance(part, ast.Name)} for side in sides]
    return (
        names[0] != names[1]
        and (_is_sized(code, node) or _is_sized_later(code, node))
        and _predicts(code, node)
    )


def _predicts(code: Code, node: ast.BinOp) -> bool:
    """Whether one side comes from a model, or both are given to the function."""
    function = code.function(node)
    arguments = (
        [each.arg for each in function.args.args]
        if isinstance(function, ast.FunctionDef | ast.Lambda)
        else []
    )
    if all(isinstance(side, ast.Name) and side.id in arguments for side in (node.left, node.right)):
        return True
    return any(_from_model(code, side, function) for side in (node.left, node.right))


def _from_model(code: Code, side: ast.expr, function: ast.AST) -> bool:
    if isinstance(side, ast.Call) and isinstance(side.func, ast.Name):
        return True
    if isinstance(side, ast.Call) and called(side) in ("squeeze", "view", "flatten", "reshape", "float"):
        return isinstance(side.func, ast.Attribute) and _from_model(code, side.func.value, function)
    if isinstance(side, ast.Call) and isinstance(side.func, ast.Attribute):
        return ast.unparse(side.func.value) == "self"
    if not isinstance(side, ast.Name):
        return False
    for statement in ast.walk(function):
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        parts = [part for each in targets for part in (each.elts if isinstance(each, ast.Tuple) else [each])]
        if any(called(part) == side.id for part in parts) and isinstance(statement, ast.Assign):
            value = statement.value
            if isinstance(value, ast.Call) and _from_model(code, value, function):
                return True
    return False


def _is_sized(code: Code, node: ast.expr) -> bool:
    """Whether it is squared, or its absolute value is taken."""
    above = code.parent(node)
    if isinstance(above, ast.BinOp):
        return isinstance(above.op, ast.Pow) and number(above.right) == 2
    if isinstance(above, ast.Attribute):
        return above.attr in SIZES
    return isinstance(above, ast.Call) and called(above) in SIZES


def _is_sized_later(code: Code, node: ast.BinOp) -> bool:
    """Whether the name that it is assigned to is."""
    above = code.parent(node)
    if not isinstance(above, ast.Assign) or not isinstance(above.targets[0], ast.Name):
        return False
    name = above.targets[0].id
    used = [each for each in ast.walk(code.function(node)) if isinstance(each, ast.Name) and each.id == name]
    return any(_is_sized(code, each) or _is_product(code, each) for each in used)


def _is_product(code: Code, node: ast.Name) -> bool:
    above = code.parent(node)
    return isinstance(above, ast.BinOp) and ast.unparse(above.left) == ast.unparse(above.right)


REMEDY = Remedy(
    says="give the prediction and the target the same shape",
    treats={"loss-broadcasts": 1},
    costs="nothing",
    not_when="every prediction is meant to be compared with every target",
    patch=_patch,
)
