"""More or less weight decay, where there is some."""

from __future__ import annotations

from fitwell.treating.changing.groups import Group, during_steps
from fitwell.treating.changing.live import Intervention, Live


def _apply(live: Live, factor: float) -> None:
    def change(group: Group) -> Group:
        return {"weight_decay": group["weight_decay"] * factor} if "weight_decay" in group else {}

    during_steps(live, change)


INTERVENTION = Intervention(
    says="the weight decay times {factor:g}", apply=_apply, examples=({"factor": 0.0}, {"factor": 10.0})
)
