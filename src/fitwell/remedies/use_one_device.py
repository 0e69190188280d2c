"""Bring what meets on one device."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.patch import Code, Edit, argument, called
from fitwell.patching.assignments import Named, assignments
from fitwell.patching.modes import models
from fitwell.patching.names import variables
from fitwell.patching.optimizers import optimizers
from fitwell.remedy import About, Remedy

FACTORIES = (
    "zeros",
    "ones",
    "rand",
    "randn",
    "full",
    "empty",
    "arange",
    "tensor",
    "eye",
    "randint",
    "linspace",
)
MOVES = ("cuda", "cpu")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    statement = code.statement(about.line) if about.line else None
    if statement is None:
        return ()
    return _left(code, statement) or _made_elsewhere(code, statement) or _moved_to_model(code, statement)


def _left(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """Where it was, what the line moves to a device that is written there."""
    edits = []
    for call in ast.walk(statement):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        given = argument(call, "device", 0)
        named = isinstance(given, ast.Constant) and isinstance(given.value, str)
        if (call.func.attr == "to" and named and len(call.args) + len(call.keywords) == 1) or (
            call.func.attr in MOVES and not call.args
        ):
            end = code.span(call.func)[1] - len(call.func.attr)
            dot = code.text.rindex(".", code.span(call.func.value)[1], end)
            edits.append(Edit(dot, code.span(call)[1], ""))
    return edits


def _made_elsewhere(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """Without the device that is written where a tensor of the line is made."""
    used = variables(statement)
    for each, target, value in assignments(code):
        near = code.function(each) is code.function(statement) and each.lineno <= statement.lineno
        made_here = isinstance(target, ast.Name) and target.id in used
        if not near or not made_here or not isinstance(value, ast.Call) or called(value) not in FACTORIES:
            continue
        keyword = next((k for k in value.keywords if k.arg == "device"), None)
        if keyword is not None and isinstance(keyword.value, ast.Constant):
            start, end = code.span(keyword)
            comma = code.text.rfind(",", 0, start)
            return (Edit(comma if comma > code.span(value.func)[1] else start, end, ""),)
    return ()


def _moved_to_model(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """The inputs of a model, to where its parameters are."""
    found = models(code, statement)
    calls = [
        call for call in ast.walk(statement)
        if isinstance(call, ast.Call) and isinstance(call.func, Named) and code.segment(call.func) in found
    ]  # fmt: skip
    if len(calls) != 1 or code.segment(calls[0].func) in optimizers(code):
        return ()
    device = f"next({code.segment(calls[0].func)}.parameters()).device"
    return [
        Edit(code.span(each)[1], code.span(each)[1], f".to({device})")
        for each in calls[0].args if isinstance(each, ast.Name)
    ]  # fmt: skip


REMEDY = Remedy(
    says="keep the tensors that meet on the device of the model",
    treats={"device-mismatch": 1},
    costs="copying the batch, if it was made elsewhere",
    not_when="parts of the model are on several devices on purpose",
    patch=_patch,
)
