"""How far a step moved the parameters, as a share of their norm before: |w_after - w_before| / |w_before|.

Parameters that were all zero have moved by their whole norm: 1. A large tensor is measured on a sample.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fitwell.watching.moments import Step
from fitwell.watching.signal import Signal
from fitwell.watching.tensors import KEPT, by_layer, growth, keep, measurable, norms, thinned, total


class _UpdateRatio:
    def __init__(self) -> None:
        self._before: dict[str, list[Tensor]] = {}  # samples by thread, from before a step to after it

    def before_step(self, step: Step) -> None:
        keep(self._before, step.thread, [sample.clone() for sample in _samples(step)])

    def after_step(self, step: Step) -> None:
        before, after = self._before.pop(step.thread, []), _samples(step)
        if not after or [old.shape for old in before] != [new.shape for new in after]:
            return  # the step was not seen from its beginning, or it exchanged its parameters
        named = [each for each in step.parameters if measurable(each.tensor)]
        norms_T = norms([*before, *torch._foreach_sub(after, before)])
        scale = [growth(sample, each.tensor) for sample, each in zip(after, named, strict=True)]
        if max(scale) > 1:
            norms_T = norms_T * torch.tensor(scale + scale, dtype=norms_T.dtype).to(norms_T.device)
        before_T, moved_T = norms_T.view(2, -1)
        layers = [each.layer for each in named]
        names, before_L = by_layer(layers, before_T)
        _, moved_L = by_layer(layers, moved_T)
        step.record_layers("update_ratio", names, _ratio(moved_L, before_L))
        step.record("update/ratio", _ratio(total(moved_T), total(before_T)))


def _samples(step: Step) -> list[Tensor]:
    return [thinned(each.tensor, KEPT) for each in step.parameters if measurable(each.tensor)]


def _ratio(moved: Tensor, before: Tensor) -> Tensor:
    """Where ``before`` is 0, ``moved`` is the norm after the step; if both are 0 nothing has moved."""
    after = torch.where(moved > 0, moved, torch.ones_like(moved))
    return moved / torch.where(before == 0, after, before)


SIGNAL = Signal(units={"update/ratio": "", "layer/*/update_ratio": ""}, cost="parameters", start=_UpdateRatio)
