"""Let each step use the gradient of its own batch alone."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.patch import Code, Edit
from fitwell.patching.gradients import backwards, feeds
from fitwell.patching.optimizers import steps, takes_closure
from fitwell.patching.statements import is_on, nearest, scope
from fitwell.remedy import About, Remedy


def _live(_: About) -> Sequence[Change]:
    return (Change("clear_gradients"),)


def _patch(code: Code, about: About) -> Sequence[Edit]:
    return _in_closure(code, about.line) or _around_step(code, about.line)


def _in_closure(code: Code, line: int | None) -> Sequence[Edit]:
    """Before the backward pass of the closure that a step is given."""
    made = scope(code, line)
    for step in steps(code):
        closure = takes_closure(step)
        called = code.segment(closure) if closure is not None else None
        functions = [
            node for node in ast.walk(code.tree) if isinstance(node, ast.FunctionDef) and node.name == called
        ]
        for function in functions if made in functions or is_on(step.call, line) else ():
            back = next((call for call in backwards(code) if code.function(call) is function), None)
            statement = code.statement(back) if back is not None else None
            if statement is not None:
                return (code.before(statement, f"{step.optimizer}.zero_grad()"),)
    return ()


def _around_step(code: Code, line: int | None) -> Sequence[Edit]:
    """Before the backward pass that feeds the step: then what another loss left in the parameters is gone, too.

    Where the step has none beside it, as where gradients are accumulated over batches, after the step instead.
    """
    found = [step for step in steps(code) if takes_closure(step) is None]
    near = nearest(code, [step.call for step in found], line)
    chosen = next((step for step in found if step.call is near), None)
    if chosen is None:
        return ()
    text = f"{chosen.optimizer}.zero_grad()"
    place = code.function(chosen.call)
    same = [
        each for each in found if each.optimizer == chosen.optimizer and code.function(each.call) is place
    ]
    edits = {}
    for step in same:
        first = feeds(code, step)
        edit = code.before(first, text) if first is not None else code.after(step.statement, text)
        edits[edit.start] = edit
    return list(edits.values())


REMEDY = Remedy(
    says="clear the gradients once for every step",
    treats={"gradients-not-cleared": 1},
    costs="nothing",
    not_when="the sum of all gradients is meant, as in dual averaging",
    live=_live,
    patch=_patch,
)
