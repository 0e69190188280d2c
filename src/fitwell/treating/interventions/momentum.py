"""Another momentum: of SGD and RMSprop, or the first beta of Adam and its kin; none is given to who has none."""

from __future__ import annotations

from fitwell.treating.changing.groups import Group, during_steps
from fitwell.treating.changing.live import Intervention, Live


def _apply(live: Live, value: float) -> None:
    def change(group: Group) -> Group:
        if "betas" in group:
            return {"betas": (value, *group["betas"][1:])}
        return {"momentum": value} if "momentum" in group else {}

    during_steps(live, change)


INTERVENTION = Intervention(
    says="a momentum of {value:g}", apply=_apply, examples=({"value": 0.9}, {"value": 0.0})
)
