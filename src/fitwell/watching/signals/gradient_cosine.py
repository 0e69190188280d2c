"""The cosine between the gradients of two successive steps; a large gradient is measured on a sample."""

from __future__ import annotations

import torch
from torch import Tensor

from fitwell.watching.moments import Step
from fitwell.watching.signal import Signal
from fitwell.watching.tensors import KEPT, growth, keep, measurable, thinned


class _GradientCosine:
    def __init__(self) -> None:
        self._before: dict[str, tuple[int, Tensor]] = {}  # by thread: the number of a step, its direction

    def after_step(self, step: Step) -> None:
        direction = _direction(step)
        if direction is None:
            return
        number, before = self._before.get(step.thread, (0, direction))
        if number == step.number - 1 > 0 and before.shape == direction.shape:
            step.record("gradient/cosine", torch.dot(before, direction))
        keep(self._before, step.thread, (step.number, direction))


def _direction(step: Step) -> Tensor | None:
    """The gradient as one vector of length 1, with zeros for parameters that have none."""
    if not any(measurable(gradient) for gradient in step.gradients):
        return None
    parts = []
    for each, gradient in zip(step.parameters, step.gradients, strict=True):
        if gradient is not None and measurable(gradient):
            sample = thinned(gradient, KEPT)
            scale = growth(sample, gradient)
            parts.append(sample.reshape(-1) if scale == 1 else sample.reshape(-1) * scale)
        elif measurable(each.tensor):
            parts.append(torch.zeros_like(thinned(each.tensor, KEPT)).view(-1))
    device = parts[0].device
    vector = torch.cat([part.to(device) for part in parts])
    vector = vector.float() if vector.dtype in (torch.float16, torch.bfloat16) else vector
    return torch.nn.functional.normalize(vector, dim=0, eps=0.0)


SIGNAL = Signal(units={"gradient/cosine": ""}, cost="parameters", start=_GradientCosine)
