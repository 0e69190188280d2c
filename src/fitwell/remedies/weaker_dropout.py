"""Drop fewer values."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.measures.places import lines
from fitwell.patch import Code, Edit, argument, called
from fitwell.patching.statements import is_on
from fitwell.patching.values import once, scaled
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy

MODULES = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout")
FUNCTIONS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout")


def _plan(plan: Plan, about: About) -> Plan | None:
    now = plan.model.dropout
    return None if now in ("auto", 0) else plan.change(dropout=now * about.dose["factor"])


def _live(about: About) -> Sequence[Change]:
    """Where some was seen."""
    ran = (about.view.known("running_statistics") or {}).values()
    drops = any(isinstance(each, dict) and each.get("kind") == "dropout" for each in ran)
    return (Change("dropout_scale", about.dose),) if drops or lines(about.view, "dropouts") else ()


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """In the finding's line, or everywhere."""
    found = code.calls(*MODULES, *FUNCTIONS)
    here = [call for call in found if is_on(call, about.line)]
    given = [(call, _probability(call)) for call in here or found]
    factor = about.dose["factor"]
    edits = [scaled(code, p, factor) for _, p in given if p is not None]
    unsaid = [call for call, p in given if p is None and called(call) in MODULES and not call.keywords]
    return once([*edits, *(code.set_argument(call, "p", f"{0.5 * factor:g}") for call in unsaid)])


def _probability(call: ast.Call) -> ast.expr | None:
    return argument(call, "p", 0 if called(call) in MODULES else 1)


REMEDY = Remedy(
    says="multiply the probabilities of dropout by {factor:g}",
    treats={"dropout-too-strong": 1, "underfitting": 3, "augmentation-too-strong": 2},
    costs="the model may learn more by heart",
    not_when="the model does much better on its training data than on others",
    doses=({"factor": 0.25}, {"factor": 0.0}),
    plan=_plan,
    live=_live,
    patch=_patch,
)
