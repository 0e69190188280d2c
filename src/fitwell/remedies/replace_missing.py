"""Put zeros for what is missing in the input."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.patch import Code, Edit, called
from fitwell.patching.assignments import assigned
from fitwell.patching.layers import affine, items
from fitwell.patching.names import name_of
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """In each call of the model, unless an operation is known that made the first such number."""
    known = about.view.fact("signals", "non_finite", "first", about.view.thread) or {}
    if about.finding == "loss-not-finite" and known.get("operation"):
        return ()
    function = name_of(code, "torch.nan_to_num")
    names = _models(code, about)
    if function is None:
        return ()
    calls = [
        call
        for call in code.calls()
        if called(call) in names and len(call.args) >= 1 and _is_outside(code, call)
    ]
    inputs = [call.args[0] for call in calls if not isinstance(call.args[0], ast.Starred)]
    return [code.replace(each, f"{function}({code.segment(each)}, 0.0, 0.0, 0.0)") for each in inputs]


def _models(code: Code, about: About) -> set[str]:
    """What the models are called, at run time or in the text."""
    known = {str(each["name"]).rpartition(".")[2] for each in about.view.facts.get("models") or []}
    classes = {
        node.name for node in ast.walk(code.tree)
        if isinstance(node, ast.ClassDef) and any(getattr(each, "name", "") == "forward" for each in node.body)
    }  # fmt: skip
    made = {
        name for name in known
        for _, value in assigned(code, name)
        if isinstance(value, ast.Call) and (called(value) in classes or items(value) or affine(value))
    }  # fmt: skip
    return made or known


def _is_outside(code: Code, call: ast.Call) -> bool:
    """Whether it is called by the program, not within a model."""
    return not any(
        isinstance(outer, ast.FunctionDef) and outer.name == "forward" for outer in code.around(call)
    )


REMEDY = Remedy(
    says="put zeros for what is NaN or infinite in the input",
    treats={"input-not-finite": 2, "loss-not-finite": 4},
    costs="what is missing looks like a value: of normalized data the mean",
    not_when="many values are missing: then tell the model which, or leave those samples out",
    patch=_patch,
)
