"""What a program assigns, and to what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from fitwell.patch import Code, called

Named = ast.Name | ast.Attribute


def assignments(code: Code) -> Iterator[tuple[ast.stmt, ast.expr, ast.expr]]:
    """The statements that assign, with each target and its value; ``a, b = c, d`` counts as two."""
    for node in ast.walk(code.tree):
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            yield node, node.target, node.value
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                yield from ((node, *pair) for pair in _pairs(target, node.value))


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(target, ast.Tuple | ast.List):
        many = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
        values = value.elts if many else [value] * len(target.elts)  # type: ignore[attr-defined]
        for part, each in zip(target.elts, values, strict=True):
            yield from _pairs(part, each)
    else:
        yield target, value


def assigned(code: Code, name: str) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The variables and attributes with this last name, and what they are given."""
    return ((target, value) for _, target, value in assignments(code) if called(target) == name)


def made(code: Code, name: str) -> list[ast.Call]:
    """The calls whose results are assigned to this last name."""
    return [value for _, value in assigned(code, name) if isinstance(value, ast.Call)]


def made_by(code: Code, kinds: re.Pattern[str]) -> dict[str, ast.Call]:
    """The calls of classes and functions with such names, by the text of the variable that holds the result."""
    return {
        code.segment(target): value
        for _, target, value in assignments(code)
        if isinstance(value, ast.Call) and isinstance(target, Named) and kinds.search(called(value))
    }
