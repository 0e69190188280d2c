"""The mean and the spread of what each layer gives, before its activation."""

from __future__ import annotations

import weakref

import torch
from torch import Tensor, nn

from fitwell.watching.activations import first_tensor, has_weights, is_layer, measurable
from fitwell.watching.moments import ModuleCall, Step
from fitwell.watching.signal import Signal
from fitwell.watching.tensors import thinned


class _ActivationSpread:
    def __init__(self) -> None:
        self._seen: dict[int, tuple[weakref.ref[nn.Module], Tensor, Tensor]] = {}  # since the last step

    def on_module(self, call: ModuleCall) -> None:
        module, output = call.module, first_tensor(call.output)
        if output is None or not is_layer(module) or not has_weights(module) or not measurable(output):
            return
        deviation, mean = torch.std_mean(thinned(output).float(), correction=0)
        self._seen[id(module)] = weakref.ref(module), deviation, mean

    def after_step(self, step: Step) -> None:
        mine = [key for key in self._seen if key in step.modules]
        seen = [self._seen.pop(key) for key in mine]
        alive = [(step.modules[key], *each[1:]) for key, each in zip(mine, seen, strict=True) if each[0]()]
        if alive:
            names, deviations, means = zip(*alive, strict=True)
            step.record_layers("activation_std", names, torch.stack(deviations))
            step.record_layers("activation_mean", names, torch.stack(means))


SIGNAL = Signal(
    units={"layer/*/activation_std": "", "layer/*/activation_mean": ""},
    cost="activations",
    start=_ActivationSpread,
)
