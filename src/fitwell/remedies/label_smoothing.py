"""Ask for answers that are less than sure (Szegedy et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.patch import Code, Edit, argument
from fitwell.patching.losses import training_loss, training_place
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy

FUNCTION = "cross_entropy"


def _plan(plan: Plan, about: About) -> Plan | None:
    share = about.dose["share"]
    fits = plan.loss.function == "cross-entropy" and plan.loss.label_smoothing < share
    return plan.change(label_smoothing=share) if fits else None


def _live(about: About) -> Sequence[Change]:
    place = training_place(about.view) or {}
    return (Change("label_smoothing", about.dose),) if place.get("function") == FUNCTION else ()


def _patch(code: Code, about: About) -> Sequence[Edit]:
    call = training_loss(code, about) if _live(about) else None
    if call is None or argument(call, "label_smoothing") is not None:
        return ()
    return (code.set_argument(call, "label_smoothing", f"{about.dose['share']:g}"),)


REMEDY = Remedy(
    says="spread a share of {share:g} of each target over all classes",
    treats={"label-noise": 1, "overfitting": 6},
    costs="probabilities that are less extreme, and a training loss that does not reach 0",
    not_when="probabilities near 0 and 1 are wanted",
    doses=({"share": 0.1}, {"share": 0.3}),
    plan=_plan,
    live=_live,
    patch=_patch,
)
