"""A learning rate that falls to nothing by the end (Loshchilov and Hutter 2016, arXiv:1608.03983, without restarts)."""

from __future__ import annotations

import math

from fitwell.treating.changing.groups import multiply_rate
from fitwell.treating.changing.live import Intervention, Live


def _apply(live: Live, steps: int, shape: str = "cosine") -> None:
    def factor(done: int) -> float:
        share = min(1.0, done / max(1, steps))
        return 0.5 * (1 + math.cos(math.pi * share)) if shape == "cosine" else 1.0 - share

    if shape not in ("cosine", "linear"):
        raise ValueError(f"a rate decays along a cosine or linearly, not {shape!r}")
    multiply_rate(live, factor)


INTERVENTION = Intervention(
    says="a learning rate that falls to 0 over {steps} steps",
    apply=_apply,
    examples=({"steps": 30}, {"steps": 30, "shape": "linear"}),
)
