"""Pull the weights to zero where the data does not need them."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.patch import Code, Edit, argument, called
from fitwell.patching.optimizers import constructions
from fitwell.patching.values import scaled, value
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy

LEAST = 1e-4  # of which multiples are taken where there is none
DECOUPLED = {"AdamW": 1e-2}  # the decay of optimizers that are given none
STRONGEST = 10.0


def _plan(plan: Plan, about: About) -> Plan | None:
    decay = plan.optimizer.weight_decay
    if decay == "auto":
        return None
    stronger = (decay or LEAST) * about.dose["factor"]
    return plan.change(weight_decay=stronger) if stronger <= STRONGEST else None


def _live(about: About) -> Sequence[Change]:
    group = (about.view.known("learning_rate") or {}).get("first_group") or {}
    return (Change("decay_weights", {"value": (group.get("weight_decay") or LEAST) * about.dose["factor"]}),)


def _patch(code: Code, about: About) -> Sequence[Edit]:
    factor = about.dose["factor"]
    made = constructions(code, about)
    if len(made) != 1 or called(made[0]) == "LBFGS" or any(each.arg is None for each in made[0].keywords):
        return ()
    decay = argument(made[0], "weight_decay")
    if decay is not None and value(code, decay) != 0:
        return (scaled(code, decay, factor),)
    own = DECOUPLED.get(called(made[0]), LEAST) if decay is None else LEAST
    return (code.set_argument(made[0], "weight_decay", f"{own * factor:g}"),)


REMEDY = Remedy(
    says="multiply the weight decay by {factor:g}, or begin with some",
    treats={"overfitting": 4, "too-little-data": 5, "label-noise": 3},
    costs="the model fits its training data less well",
    not_when="the training loss is high already",
    doses=({"factor": 10.0}, {"factor": 100.0}),
    plan=_plan,
    live=_live,
    patch=_patch,
)
