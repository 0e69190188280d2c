"""A weight decay of a given strength, of each group that has the setting and holds a matrix.

Biases and the scales of normalizations are left alone where they have a group of their own, as it is usual.
"""

from __future__ import annotations

from fitwell.treating.changing.groups import Group, during_steps
from fitwell.treating.changing.live import Intervention, Live


def _apply(live: Live, value: float) -> None:
    def change(group: Group) -> Group:
        matrices = any(parameter.dim() > 1 for parameter in group["params"])
        return {"weight_decay": value} if matrices and "weight_decay" in group else {}

    during_steps(live, change)


INTERVENTION = Intervention(
    says="a weight decay of {value:g}", apply=_apply, examples=({"value": 0.01}, {"value": 0.0})
)
