"""Train for more epochs."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.patch import Code, Edit, argument, called, number
from fitwell.patching.loops import epochs
from fitwell.patching.values import once, scaled_count, value
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy

# What schedules call the length of the training.
LENGTHS = {"CosineAnnealingLR": "T_max", "OneCycleLR": "epochs", "LinearLR": "total_iters"}


def _plan(plan: Plan, about: About) -> Plan | None:
    now = plan.stopping.epochs
    return None if now == "auto" else plan.change(epochs=round(now * about.dose["factor"]))


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """The epochs, and what a schedule is told of them."""
    end = epochs(code)
    if end is None:
        return ()
    factor, length = about.dose["factor"], value(code, end)
    edits = [scaled_count(code, end, factor)]
    for call in code.calls(*LENGTHS) if edits[0] is not None else ():
        planned = argument(call, LENGTHS[called(call)])
        if planned is not None and number(planned) == length:
            edits.append(scaled_count(code, planned, factor))
    return once([edit for edit in edits if edit is not None])


REMEDY = Remedy(
    says="train {factor:g} times as long",
    treats={"slow-convergence": 2, "underfitting": 2, "learning-rate-too-low": 3, "class-imbalance": 2},
    costs="time, in proportion",
    not_when="the loss on held-out data rises",
    doses=({"factor": 3}, {"factor": 10}),
    plan=_plan,
    patch=_patch,
)
