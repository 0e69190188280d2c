"""Take more samples for each step."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.patch import Code, Edit
from fitwell.patching.loaders import batch_size
from fitwell.patching.values import scaled_count
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy


def _plan(plan: Plan, about: About) -> Plan | None:
    size = plan.batch_size
    return None if size == "auto" else plan.change(batch_size=size * about.dose["factor"])


def _live(about: About) -> Sequence[Change]:
    return (Change("batch_size", about.dose),)


def _patch(code: Code, about: About) -> Sequence[Edit]:
    size = batch_size(code, about)
    edit = scaled_count(code, size, about.dose["factor"]) if size is not None else None
    return () if edit is None else (edit,)


REMEDY = Remedy(
    says="make the batches {factor:g} times larger",
    treats={"batch-size-too-small": 1, "normalization-on-tiny-batch": 1, "loss-oscillates": 2},
    costs="fewer steps in an epoch, and more memory",
    not_when="the batch already has hundreds of samples",
    doses=({"factor": 16}, {"factor": 4}),
    plan=_plan,
    live=_live,
    patch=_patch,
)
