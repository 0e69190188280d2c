"""Compare predictions and labels one by one, and divide by the number of samples."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from fitwell.patch import Code, Edit, called
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    statement = code.statement(about.line) if about.line else None
    nodes = list(ast.walk(statement)) if statement is not None else []
    return list(_by_samples(code, nodes)) or list(_as_mean(code, nodes)) or list(_of_one_shape(code, nodes))


def _by_samples(code: Code, nodes: Sequence[ast.AST]) -> Iterator[Edit]:
    """``len(loader.dataset)`` for ``len(loader)``, which counts batches."""
    for node in nodes:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Call):
            counted = node.right.args[0] if called(node.right) == "len" and node.right.args else None
            text = code.segment(counted) if counted is not None else ""
            if isinstance(counted, ast.Name | ast.Attribute) and ("loader" in text or text.endswith("_dl")):
                yield Edit(code.span(counted)[1], code.span(counted)[1], ".dataset")


def _as_mean(code: Code, nodes: Sequence[ast.AST]) -> Iterator[Edit]:
    """The mean of what is right in the place of its sum over a number that is written there."""
    for node in nodes:
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Div)
            and isinstance(node.right, ast.Constant)
        ):
            total = node.left
            if (
                isinstance(total, ast.Call)
                and isinstance(total.func, ast.Attribute)
                and total.func.attr == "item"
            ):
                total = total.func.value
            compares = any(isinstance(part, ast.Compare) for part in ast.walk(total))
            if isinstance(total, ast.Call) and isinstance(total.func, ast.Attribute) and compares:
                end = code.span(total.func)[1]
                if total.func.attr == "sum" and not total.args:
                    made_float = "float()" in code.segment(total.func)
                    yield Edit(end - 3, end, "mean" if made_float else "float().mean")
                    yield Edit(code.span(node.left)[1], code.span(node)[1], "")


def _of_one_shape(code: Code, nodes: Sequence[ast.AST]) -> Iterator[Edit]:
    """Labels in the shape of the predictions that they are compared with, where one was given an axis more."""
    for node in nodes:
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq):
            left, right = node.left, node.comparators[0]
            for side, other in ((right, left), (left, right)):
                if _has_new_axis(side):
                    yield code.replace(side, f"{code.segment(side)}.view_as({code.segment(other)})")
                    break


def _has_new_axis(node: ast.expr) -> bool:
    if isinstance(node, ast.Subscript):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return any(isinstance(part, ast.Constant) and part.value is None for part in parts)
    return isinstance(node, ast.Call) and called(node) == "unsqueeze"


REMEDY = Remedy(
    says="compare predictions with labels of the same shape, and divide by the number of samples",
    treats={"metric-wrong": 1},
    costs="nothing",
    not_when="the variable holds another metric than accuracy",
    patch=_patch,
)
