"""Let the learning rate fall to zero by the end (Loshchilov and Hutter 2017)."""

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


def _plan(plan: Plan, _: About) -> Plan | None:
    return None if plan.schedule.shape in ("one-cycle", "cosine") else plan.change(shape="cosine")


def _live(about: About) -> Sequence[Change]:
    steps = _steps(about.view)
    scheduled_already = (about.view.known("schedulers") or []) != []
    return () if not steps or scheduled_already else (Change("decay", {"steps": steps, **about.dose}),)


def _patch(code: Code, about: About) -> Sequence[Edit]:
    steps = _steps(about.view)
    return (
        scheduled(code, about, f"{{module}}.CosineAnnealingLR({{optimizer}}, T_max={steps})") if steps else ()
    )


REMEDY = Remedy(
    says="let the learning rate fall to zero by the end of the training",
    treats={"loss-oscillates": 3, "batch-size-too-small": 3, "learning-rate-too-high": 4},
    costs="the length of the training must be known at its start",
    not_when="the training is to go on afterwards",
    doses=({"shape": "cosine"},),
    plan=_plan,
    live=_live,
    patch=_patch,
)
