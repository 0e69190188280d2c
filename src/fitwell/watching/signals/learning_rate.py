"""The learning rate of each parameter group, and how the optimizer was set up when it was first seen."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from fitwell.watching.moments import PassEnd, Step
from fitwell.watching.signal import Signal

SETTINGS = ("lr", "momentum", "dampening", "nesterov", "betas", "eps", "weight_decay", "amsgrad", "alpha")
MOST_THREADS = 50


class _LearningRate:
    def __init__(self) -> None:
        self._seen: dict[str, dict[str, Any]] = {}
        self._optimizers: dict[str, weakref.ref[Optimizer]] = {}

    def after_step(self, step: Step) -> None:
        if step.optimizer is None:
            return
        groups = step.optimizer.param_groups
        _record(step, step.optimizer)
        if step.thread in self._optimizers or len(self._optimizers) < MOST_THREADS:
            self._optimizers[step.thread] = weakref.ref(step.optimizer)
        if step.thread not in self._seen and len(self._seen) < MOST_THREADS:
            first = {name: _plain(groups[0][name]) for name in SETTINGS if name in groups[0]}
            kind = type(step.optimizer).__name__
            self._seen[step.thread] = {"optimizer": kind, "groups": len(groups), "first_group": first}

    def end_of_pass(self, end: PassEnd) -> None:
        """Between the looks a schedule goes on."""
        known = self._optimizers.get(end.thread)
        optimizer = known() if known is not None else None
        if optimizer is not None:
            _record(end, optimizer)

    def facts(self) -> dict[str, Any]:
        return self._seen


def _record(moment: Step | PassEnd, optimizer: Optimizer) -> None:
    for number, group in enumerate(optimizer.param_groups):
        rate = group.get("lr")
        name = f"lr/group_{number}" if number else "lr"
        if isinstance(rate, Tensor) and rate.numel() == 1:
            moment.record(name, rate.detach().reshape(()).clone())  # a scheduler changes it in place
        elif isinstance(rate, (int, float)):
            moment.record(name, rate)


def _plain(setting: Any) -> Any:
    """A setting as JSON; None for what is no number."""
    if isinstance(setting, (tuple, list)):
        return [_plain(each) for each in setting]
    if isinstance(setting, Tensor):
        return setting.item() if setting.numel() == 1 and setting.device.type == "cpu" else None
    return setting if isinstance(setting, (bool, int, float)) else None


SIGNAL = Signal(units={"lr": "", "lr/group_*": ""}, cost="constant", start=_LearningRate)
