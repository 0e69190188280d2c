"""Saturated units: those whose activation hardly changes with its input; hardly any gradient passes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fitwell.watching.activations import Activation, Activations, PerModule, Window, rows
from fitwell.watching.moments import LossCall, ModuleCall, Step
from fitwell.watching.signal import Signal

FLAT = 1e-3  # a local derivative below is none
ALWAYS = 0.95  # of its samples: a unit that passes gradient for one sample in twenty can still come back
KINDS = frozenset({"tanh", "sigmoid", "hardtanh", "hardsigmoid", "softsign"})


class _SaturatedUnits:
    def __init__(self) -> None:
        self._activations = Activations()
        self._layers: PerModule[Window] = PerModule(Window)  # of samples for which a unit was saturated
        self._outputs: PerModule[list[str]] = PerModule(list)  # the loss that was computed from a layer
        self._looks = 0
        self._known: dict[str, dict[str, dict[str, Any]]] = {}

    def on_module(self, call: ModuleCall) -> None:
        for activation in self._activations.of(call.module, call.inputs, call.output):
            self._see(activation)

    def on_loss(self, loss: LossCall) -> None:
        activation = self._activations.tensor(loss.input)
        if activation is not None:
            self._see(activation)
        origin = self._activations.origin(loss.input)
        if origin is not None and origin.kind:
            self._outputs.of(origin.layer)[:] = [loss.function]

    def _see(self, activation: Activation) -> None:
        origin = activation.origin
        if origin.kind not in KINDS or not activation.exact:
            return
        values_RU = rows(activation.values, self._looks)
        flat_U = saturated(origin.kind, values_RU, activation.limits).sum(0)
        self._layers.of(origin.layer).add(origin, flat_U, len(values_RU))

    def after_step(self, step: Step) -> None:
        self._looks += 1
        names, shares = [], []
        known = self._known.setdefault(step.thread, {})
        for _, layer, window in self._layers.named(step.modules):
            origin, name = window.origin, self._activations.name(window.origin, step.modules)
            seen = window.close()
            if origin is None or name is None or seen is None:
                continue
            names.append(name)
            shares.append((seen[0] > ALWAYS * seen[1]).float().mean())
            known[name] = {"kind": origin.kind, "loss": next(iter(self._outputs.get(layer) or ()), None)}
        if names:
            step.record_layers("saturated_share", names, torch.stack(shares))
        self._activations.clear()

    def facts(self) -> dict[str, Any]:
        """By thread and layer: the kind of activation, and the loss that is computed from it, if any."""
        return {thread: layers for thread, layers in self._known.items() if layers}


def saturated(kind: str, values: Tensor, limits: tuple[float, float] | None = None) -> Tensor:
    """Where the local derivative of an activation is below 1e-3, told by its values.

    tanh: 1 - y²; sigmoid: y (1 - y); softsign: (1 - |y|)²; clamped ones: 0 at their limits.

    Args:
        kind: of the activation.
        values: that it gave.
        limits: its lowest and highest value, where it has any.
    """
    if limits is not None:
        return (values <= limits[0]) | (values >= limits[1])
    if kind == "tanh":
        return 1 - values * values < FLAT
    if kind == "sigmoid":
        return values * (1 - values) < FLAT
    return (1 - values.abs()) ** 2 < FLAT


SIGNAL = Signal(units={"layer/*/saturated_share": "share"}, cost="activations", start=_SaturatedUnits)
