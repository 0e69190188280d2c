"""Give the model more units."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.measures.widths import hidden_widths
from fitwell.patch import Code, Edit
from fitwell.patching.widths import scaled_widths
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy

WIDEST = 1024  # units of a layer of a plan: more are seldom worth their time


def _plan(plan: Plan, about: About) -> Plan | None:
    hidden = plan.model.hidden
    if hidden == "auto" or not hidden:
        return None
    wider = tuple(width * about.dose["factor"] for width in hidden)
    return plan.change(hidden=wider) if max(wider) <= WIDEST else None


def _live(about: About) -> Sequence[Change]:
    widths = hidden_widths(about.view)
    return (Change("wider", {**about.dose, "widths": widths}),) if widths else ()


def _patch(code: Code, about: About) -> Sequence[Edit]:
    return scaled_widths(code, about.dose["factor"])


REMEDY = Remedy(
    says="make the hidden layers {factor:g} times as wide",
    treats={"model-too-small": 1, "underfitting": 1, "loss-plateau": 3},
    costs="time and memory, and the model may learn more by heart",
    not_when="the model does much better on its training data than on others",
    doses=({"factor": 4}, {"factor": 16}, {"factor": 2}),
    plan=_plan,
    live=_live,
    patch=_patch,
)
