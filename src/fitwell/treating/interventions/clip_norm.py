"""Clip gradients at a norm that is given."""

from __future__ import annotations

from fitwell.treating.changing.gradients import clip_steps
from fitwell.treating.changing.live import Intervention, Live


def _apply(live: Live, norm: float) -> None:
    clip_steps(live, lambda _optimizer, _norm: norm)


INTERVENTION = Intervention(
    says="gradients are clipped at a norm of {norm:g}", apply=_apply, examples=({"norm": 1.0}, {"norm": 1e-3})
)
