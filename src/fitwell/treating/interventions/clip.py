"""Clip gradients at a percentile of the norms seen lately, as the deep learning tuning playbook has it (90th)."""

from __future__ import annotations

import math
from collections import deque
from statistics import quantiles
from weakref import WeakKeyDictionary

from torch.optim import Optimizer

from fitwell.treating.changing.gradients import clip_steps
from fitwell.treating.changing.live import Intervention, Live

STEPS = 100  # whose norms are remembered
FEWEST = 5  # norms that tell a percentile; none is clipped before


def _apply(live: Live, percentile: float) -> None:
    seen: WeakKeyDictionary[Optimizer, deque[float]] = WeakKeyDictionary()

    def limit(optimizer: Optimizer, norm: float) -> float:
        norms = seen.setdefault(optimizer, deque(maxlen=STEPS))
        most = percentile_of(norms, percentile) if len(norms) >= FEWEST else math.inf
        norms.append(norm)
        return most

    clip_steps(live, limit)


def percentile_of(norms: deque[float], percentile: float) -> float:
    """A percentile (1 to 99) of at least two numbers, between two neighbors linearly."""
    return quantiles(norms, n=100, method="inclusive")[min(99, max(1, round(percentile))) - 1]


INTERVENTION = Intervention(
    says="gradients are clipped at the {percentile:g}th percentile of their norms",
    apply=_apply,
    examples=({"percentile": 90}, {"percentile": 50}),
)
