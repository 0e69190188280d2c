"""Clear the gradients before the backward pass, not between it and the step."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.patch import Code, Edit
from fitwell.patching.gradients import BACKWARD, clears
from fitwell.patching.optimizers import Step, steps
from fitwell.patching.statements import block, calls_within, following, is_on, moved, previous, scope
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    clear = _clearing(code, about.line)
    if clear is None:
        return ()
    if calls_within(clear, *BACKWARD):
        return ()
    step = _step_after(code, clear)
    if step is None:
        return ()
    backward = _first_backward(code, clear)
    if backward is not None and step.statement in following(code, clear):
        return moved(code, clear, code.before, backward)
    if step.statement in block(code, clear) or _accumulates(code, clear, step):
        return moved(code, clear, code.after, step.statement)
    return ()


def _clearing(code: Code, line: int | None) -> ast.stmt | None:
    """The statement that clears: on the line, else the one between a backward pass and a step in its function."""
    place = scope(code, line)
    found = [code.statement(call) for call, _ in clears(code) if code.function(call) is place]
    found += [
        _loop_of(code, node) for node in ast.walk(code.tree) if _drops(node) and code.function(node) is place
    ]
    clearing = [statement for statement in found if statement is not None]
    on = [each for each in clearing if is_on(each, line)]
    between = [
        each for each in clearing if _first_backward(code, each) is not None and _step_after(code, each)
    ]
    return next(iter(on or between), None)


def _drops(node: ast.AST) -> bool:
    """Whether it is ``p.grad = None``."""
    return (
        isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Attribute) and target.attr == "grad" for target in node.targets)
        and isinstance(node.value, ast.Constant)
    )


def _loop_of(code: Code, node: ast.AST) -> ast.stmt | None:
    """The loop over parameters that does nothing else."""
    loop = code.parent(node)
    return loop if isinstance(loop, ast.For) and len(loop.body) == 1 else None


def _step_after(code: Code, clear: ast.stmt) -> Step | None:
    """The step that follows in the function."""
    place = code.function(clear)
    after = [
        s for s in steps(code) if code.function(s.call) is place and code.span(s.call) > code.span(clear)
    ]
    own = [s for s in after if code.segment(clear).startswith(f"{s.optimizer}.")]
    return next(iter(own or after), None)


def _first_backward(code: Code, clear: ast.stmt) -> ast.stmt | None:
    """The first backward pass before the clearing in its block, since the step before."""
    found = None
    stepping = {id(step.statement) for step in steps(code)}
    for statement in previous(code, clear):
        if id(statement) in stepping:
            break
        if calls_within(statement, *BACKWARD):
            found = statement
    return found


def _accumulates(code: Code, clear: ast.stmt, step: Step) -> bool:
    """Whether every batch is cleared, but the step is taken now and then."""
    condition = code.parent(step.statement)
    return isinstance(condition, ast.If) and condition in following(code, clear)


REMEDY = Remedy(
    says="clear the gradients before backward, not between it and the step",
    treats={"gradients-cleared-before-step": 1},
    costs="nothing",
    not_when="gradients are put back by hand between clearing and the step",
    patch=_patch,
)
