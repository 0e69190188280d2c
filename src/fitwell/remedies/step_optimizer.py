"""Let the optimizer take its steps."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from fitwell.patch import Code, Edit, argument, called, number
from fitwell.patching.assignments import assignments
from fitwell.patching.gradients import BACKWARD, backwards, clears
from fitwell.patching.names import visible
from fitwell.patching.optimizers import is_optimizer, is_optimizers_name, optimizers, steps
from fitwell.patching.statements import calls_within, following, nearest, scope
from fitwell.remedy import About, Remedy

USUAL = {"SGD": 0.01, "ASGD": 0.01, "Adagrad": 0.01, "LBFGS": 1.0}  # learning rates, of others ADAM
ADAM = 0.001
BEFORE_STEP = re.compile(r"^(clip_grad_\w+|unscale_)$")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    return (
        _with_brackets(code)
        or _with_rate(code)
        or _with_closure(code, about.line)
        or _with_step(code, about.line)
    )


def _with_brackets(code: Code) -> Sequence[Edit]:
    """``optimizer.step`` is not called."""
    bare = [
        node.value
        for node in ast.walk(code.tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Attribute) and node.value.attr == "step"
    ]
    return [code.replace(each, f"{code.segment(each)}()") for each in bare if is_optimizer(code, each.value)]


def _with_rate(code: Code) -> Sequence[Edit]:
    """A learning rate of 0."""
    edits = []
    for call in optimizers(code).values():
        rate = _constant(code, argument(call, "lr", 1))
        if rate is not None and number(rate) == 0:
            edits.append(code.replace(rate, f"{USUAL.get(called(call), ADAM):g}"))
    return edits


def _constant(code: Code, node: ast.expr | None) -> ast.expr | None:
    """What is written for a value: of a variable that is set once, there."""
    if isinstance(node, ast.Name):
        set_to = [value for _, target, value in assignments(code) if code.segment(target) == node.id]
        return set_to[0] if len(set_to) == 1 else None
    return node


def _with_closure(code: Code, line: int | None) -> Sequence[Edit]:
    """The closure of L-BFGS is called instead of given to the step."""
    stepped = {step.optimizer for step in steps(code)}
    waiting = [
        text for text, call in optimizers(code).items() if called(call) == "LBFGS" and text not in stepped
    ]
    functions = {getattr(code.function(back), "name", None) for back in backwards(code)}
    calls = [
        call for call in code.calls(line=line)
        if isinstance(call.func, ast.Name) and call.func.id in functions and not call.args
    ]  # fmt: skip
    if len(waiting) != 1 or len(calls) != 1 or not visible(code, waiting[0], calls[0]):
        return ()
    return (code.replace(calls[0], f"{waiting[0]}.step({called(calls[0])})"),)


def _with_step(code: Code, line: int | None) -> Sequence[Edit]:
    """Behind the backward pass."""
    back = nearest(code, backwards(code), line)
    statement = code.statement(back) if back is not None else None
    optimizer = _waiting(code, back, line) if back is not None else None
    if back is None or statement is None or optimizer is None:
        return ()
    after = following(code, statement)
    for each in after:  # another optimizer takes a step in its place
        if calls_within(each, *BACKWARD):
            break
        for step in steps(code):
            if step.statement is each and step.optimizer != optimizer:
                return _exchanged(code, step.call, step.optimizer, optimizer)
    return _inserted(code, statement, optimizer)


def _waiting(code: Code, back: ast.Call, line: int | None) -> str | None:
    """The optimizer that takes no step, by the name that it has where the gradients are made."""
    place = scope(code, line) if line else code.function(back)
    here = [(call, text) for call, text in clears(code) if code.function(call) is place]
    cleared = [text for _, text in here if text in optimizers(code) or is_optimizers_name(text)]
    before = [text for call, text in here if text in cleared and call.lineno <= back.lineno]
    arguments = getattr(place, "args", None)
    given = [each.arg for each in arguments.args] if isinstance(arguments, ast.arguments) else []
    given = [each for each in given if is_optimizers_name(each)]
    stepped = {step.optimizer for step in steps(code)}
    beside = {step.optimizer for step in steps(code) if code.function(step.call) is place}
    near = (before[-1:], cleared[:1], given)
    for names, others in [
        *((each, stepped) for each in (*near, list(optimizers(code)))),
        *((each, beside) for each in near),
    ]:
        idle = [text for text in names if text not in others and visible(code, text, back)]
        if len(idle) == 1:
            return idle[0]
    return None


def _exchanged(code: Code, call: ast.Call, old: str, new: str) -> Sequence[Edit]:
    """If the one that is stepped has a step of its own elsewhere."""
    if len([step for step in steps(code) if step.optimizer == old]) < 2:
        return ()
    start, end = code.span(call)
    return (Edit(start, end, code.text[start:end].replace(old, new, 1)),)


def _inserted(code: Code, statement: ast.stmt, optimizer: str) -> Sequence[Edit]:
    scaler = _scaler(code, statement)
    step = f"{optimizer}.step()" if scaler is None else f"{scaler}.step({optimizer})"
    after = following(code, statement)
    clipped = [
        each
        for each in after
        if any(BEFORE_STEP.match(called(c)) for c in ast.walk(each) if isinstance(c, ast.Call))
    ]
    cleared = [
        code.statement(call)
        for call, text in clears(code)
        if text == optimizer and any(call in ast.walk(each) for each in after)
    ]
    updates = [
        call for call in code.calls("update") if scaler and code.segment(call.func).startswith(f"{scaler}.")
    ]
    if scaler is not None and not updates:
        step += f"\n{scaler}.update()"
    if updates and (updating := code.statement(updates[0])) is not None:
        return (code.before(updating, step),)
    if cleared and cleared[0] is not None:
        return (code.before(cleared[0], step),)
    return (code.after((clipped or [statement])[-1], step),)


def _scaler(code: Code, statement: ast.stmt) -> str | None:
    """The text of the GradScaler that scales the loss."""
    for call in calls_within(statement, "scale"):
        if isinstance(call.func, ast.Attribute):
            return code.segment(call.func.value)
    return None


REMEDY = Remedy(
    says="let the optimizer take a step after backward, with a learning rate above zero",
    treats={"optimizer-never-steps": 1},
    costs="nothing",
    not_when="gradients are only looked at",
    patch=_patch,
)
