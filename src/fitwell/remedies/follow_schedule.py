"""Step the scheduler after the optimizer, and as often as it was planned for: once an epoch or once a batch."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from fitwell.patch import Code, Edit, argument, called
from fitwell.patching.optimizers import Step, steps
from fitwell.patching.schedules import scheduler_calls, schedulers
from fitwell.patching.statements import block, calls_within, following, moved, nearest
from fitwell.remedy import About, Remedy

PER_BATCH = re.compile(r"len\(|step|iter|batch|\*")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    call = nearest(code, scheduler_calls(code), about.line)
    statement = code.statement(call) if call is not None else None
    if call is None or statement is None or not isinstance(statement, ast.Expr):
        return ()
    return _after_step(code, statement) or (
        _each_batch(code, call, statement)
        if _planned_for_batches(code, call)
        else _each_epoch(code, statement)
    )


def _planned_for_batches(code: Code, call: ast.Call) -> bool:
    """Whether the plan says how many batches it is for; a scheduler that is made elsewhere counts as one of epochs."""
    assert isinstance(call.func, ast.Attribute)  # noqa: S101 - for the types
    last = code.segment(call.func.value).rpartition(".")[2]
    plan = next((value for text, value in schedulers(code).items() if text.rpartition(".")[2] == last), None)
    if plan is None:
        return False
    lengths = [
        argument(plan, "total_steps", 2),
        argument(plan, "T_max", 1),
        argument(plan, "num_training_steps", 2),
    ]
    given = [code.segment(each) for each in lengths if each is not None]
    if called(plan) == "OneCycleLR" and argument(plan, "steps_per_epoch") is not None:
        return True
    return called(plan) == "CyclicLR" or (
        called(plan) in ("OneCycleLR", "CosineAnnealingLR")
        and bool(given)
        and bool(PER_BATCH.search(given[0]))
    )


def _after_step(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """Behind the step of the optimizer that follows it."""
    after = following(code, statement)
    if any(
        step.statement in block(code, statement) and step.call.lineno < statement.lineno
        for step in steps(code)
    ):
        return ()
    own = [step.statement for step in steps(code) if step.statement in after]
    loops = [each for each in after if isinstance(each, ast.For | ast.While) and _steps_in(code, each)]
    if not own and not loops:
        return ()
    place = (own or loops)[-1]
    updates = [each for each in following(code, place) if calls_within(each, "update")]
    return moved(code, statement, code.after, (updates or [place])[0] if own else place)


def _steps_in(code: Code, node: ast.AST) -> list[Step]:
    return [step for step in steps(code) if step.statement in ast.walk(node)]


def _each_epoch(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """Behind the loop over batches, where there is one over epochs, or a function that one calls."""
    loops = [loop for loop in code.loops(statement) if code.function(loop) is code.function(statement)]
    inner = (
        code.function(statement) is not code.tree and len(loops) == 1 and _is_called_in_loop(code, statement)
    )
    if not loops or not _steps_in(code, loops[0]) or not (len(loops) > 1 or inner):
        return ()
    return moved(code, statement, code.after, loops[0])


def _is_called_in_loop(code: Code, statement: ast.stmt) -> bool:
    """Whether the function of a statement is called once in every turn of a loop, or goes over a loader."""
    name = getattr(code.function(statement), "name", None)
    return any(code.loops(call) for call in code.calls() if called(call) == name)


def _each_batch(code: Code, call: ast.Call, statement: ast.stmt) -> Sequence[Edit]:
    """Behind the step of the optimizer, in the loop over batches beside it."""
    among = block(code, statement)
    loops = [each for each in among if isinstance(each, ast.For | ast.While) and each.lineno < call.lineno]
    found = _steps_in(code, loops[-1]) if loops else []
    return moved(code, statement, code.after, found[-1].statement) if len(found) == 1 else ()


REMEDY = Remedy(
    says="step the scheduler after the optimizer, and as often as it was planned for",
    treats={"scheduler-misused": 1},
    costs="nothing",
    not_when="the rate is meant to end early",
    patch=_patch,
)
