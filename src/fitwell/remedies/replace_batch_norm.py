"""Normalize each sample by itself (Wu and He 2018)."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.patch import Code, Edit, argument
from fitwell.patching.expressions import beside
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy


def _plan(plan: Plan, _: About) -> Plan | None:
    return plan.change(norm="layer") if plan.model.norm == "batch" else None


def _patch(code: Code, _: About) -> Sequence[Edit]:
    """GroupNorm of one group takes rows, sequences and images alike."""
    edits = []
    for call in code.calls("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"):
        width = argument(call, "num_features", 0)
        norm = beside(code, call, "GroupNorm")
        if width is not None and norm is not None:
            edits.append(code.replace(call, f"{norm}(1, {code.segment(width)})"))
    return edits if "GroupNorm" not in code.text else ()


REMEDY = Remedy(
    says="normalize each sample by itself, with GroupNorm, instead of over the batch",
    treats={"normalization-on-tiny-batch": 2},
    costs="statistics are computed in evaluation, too",
    not_when="batches are large: batch norm then often does better",
    plan=_plan,
    patch=_patch,
)
