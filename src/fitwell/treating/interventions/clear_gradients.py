"""No gradient outlives the step that used it."""

from __future__ import annotations

from torch.optim import Optimizer

from fitwell.treating.changing.live import Intervention, Live


def _apply(live: Live) -> None:
    def clear(optimizer: Optimizer) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    live.after_step(clear)


INTERVENTION = Intervention(says="the gradients are cleared after every step", apply=_apply)
