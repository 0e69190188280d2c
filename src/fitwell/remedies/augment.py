"""Show the model new views of each image."""

from __future__ import annotations

from fitwell.plan import Plan
from fitwell.remedy import About, Remedy

IMAGES = ("cnn",)  # families that learn from images alone


def _plan(plan: Plan, about: About) -> Plan | None:
    now = plan.regularization.augment
    if now == "auto" or plan.model.family not in IMAGES:
        return None
    more = (*now, *(view for view in about.dose["views"] if view not in now))
    return plan.change(augment=more) if more != now else None


REMEDY = Remedy(
    says="augment the training images by {views}",
    treats={"overfitting": 3, "too-little-data": 1},
    costs="more epochs until the same loss",
    not_when="a view changes what the label is about, as a mirror does with letters",
    doses=({"views": ["shift"]}, {"views": ["shift", "rotate"]}, {"views": ["shift", "flip", "color"]}),
    plan=_plan,
)
