"""How far a step moved the parameters, as a share of their norm before: |w_after - w_before| / |w_before|.

Parameters that were all zero have moved by their whole norm: 1. A large tensor is measured on a sample.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fitwell.watching.moments import Named, Step
from fitwell.watching.signal import Signal
from fitwell.watching.tensors import KEPT, by_layer, growth, keep, measurable, norms, thinned, total


class _UpdateRatio:
    def __init__(self) -> None:
        self._before: dict[str, list[Tensor]] = {}  # samples by thread, from before a step to after it

    def before_step(self, step: Step) -> None:
        keep(self._before, step.thread, [sample.clone() for _, sample in _samples(step)])

    def after_step(self, step: Step) -> None:
        before, sampled = self._before.pop(step.thread, []), _samples(step)
        after = [sample for _, sample in sampled]
        if not after or [old.shape for old in before] != [new.shape for new in after]:
            return  # the step was not seen from its beginning, or it exchanged its parameters
        norms_2T = norms([*before, *torch._foreach_sub(after, before)]).view(2, -1)
        scale = [growth(sample, each.tensor) for each, sample in sampled]
        if max(scale) > 1:
            norms_2T = norms_2T * torch.tensor(scale, dtype=norms_2T.dtype).to(norms_2T.device)
        names, norms_2L = by_layer([each.layer for each, _ in sampled], norms_2T)
        step.record_layers("update_ratio", names, _ratio(norms_2L))
        step.record("update/ratio", _ratio(total(norms_2T)))


def _samples(step: Step) -> list[tuple[Named, Tensor]]:
    return [(each, thinned(each.tensor, KEPT)) for each in step.parameters if measurable(each.tensor)]


def _ratio(norms_2X: Tensor) -> Tensor:
    """The norms before, and of what they moved by, as ratios: 1 or 0 where ``before`` is 0."""
    before, moved = norms_2X
    return torch.where(before == 0, moved.sign(), moved / before)


SIGNAL = Signal(units={"update/ratio": "", "layer/*/update_ratio": ""}, cost="parameters", start=_UpdateRatio)
