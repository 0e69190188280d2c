"""Let the learning rate rise over the first steps (Goyal et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.evidence import View
from fitwell.experiment import Change
from fitwell.measures.curves import STEPS
from fitwell.patch import Code, Edit
from fitwell.patching.schedules import scheduled
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy


def _steps(view: View) -> int:
    """That the thread took in all; 0 if it is not known."""
    taken = view.value(STEPS)
    return int(taken) if isinstance(taken, int | float) else 0


def _plan(plan: Plan, about: About) -> Plan | None:
    share, now = about.dose["share"], plan.schedule.warmup
    return plan.change(warmup=share) if now != "auto" and now < share else None


def _live(about: About) -> Sequence[Change]:
    steps = _steps(about.view)
    return (Change("warmup", {"share": about.dose["share"], "steps": steps}),) if steps else ()


def _patch(code: Code, about: About) -> Sequence[Edit]:
    rising = round(_steps(about.view) * about.dose["share"])
    if rising < 2:
        return ()
    schedule = f"{{module}}.LinearLR({{optimizer}}, start_factor=0.01, total_iters={rising})"
    return scheduled(code, about, schedule)


REMEDY = Remedy(
    says="let the learning rate rise over the first steps, a share of {share:g} of the training",
    treats={"learning-rate-too-high": 2, "dead-units": 5, "exploding-gradients": 5},
    costs="a slower start",
    not_when="the loss jumps in the middle of the training, too",
    doses=({"share": 0.1}, {"share": 0.3}),
    plan=_plan,
    live=_live,
    patch=_patch,
)
