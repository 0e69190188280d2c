"""Draw random numbers in training only."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from fitwell.patch import Code, Edit, argument, called
from fitwell.remedy import About, Remedy

FUNCTIONS = re.compile(r"^((feature_)?alpha_dropout|dropout[123]?d?)$")
MODULES = re.compile(r"^(Alpha|FeatureAlpha)?Dropout[123]?d?$")
DRAWS = ("randn_like", "rand_like", "randn", "rand", "normal", "bernoulli")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    statement = code.statement(about.line) if about.line else None
    if statement is None or not _in_module(code, statement):
        return ()
    edits = [edit for call in code.calls(line=about.line) for edit in _dropped(code, call)]
    return edits or _noise(code, statement)


def _in_module(code: Code, statement: ast.stmt) -> bool:
    """Whether it is in a method of a module, which knows its mode."""
    function = code.function(statement)
    arguments = getattr(function, "args", None)
    if not isinstance(arguments, ast.arguments) or not arguments.args or arguments.args[0].arg != "self":
        return False
    owner = code.parent(function)
    return isinstance(owner, ast.ClassDef) and any(
        getattr(each, "name", "") == "forward" for each in owner.body
    )


def _dropped(code: Code, call: ast.Call) -> Sequence[Edit]:
    if FUNCTIONS.match(called(call)) and isinstance(call.func, ast.Attribute) and call.args:
        return (code.set_argument(call, "training", "self.training", 2),)
    if called(call) == "scaled_dot_product_attention":
        given = argument(call, "dropout_p", 4)
        if given is not None and not isinstance(given, ast.IfExp):
            return (code.replace(given, f"{code.segment(given)} if self.training else 0.0"),)
    made = call.func
    if isinstance(made, ast.Call) and MODULES.match(called(made)) and isinstance(made.func, ast.Attribute):
        root = code.segment(made.func.value)
        if root in ("nn", "torch.nn") and called(made) == "Dropout" and len(call.args) == 1:
            share = argument(made, "p", 0)
            text = f", {code.segment(share)}" if share is not None else ""
            given_to = code.segment(call.args[0])
            return (
                code.replace(call, f"{root}.functional.dropout({given_to}{text}, training=self.training)"),
            )
    return ()


def _noise(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """Noise that is added to something under a condition."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return ()
    target, value = statement.targets[0], statement.value
    same = isinstance(target, ast.Name) and any(
        isinstance(n, ast.Name) and n.id == target.id for n in ast.walk(value)
    )
    draws = any(isinstance(node, ast.Call) and called(node) in DRAWS for node in ast.walk(value))
    adds = isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add | ast.Sub | ast.Mult)
    if not (same and draws and adds):
        return ()
    start, end = code.span(value)
    return (
        Edit(start, start, "("),
        Edit(end, end, f") if self.training else {code.segment(target)}"),
    )


REMEDY = Remedy(
    says="draw random numbers in training only: training=self.training",
    treats={"evaluation-not-deterministic": 1},
    costs="nothing",
    not_when="several random answers are meant to be averaged",
    patch=_patch,
)
