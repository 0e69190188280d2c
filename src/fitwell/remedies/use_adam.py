"""Let every weight have a rate of its own (Kingma and Ba 2015)."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.patch import Code, Edit, argument
from fitwell.patching.names import name_of
from fitwell.patching.optimizers import constructions
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy


def _plan(plan: Plan, about: About) -> Plan | None:
    return (
        plan.change(algorithm="adamw", lr=about.dose["rate"]) if plan.optimizer.algorithm == "sgd" else None
    )


def _live(about: About) -> Sequence[Change]:
    seen = (about.view.known("learning_rate") or {}).get("optimizer")
    return (Change("optimizer", {"name": "Adam", "lr": about.dose["rate"]}),) if seen == "SGD" else ()


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """In the place of SGD; groups with rates of their own, and schedules that turn its momentum, are left alone."""
    made = [call for call in constructions(code, about) if code.segment(call.func).endswith("SGD")]
    home = name_of(code, "torch.optim")
    if len(made) != 1 or home is None or code.calls("OneCycleLR", "CyclicLR"):
        return ()
    call = made[0]
    parameters, decay = argument(call, "params", 0), argument(call, "weight_decay", 4)
    unclear = any(each.arg is None for each in call.keywords) or any(
        isinstance(a, ast.Starred) for a in call.args
    )
    if parameters is None or unclear or isinstance(parameters, ast.List):
        return ()
    given = [code.segment(parameters), f"lr={about.dose['rate']:g}"]
    given += [] if decay is None else [f"weight_decay={code.segment(decay)}"]
    return (code.replace(call, f"{home}.Adam({', '.join(given)})"),)


REMEDY = Remedy(
    says="use Adam with a learning rate of {rate:g} instead of SGD",
    treats={"learning-rate-too-low": 2, "slow-convergence": 3, "loss-plateau": 4},
    costs="two more numbers for each weight",
    not_when="SGD with a tuned schedule reaches a better score on held-out data",
    doses=({"rate": 1e-3}, {"rate": 1e-2}),
    plan=_plan,
    live=_live,
    patch=_patch,
)
