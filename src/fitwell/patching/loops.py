"""The loop over the epochs, or the steps, of a training."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from fitwell.patch import Code, called
from fitwell.patching.gradients import trains

PASS = re.compile(r"epoch|^ep$", re.IGNORECASE)
COUNTER = re.compile(r"epoch|^ep|^it|iter|step|^_$|^[eit]$", re.IGNORECASE)
RANGES = ("range", "trange")


def epochs(code: Code) -> ast.expr | None:
    """How often the outer loop of the training runs, as it is written; None if there is not one such loop.

    Of ``range(1, EPOCHS + 1)`` that is ``EPOCHS``.
    """
    loops = _outermost(code)
    named = [loop for loop in loops if PASS.search(code.segment(loop.target))]
    found = named or [loop for loop in loops if COUNTER.search(code.segment(loop.target))]
    if len(found) != 1:
        return None
    counted = _range(found[0])
    if counted is None or len(counted.args) > 2:
        return None
    end = counted.args[-1]
    if isinstance(end, ast.BinOp) and isinstance(end.op, ast.Add) and isinstance(end.right, ast.Constant):
        return end.left
    return end


def _outermost(code: Code) -> list[ast.For]:
    """Loops over ranges in which the model is trained, and that are in no other such loop, called or written.

    A loop over seeds or folds around the training counts, too; who asks for epochs prefers those that are called so.
    """
    found = [
        node
        for node in ast.walk(code.tree)
        if isinstance(node, ast.For) and _range(node) is not None and trains(code, node)
    ]
    named = [loop for loop in found if PASS.search(code.segment(loop.target))]
    called_within = {name for loop in named or found for name in _called(loop)}
    return [
        loop
        for loop in named or found
        if not any(outer in (named or found) for outer in code.loops(loop))
        and getattr(code.function(loop), "name", "") not in called_within
    ]


def _range(loop: ast.For) -> ast.Call | None:
    """The range that is counted through, also within a progress bar."""
    at = loop.iter
    if isinstance(at, ast.Call) and called(at) == "tqdm" and at.args:
        at = at.args[0]
    return at if isinstance(at, ast.Call) and called(at) in RANGES and at.args else None


def _called(node: ast.AST) -> Iterator[str]:
    return (called(each) for each in ast.walk(node) if isinstance(each, ast.Call))
