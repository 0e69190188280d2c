"""Take shorter steps."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.patch import Code, Edit
from fitwell.patching.optimizers import scaled_rates
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy


def _plan(plan: Plan, about: About) -> Plan | None:
    lr = plan.optimizer.lr
    return None if lr == "auto" else plan.change(lr=lr * about.dose["factor"])


def _live(about: About) -> Sequence[Change]:
    return (Change("rate", about.dose),)


def _patch(code: Code, about: About) -> Sequence[Edit]:
    return scaled_rates(code, about, about.dose["factor"])


REMEDY = Remedy(
    says="multiply the learning rate by {factor:g}",
    treats={
        "learning-rate-too-high": 1,
        "loss-oscillates": 1,
        "loss-not-finite": 2,
        "loss-plateau": 2,
        "dead-units": 2,
        "exploding-gradients": 3,
        "badly-scaled-initialization": 3,
        "input-not-normalized": 3,
        "batch-size-too-small": 2,
        "saturated-activations": 4,
    },
    costs="more steps until the same loss",
    not_when="the loss falls smoothly",
    doses=tuple({"factor": factor} for factor in (0.1, 0.01, 0.3, 0.001, 0.03)),
    plan=_plan,
    live=_live,
    patch=_patch,
)
