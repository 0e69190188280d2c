"""End the training where held-out data is predicted best (Prechelt 1998)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fitwell.evidence import View
from fitwell.patch import Code, Edit
from fitwell.patching.loops import epochs
from fitwell.patching.values import scaled_count, value
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy


def _plan(plan: Plan, about: About) -> Plan | None:
    stopped = plan.change(patience=about.dose["patience"], monitor="loss")
    return stopped if stopped != plan else None


def _best(view: View) -> float | None:
    """The share of the training after which the validation loss was lowest."""
    losses = view.series("loss/val")
    if losses is None or not losses.finite or not losses.steps[-1]:
        return None
    at = min(
        range(len(losses)), key=lambda i: losses.values[i] if math.isfinite(losses.values[i]) else math.inf
    )
    return losses.steps[at] / losses.steps[-1]


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """As many epochs as were best, a few more for other seeds."""
    end, best = epochs(code), _best(about.view)
    length = value(code, end)
    if end is None or best is None or length is None:
        return ()
    keep = (math.ceil(best * length) + about.dose["patience"]) / length
    edit = scaled_count(code, end, keep) if keep < 1 else None
    return () if edit is None else (edit,)


REMEDY = Remedy(
    says="stop when the loss on held-out data has not fallen for {patience} epochs",
    treats={"overfitting": 1, "label-noise": 2, "too-little-data": 2},
    costs="nothing, if held-out data is there",
    not_when="the loss on held-out data still falls",
    doses=({"patience": 2},),
    plan=_plan,
    patch=_patch,
)
