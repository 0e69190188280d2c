"""Dead units: those that were exactly zero for every sample of several batches."""

from __future__ import annotations

import torch
from torch import Tensor

from fitwell.watching import tensors
from fitwell.watching.activations import Activation, Activations, PerModule, Window, rows
from fitwell.watching.moments import ModuleCall, Step
from fitwell.watching.signal import Signal

KINDS = frozenset({"relu", "threshold", "hardswish", "gelu", "silu"})  # can give exact zeros


class _DeadUnits:
    def __init__(self) -> None:
        self._activations = Activations()
        self._layers: PerModule[Window] = PerModule(Window)  # of batches in which a unit was alive
        self._looks = 0

    def on_module(self, call: ModuleCall) -> None:
        for activation in self._activations.of(call.module, call.inputs, call.output):
            if activation.origin.kind in KINDS:
                alive_U = _alive(activation, self._looks).int()
                window = self._layers.of(activation.origin.layer)
                window.add(activation.origin, alive_U, len(activation.values))

    def after_step(self, step: Step) -> None:
        self._looks += 1
        names, shares = [], []
        for _, _, window in self._layers.named(step.modules):
            name = self._activations.name(window.origin, step.modules)
            seen = window.close()
            if name is not None and seen is not None:
                names.append(name)
                shares.append((seen[0] == 0).float().mean())
        if names:
            step.record_layers("dead_share", names, torch.stack(shares))
        self._activations.clear()


def _alive(activation: Activation, turn: int) -> Tensor:
    """Which units (U,) gave anything but zero for any sample: a part of the values says it of most.

    Only units that were zero throughout that part make a reading of everything necessary. On other devices
    than the CPU that is done at once, since asking would make the program wait.
    """
    values = activation.values
    if values.is_cpu and values.numel() > tensors.MOST:
        alive_U = _any(rows(values, turn))
        if bool(alive_U.all()):
            return alive_U
    return _any(values)


def _any(values: Tensor) -> Tensor:
    axes = tuple(range(values.dim() - 1))
    return (values.amax(axes) != 0) | (values.amin(axes) != 0)


SIGNAL = Signal(units={"layer/*/dead_share": "share"}, cost="activations", start=_DeadUnits)
