"""Expressions of a program put in the place of one another, or into calls."""

from __future__ import annotations

import ast

from fitwell.patch import Code, Edit
from fitwell.patching.names import is_function, name_of

SIMPLE = (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.Constant, ast.Tuple, ast.List)


def enclosed(code: Code, node: ast.expr) -> str:
    """The text of an expression as an operand: in parentheses unless it binds by itself."""
    text = code.segment(node)
    return text if isinstance(node, SIMPLE) else f"({text})"


def operand(code: Code, call: ast.Call) -> ast.expr | None:
    """What a function of a tensor is applied to, however it is written."""
    if isinstance(call.func, ast.Attribute) and not is_function(code, call):
        return call.func.value
    given = [keyword.value for keyword in call.keywords if keyword.arg == "input"]
    return next(iter([*call.args, *given]), None)


def instead(code: Code, node: ast.expr, inner: ast.expr) -> Edit:
    """One of its own parts in the place of an expression."""
    above = code.parent(node)
    binds = isinstance(above, ast.Attribute | ast.BinOp | ast.UnaryOp | ast.Subscript | ast.Starred)
    text = code.segment(inner)
    return code.replace(node, enclosed(code, inner) if binds or "\n" in text else text)


def wrapped(code: Code, node: ast.expr, method: str) -> Edit:
    """A method of an expression, such as ``float()``."""
    return code.replace(node, f"{enclosed(code, node)}.{method}")


def alike(code: Code, prediction: ast.expr, target: ast.expr) -> Edit | None:
    """A target in the shape of the prediction, or the other way round: nothing is computed twice."""
    if isinstance(prediction, ast.Name | ast.Attribute | ast.Subscript):
        return wrapped(code, target, f"view_as({code.segment(prediction)})")
    if isinstance(target, ast.Name | ast.Attribute | ast.Subscript | ast.Call):
        return wrapped(code, prediction, f"view_as({code.segment(target)})")
    return None


def beside(code: Code, call: ast.Call, name: str, package: str = "torch.nn") -> str | None:
    """How another class or function is written that stands where the called one does: ``nn.ReLU`` beside ``nn.Linear``.

    Args:
        code: the program.
        call: of the one that stands there.
        name: of the other one.
        package: of both, for a program that has imported each by itself; None if the other one is out of reach.
    """
    if isinstance(call.func, ast.Attribute):
        return f"{code.segment(call.func.value)}.{name}"
    return name_of(code, f"{package}.{name}")


def renamed(code: Code, call: ast.Call, package: str, name: str) -> Edit | None:
    """A call of another function or class beside the one that is called; None if it is not within reach."""
    text = beside(code, call, name, package)
    return None if text is None else code.replace(call.func, text)
