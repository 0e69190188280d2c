"""Give the model its input, not something of the same shape."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.patch import Code, Edit, called, number
from fitwell.patching.expressions import instead, operand
from fitwell.remedy import About, Remedy

BLANKS = ("zeros_like", "ones_like", "rand_like", "randn_like", "full_like", "empty_like", "zero_", "fill_")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    for call in code.calls(*BLANKS, line=about.line) if about.line is not None else ():
        inner = operand(code, call)
        if inner is not None:
            return (instead(code, call, inner),)
    for node in ast.walk(code.tree):
        here = isinstance(node, ast.expr) and node.lineno == about.line
        inner = _times_nothing(node) if here else None
        if inner is not None and isinstance(node, ast.expr):
            return (instead(code, node, inner),)
    return ()


def _times_nothing(node: ast.AST) -> ast.expr | None:
    """What is multiplied by 0."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        if number(node.right) == 0:
            return node.left
        return node.right if number(node.left) == 0 else None
    if (
        isinstance(node, ast.Call)
        and called(node) in ("mul", "mul_")
        and isinstance(node.func, ast.Attribute)
    ):
        return node.func.value if node.args and number(node.args[0]) == 0 else None
    return None


REMEDY = Remedy(
    says="give the model its input, not a blank of the same shape",
    treats={"input-ignored": 1},
    costs="nothing",
    not_when="the input is left out on purpose, to compare with",
    patch=_patch,
)
