"""Keep an operation away from where it has no finite value."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from fitwell.patch import Code, Edit, called, number
from fitwell.patching.assignments import assigned
from fitwell.patching.expressions import operand
from fitwell.patching.names import full_name, is_function, name_of
from fitwell.remedy import About, Remedy

SMALL = "1e-8"
SPREAD = re.compile(r"std|sigma|spread|scale|norm|range|max|sum|total|var\b", re.IGNORECASE)
COUNT = re.compile(r"len\(|shape|size|count|batch|steps")
LOG_VARIANCE = re.compile(r"log_?(var|sigma|std)", re.IGNORECASE)
GUARDS = ("clamp", "clip", "maximum", "clamp_min", "eps", "1e-", "relu", "softplus", "nan_to_num", "where")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    if about.finding == "input-not-finite":
        return _of_inputs(code)
    return () if about.line is None else _in_line(code, about.line)


def _in_line(code: Code, line: int) -> list[Edit]:
    """A root of a logarithm, which is negative, or a division; of other roots and logarithms see guard_operation."""
    edits = [_root(code, call) for call in code.calls("sqrt", line=line)]
    if not any(edits):
        edits = [
            _quotient(code, node)
            for node in _quotients(code)
            if node.lineno <= line <= (node.end_lineno or 0)
        ]
    return [edit for edit in edits if edit is not None]


def _root(code: Code, call: ast.Call) -> Edit | None:
    """The deviation whose variance has this logarithm."""
    inner, exp = operand(code, call), name_of(code, "torch.exp")
    if inner is None or exp is None or not LOG_VARIANCE.search(ast.unparse(inner)):
        return None
    return code.replace(call, f"{exp}(0.5 * {code.segment(inner)})")


def _guarded(node: ast.expr) -> bool:
    text = ast.unparse(node)
    return any(word in text for word in GUARDS) or isinstance(node, ast.Constant)


def _quotients(code: Code) -> Iterator[ast.BinOp]:
    for node in ast.walk(code.tree):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Div) or _guarded(node.right):
            continue
        if number(node.right) is None and not COUNT.search(ast.unparse(node.right)):
            yield node


def _quotient(code: Code, node: ast.BinOp) -> Edit | None:
    """Divided by a little more, where that is not negative."""
    if not SPREAD.search(ast.unparse(node.right)):
        return None
    return code.replace(node.right, f"({code.segment(node.right)} + {SMALL})")


def _of_inputs(code: Code) -> Sequence[Edit]:
    """Divisions by a spread, and logarithms of data."""
    divided = [node for node in _quotients(code) if _centers(node) and _of_columns(code, node)]
    edits = [_quotient(code, node) for node in divided]
    edits += [_of_counts(code, call) for call in code.calls("log") if _of_data_log(code, call)]
    return [edit for edit in edits if edit is not None]


def _centers(node: ast.BinOp) -> bool:
    """Whether it centers data: ``(x - x.mean(0)) / x.std(0)``."""
    return isinstance(node.left, ast.BinOp) and isinstance(node.left.op, ast.Sub)


def _of_columns(code: Code, node: ast.BinOp) -> bool:
    """Whether a column alone may have no spread."""
    makers = [node.right] if not isinstance(node.right, ast.Name | ast.Attribute) else [
        value for _, value in assigned(code, called(node.right))
    ]  # fmt: skip
    return any(
        call.args or call.keywords
        for maker in makers for call in ast.walk(maker)
        if isinstance(call, ast.Call) and called(call) in ("std", "max", "norm", "var", "sqrt")
    )  # fmt: skip


def _of_data_log(code: Code, call: ast.Call) -> bool:
    """Whether a logarithm is taken outside of models and losses: of numpy's, or before the loop."""
    if full_name(code, call.func).startswith(("numpy.", "np.")):
        return True
    return not code.loops(call) and not any(
        isinstance(outer, ast.ClassDef | ast.Lambda) for outer in code.around(call)
    )


def _of_counts(code: Code, call: ast.Call) -> Edit | None:
    """The logarithm of one more, for data with zeros."""
    inner = operand(code, call)
    if inner is None or _guarded(inner) or not isinstance(call.func, ast.Attribute):
        return None
    if not is_function(code, call) and inner is not call.func.value:
        return None
    return Edit(code.span(call.func)[1] - len("log"), code.span(call.func)[1], "log1p")


REMEDY = Remedy(
    says="divide by a little more than the spread, and take log(1 + x) of data with zeros",
    treats={"loss-not-finite": 1, "input-not-finite": 1},
    costs="values near 0 are changed a little",
    not_when="the operation gets negative numbers because something before it is wrong",
    patch=_patch,
)
