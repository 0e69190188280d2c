"""Make new tensors instead of changing those that backward needs."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.patch import Code, Edit, called
from fitwell.patching.assignments import assignments
from fitwell.patching.gradients import backwards
from fitwell.patching.names import variables
from fitwell.patching.optimizers import steps
from fitwell.patching.statements import block, calls_within, moved
from fitwell.remedy import About, Remedy

OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.MatMult: "@", ast.FloorDiv: "//",
    ast.Mod: "%",
}  # fmt: skip
KEPT = ("requires_grad_", "zero_", "backward_", "detach_")  # what ends in _ and has another purpose


def _patch(code: Code, about: About) -> Sequence[Edit]:
    statement = code.statement(about.line) if about.line else None
    if statement is None:
        return ()
    return (
        _assigned(code, statement)
        or _methods(code, statement)
        or _switched(code, statement)
        or _stepped_later(code, statement)
        or _computed_later(code, statement)
        or [edit for node in ast.walk(code.tree) for edit in _inplace(code, node)]
    )


def _assigned(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """``x = x + y`` for ``x += y``, and of ``x[i] = y`` a copy first."""
    if isinstance(statement, ast.AugAssign) and type(statement.op) in OPERATORS:
        target = statement.target
        if isinstance(target, ast.Subscript):
            return _copied(code, statement, target)
        text, value = code.segment(target), code.segment(statement.value)
        simple = isinstance(
            statement.value, ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Constant
        )
        start, end = code.span(statement)[0], code.span(statement.value)[0]
        new = f"{text} = {text} {OPERATORS[type(statement.op)]} "
        if simple or code.text[end - 1] == "(":
            head = code.text[start:end]
            return (Edit(start, end, new + head[len(head.rstrip("(")) :] if head.endswith("(") else new),)
        return Edit(start, end, f"{new}("), Edit(end + len(value), end + len(value), ")")
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Subscript):
        return _copied(code, statement, statement.targets[0])
    return ()


def _copied(code: Code, statement: ast.stmt, target: ast.Subscript) -> Sequence[Edit]:
    kept = target.value
    if not isinstance(kept, ast.Name | ast.Attribute):
        return ()
    text = code.segment(kept)
    return (code.before(statement, f"{text} = {text}.clone()"),)


def _methods(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """``relu`` for ``relu_``; as a statement of its own it sets the variable."""
    edits = []
    for call in (each for each in ast.walk(statement) if isinstance(each, ast.Call)):
        name = called(call)
        if (
            not name.endswith("_")
            or name.endswith("__")
            or name in KEPT
            or not isinstance(call.func, ast.Attribute)
        ):
            continue
        end = code.span(call.func)[1]
        edits.append(Edit(end - 1, end, ""))
        if isinstance(statement, ast.Expr) and statement.value is call:
            functional = code.segment(call.func.value) in (
                "F",
                "torch",
                "nn.functional",
                "torch.nn.functional",
            )
            changed = call.args[0] if functional and call.args else call.func.value
            start = code.span(call)[0]
            edits.append(Edit(start, start, f"{code.segment(changed)} = "))
    return edits


def _switched(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    return [edit for node in ast.walk(statement) for edit in _inplace(code, node)]


def _inplace(code: Code, node: ast.AST) -> Sequence[Edit]:
    """``inplace=False`` for ``inplace=True``."""
    given = node.keywords if isinstance(node, ast.Call) else []
    found = [each.value for each in given if each.arg == "inplace"]
    return [
        code.replace(each, "False") for each in found if isinstance(each, ast.Constant) and each.value is True
    ]


def _stepped_later(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """The step behind the last backward pass of a loss, where that is propagated back twice."""
    among = block(code, statement)
    again = {code.segment(call.func) for call in calls_within(statement, "backward")}
    before = among[: among.index(statement)]
    earlier = [
        each for each in before if again & {code.segment(c.func) for c in calls_within(each, "backward")}
    ]
    if not again or not earlier:
        return ()
    since = before[before.index(earlier[-1]) :]
    between = [step.statement for step in steps(code) if step.statement in since]
    if len(between) != 1:
        return ()
    return moved(code, between[0], code.after, statement)


def _computed_later(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """Behind the step what a model computed before it, if that is propagated back only after it."""
    if not calls_within(statement, "backward"):
        return ()
    among = block(code, statement)
    at = among.index(statement)
    stepped = [step.statement for step in steps(code) if step.statement in among[:at]]
    if not stepped:
        return ()
    place = among.index(stepped[-1])
    losses = {root for call in backwards(code) if call in ast.walk(statement) for root in variables(call)}
    used = set[str]()
    for each in among[place + 1 : at]:
        if {name for s, t, _ in assignments(code) if s is each for name in variables(t)} & losses:
            used |= variables(each)
    for each in reversed(among[:place]):
        given = {
            name
            for s, t, value in assignments(code)
            if s is each and isinstance(value, ast.Call)
            for name in variables(t)
        }
        between = {name for other in among[among.index(each) + 1 : place + 1] for name in variables(other)}
        if given & used and not given & between:
            return moved(code, each, code.after, stepped[-1])
    return ()


REMEDY = Remedy(
    says="make a new tensor instead of changing one that backward needs, and step after backward",
    treats={"inplace-modification": 1},
    costs="memory for the new tensor",
    not_when="the change is within torch.no_grad() and is meant to be",
    patch=_patch,
)
