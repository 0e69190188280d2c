"""Give the model fewer units to learn by heart with."""

from __future__ import annotations

from dataclasses import replace

from fitwell.plan import Plan
from fitwell.remedies.larger_model import REMEDY as LARGER
from fitwell.remedy import About


def _plan(plan: Plan, about: About) -> Plan | None:
    hidden = plan.model.hidden
    if hidden == "auto":
        return None
    fewer = tuple(max(1, round(width * about.dose["factor"])) for width in hidden)
    return plan.change(hidden=fewer) if fewer != hidden else None


REMEDY = replace(
    LARGER,
    says="make the hidden layers narrower, by a factor of {factor:g}",
    treats={"overfitting": 5, "too-little-data": 3, "label-noise": 4},
    costs="the model fits its training data less well",
    not_when="the training loss is high already",
    doses=({"factor": 0.25}, {"factor": 0.5}),
    plan=_plan,
)
