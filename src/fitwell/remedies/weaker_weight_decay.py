"""Pull less at the weights."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.patch import Code, Edit, argument, called
from fitwell.patching.optimizers import constructions
from fitwell.patching.values import scaled, value, written
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy

SQUARES = ("pow", "norm", "square")


def _plan(plan: Plan, about: About) -> Plan | None:
    decay = plan.optimizer.weight_decay
    return None if decay in ("auto", 0) else plan.change(weight_decay=decay * about.dose["factor"])


def _live(about: About) -> Sequence[Change]:
    group = (about.view.known("learning_rate") or {}).get("first_group") or {}
    return (Change("weight_decay", about.dose),) if group.get("weight_decay") else ()


def _patch(code: Code, about: About) -> Sequence[Edit]:
    factor = about.dose["factor"]
    for call in constructions(code, about):
        decay = argument(call, "weight_decay")
        if decay is not None and value(code, decay) != 0:
            return (scaled(code, decay, factor),)
    penalties = _penalties(code)
    return (scaled(code, penalties[0], factor),) if len(penalties) == 1 else ()


def _penalties(code: Code) -> list[ast.expr]:
    """The factors of sums of squared parameters, as a program adds them to its loss."""
    found = []
    for node in ast.walk(code.tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            for factor, term in ((node.left, node.right), (node.right, node.left)):
                if _squares_parameters(term) and value(code, factor) and written(code, factor) is not None:
                    found.append(factor)
    return found


def _squares_parameters(node: ast.expr) -> bool:
    calls = {called(each) for each in ast.walk(node) if isinstance(each, ast.Call)}
    powers = any(isinstance(each, ast.BinOp) and isinstance(each.op, ast.Pow) for each in ast.walk(node))
    return bool(calls & {"parameters", "named_parameters"}) and (powers or bool(calls.intersection(SQUARES)))


REMEDY = Remedy(
    says="multiply the weight decay by {factor:g}",
    treats={"weight-decay-too-strong": 1, "underfitting": 4},
    costs="the model may learn more by heart",
    not_when="the model does much better on its training data than on others",
    doses=({"factor": 0.0}, {"factor": 0.1}),
    plan=_plan,
    live=_live,
    patch=_patch,
)
