"""Where a program puts its training data into batches."""

from __future__ import annotations

import ast

from fitwell.measures.metrics import HELD_OUT
from fitwell.patch import Code, argument
from fitwell.remedy import About

SIZES = ("batch_size", "BATCH_SIZE", "BATCH", "batchsize", "BS")


def training_loader(code: Code, about: About) -> ast.Call | None:
    """The DataLoader in the finding's line, else the only one that is not called after held-out data."""
    here = code.calls("DataLoader", line=about.line) if about.line else []
    if len(here) == 1:
        return here[0]
    found = [call for call in code.calls("DataLoader") if not HELD_OUT.search(_around(code, call))]
    return found[0] if len(found) == 1 else None


def _around(code: Code, call: ast.Call) -> str:
    """The text of a call and of what it is assigned to."""
    above = code.parent(call)
    targets = above.targets if isinstance(above, ast.Assign) else []
    return " ".join(code.segment(node) for node in (*targets, call))


def batch_size(code: Code, about: About) -> ast.expr | None:
    """The size of the batches of the training, as it is written: of the loader, or of slices of tensors."""
    loader = training_loader(code, about)
    if loader is not None:
        return argument(loader, "batch_size", 1)
    if code.calls("DataLoader"):
        return None
    sliced = [
        size for loop in ast.walk(code.tree) if isinstance(loop, ast.For) and (size := _sliced(code, loop))
    ]
    texts = {code.segment(size) for size in sliced}
    return sliced[0] if len(texts) == 1 else None if sliced else _named(code)


def _sliced(code: Code, loop: ast.For) -> ast.expr | None:
    """The name of the step of a loop over slices: ``for i in range(0, n, SIZE): x[i : i + SIZE]``."""
    counted = loop.iter
    if not (
        isinstance(counted, ast.Call) and len(counted.args) == 3 and isinstance(counted.args[2], ast.Name)
    ):
        return None
    start, size = code.segment(loop.target), code.segment(counted.args[2])
    slices = [code.segment(node).replace(" ", "") for node in _slices(loop)]
    return counted.args[2] if f"{start}:{start}+{size}" in slices else None


def _slices(loop: ast.For) -> list[ast.expr]:
    return [
        node.slice
        for node in ast.walk(loop)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)
    ]


def _named(code: Code) -> ast.expr | None:
    """A variable of the module that is called so, where it is set."""
    found = [
        node
        for node in ast.walk(code.tree)
        if isinstance(node, ast.Name)
        and node.id in SIZES
        and isinstance(node.ctx, ast.Load)
        and code.function(node) is not code.tree
    ]
    return found[0] if len({node.id for node in found}) == 1 else None
