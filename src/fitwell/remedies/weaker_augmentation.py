"""Change the training samples less."""

from __future__ import annotations

from fitwell.plan import Plan
from fitwell.remedy import About, Remedy


def _plan(plan: Plan, _: About) -> Plan | None:
    """Without the strongest view, which stands last, or without mixing."""
    views = plan.regularization.augment
    fewer = views if views == "auto" else views[:-1]
    weaker = plan.change(augment=fewer, mixup=0.0)
    return weaker if weaker != plan else None


REMEDY = Remedy(
    says="augment less: without mixing, and with one kind of view less",
    treats={"augmentation-too-strong": 1, "underfitting": 5},
    costs="the model may learn more by heart",
    not_when="the model does much better on its training data than on others",
    plan=_plan,
)
