"""A learning rate that rises from nothing over the first steps (Goyal et al. 2017, arXiv:1706.02677)."""

from __future__ import annotations

from fitwell.treating.changing.groups import multiply_rate
from fitwell.treating.changing.live import Intervention, Live


def _apply(live: Live, share: float, steps: int) -> None:
    rising = max(1, round(share * steps))
    multiply_rate(live, lambda done: min(1.0, (done + 1) / rising))


INTERVENTION = Intervention(
    says="a learning rate that rises over the first {share:.0%} of {steps} steps",
    apply=_apply,
    examples=({"share": 0.1, "steps": 30}, {"share": 0.0, "steps": 1}),
)
