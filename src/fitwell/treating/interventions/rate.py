"""Another learning rate, whatever sets it: a scheduler, the program, or nobody."""

from __future__ import annotations

from fitwell.treating.changing.groups import during_steps
from fitwell.treating.changing.live import Intervention, Live


def _apply(live: Live, factor: float) -> None:
    during_steps(live, lambda group: {"lr": group["lr"] * factor})


INTERVENTION = Intervention(
    says="the learning rate times {factor:g}", apply=_apply, examples=({"factor": 0.1}, {"factor": 10.0})
)
