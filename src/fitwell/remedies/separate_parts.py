"""Let the held-out part begin where the training data end."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.patch import Code, Edit, number
from fitwell.remedy import About, Remedy


def _patch(code: Code, _: About) -> Sequence[Edit]:
    """Of slices ``data[:a]`` and ``data[b:]`` of one variable in a function, with b below a."""
    slices = [
        node for node in ast.walk(code.tree)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) and node.slice.step is None
    ]  # fmt: skip
    edits: list[Edit] = []
    for first in slices:
        end = _bound(first, "upper") if _bound(first, "lower") in (None, 0.0) else None
        others = [
            each for each in slices
            if each is not first and ast.dump(each.value) == ast.dump(first.value)
            and code.function(each) is code.function(first)
        ]  # fmt: skip
        if end is None or len(others) != 1:
            continue
        begin = _bound(others[0], "lower")
        if begin is not None and 0 < begin < end:
            assert isinstance(others[0].slice, ast.Slice)  # noqa: S101 - for the types
            lower = others[0].slice.lower
            assert lower is not None  # noqa: S101
            edits.append(code.replace(lower, f"{end:g}"))
    return edits


def _bound(node: ast.Subscript, which: str) -> float | None:
    return number(getattr(node.slice, which))


REMEDY = Remedy(
    says="take the held-out samples from behind those of training",
    treats={"train-validation-overlap": 1},
    costs="fewer held-out samples",
    not_when="that part is meant to be training data",
    patch=_patch,
)
